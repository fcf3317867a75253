import shutil

from PIL import Image

from tests.conftest import photograph
from tortie.activations.store import ActivationStore
from tortie.activations.stored_facts import stored_facts
from tortie.images import hash_all, read
from tortie.networks.table import find


def known(paths, **options):
    sha256 = hash_all(paths, 2)
    store = ActivationStore.default(print)
    return stored_facts(paths, sha256, store, threads=2, max_pixels=10**8, **options)


def test_facts_are_those_that_a_fit_keeps(tmp_path):
    paths = []
    for i, size in enumerate([(40, 30), (128, 96), (2400, 1800)]):
        paths.append(tmp_path / f"{i}.jpg")
        photograph("blobs", 700 + i).resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    preprocessing = find("efficientnet-lite0").preprocessing
    fitted = [one.facts for one in read(paths, preprocessing=preprocessing, threads=2)]
    assert known(paths).facts == fitted


def test_each_content_is_decoded_once_and_never_again(tmp_path):
    first, second, bad, copy_of_bad = (tmp_path / f"{name}.jpg" for name in "abcd")
    photograph("stripes", 801).save(first)
    shutil.copy(first, second)
    bad.write_text("no image")
    shutil.copy(bad, copy_of_bad)
    paths = [first, second, bad, copy_of_bad, tmp_path / "none.jpg"]
    told = []
    cold = known(paths, progress=lambda done, total: told.append((done, total)))
    assert cold.decoded == 3  # a, c and the one that is not there
    assert told[-1] == (5, 5)
    assert cold.facts[0] == cold.facts[1] is not None
    assert cold.facts[2:] == [None, None, None]
    assert cold.reasons == {
        2: "not an image",
        3: "not an image",
        4: "cannot be opened: No such file or directory",
    }
    warm = known(paths)
    assert (warm.facts, warm.reasons) == (cold.facts, cold.reasons)
    assert warm.decoded == 2  # what cannot be read is tried again
