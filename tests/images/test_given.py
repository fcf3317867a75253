"""Images as Python people have them: the oracle is the same photograph as a file."""

import io
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tortie
from tests.conftest import lay_out
from tortie.errors import UsageError
from tortie.images.given import given_images
from tortie.images.inputs import labelled

PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
TENSOR = torch.from_numpy(PICTURE)


def only(images):
    (source,) = given_images(images).sources
    return source


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("given") / "photographs", 4)


@pytest.mark.parametrize(
    "given",
    [
        TENSOR,  # (H, W, 3)
        TENSOR.permute(2, 0, 1),  # (3, H, W)
        TENSOR[None],
        TENSOR.permute(2, 0, 1)[None],
        [TENSOR.permute(2, 0, 1)],
        torch.stack([TENSOR]).requires_grad_(False),
        (one for one in [PICTURE]),
        PICTURE[None],
    ],
)
def test_a_tensor_of_either_layout_is_the_array(given):
    np.testing.assert_array_equal(only(given), PICTURE)


def test_a_grey_tensor_is_the_grey_array():
    grey = TENSOR[..., 0]
    for given in (grey, grey[None], grey[..., None]):
        np.testing.assert_array_equal(np.squeeze(only(given)), PICTURE[..., 0])


def closed():
    file = io.BytesIO(b"content")
    file.close()
    return file


class Streamed:
    """As much of an iterable data set of the hub as is looked at."""

    __module__ = "datasets.iterable_dataset"
    column_names = ("image",)


def test_an_open_file_is_read_from_its_beginning_where_it_is_at_its_end():
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")  # at its end now
    assert only(file) == only(file) == file.getvalue()
    file.seek(0)
    assert only(file) == file.getvalue()


@pytest.mark.parametrize(
    "given, message",
    [
        (torch.zeros(3, 8, 3, dtype=torch.uint8), "its channels can be first or last"),
        (torch.zeros(2, 3, 8, 1, dtype=torch.uint8), "its channels can be first or last"),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), "no axis can be its channels"),
        (
            torch.zeros(2, 3, 8, 8),
            r"the images are float32 of shape \(2, 3, 8, 8\): expected uint8",
        ),
        ([torch.zeros(3, 8, 8)], "image 0 is float32 of shape"),
        ([torch.zeros(2, 3, 8, 8, dtype=torch.uint8)], "image 0 is a tensor of 2 images"),
        (np.zeros((30, 4)), r"the images are float64 of shape \(30, 4\): expected uint8"),
        ([PICTURE / 255], "image 0 is float64"),
        ([PICTURE, None], "image 1 is a NoneType: expected a path"),
        ([io.StringIO("text")], "image 0 is a file opened as text: open it with 'rb'"),
        ([closed()], "image 0 is a file that is closed"),
        ([zipfile.ZipFile(io.BytesIO(), "w")], "image 0 is a ZipFile: expected a path"),
        (torch.utils.data.DataLoader([1]), "image 0 is int64"),
        (Streamed(), "a data set that is streamed: give its rows"),
        ({"a.jpg": 1}, "expected a folder, a file, or a sequence of images, not dict"),
        (3, "not int"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(given, message):
    with pytest.raises(UsageError, match=message) as raised:
        given_images(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda classifier: classifier.fit([1, 2], ["a", "b"]),
        lambda classifier: classifier.fit([PICTURE] * 4, [1, None, 2, 2]),
        lambda classifier: classifier.fit(np.zeros((4, 9)), [1, 1, 2, 2]),
        lambda classifier: classifier.plan("nowhere"),
        lambda classifier: classifier.set_params(seed=-1).fit("nowhere"),
        lambda classifier: classifier.predict([PICTURE]),
    ],
)
def test_a_traceback_shows_the_callers_line_and_at_most_three_of_tortie(call):
    with pytest.raises(tortie.TortieError) as raised:
        call(tortie.ImageClassifier())
    home = str(Path(tortie.__file__).parent)
    frames = traceback.extract_tb(raised.tb)
    assert 1 <= sum(frame.filename.startswith(home) for frame in frames) <= 3


def test_bytes_and_open_files_are_the_file(folder, tmp_path):
    path = next((folder / "blobs").iterdir())
    content = path.read_bytes()
    with path.open("rb") as file:
        given = [content, bytearray(content), memoryview(content), io.BytesIO(content), file]
        assert given_images(given).sources == [content] * 5
    assert only(io.BytesIO(content)) == content


def test_a_series_and_a_table_are_read_by_their_values(folder):
    pandas = pytest.importorskip("pandas")
    paths = sorted(folder.glob("*/*"))
    table = pandas.DataFrame(
        {"path": map(str, paths), "label": [path.parent.name == "blobs" for path in paths]},
        index=range(100, 108),
    )
    assert given_images(table["path"]).sources == paths
    assert given_images(table).sources == paths
    collection, sources = labelled(table)
    assert sources == paths
    assert collection.label_type == "bool"
    assert collection.classes == ("False", "True")
    table["split"] = ["train", "test"] * 4
    table["group"] = ["a", None] * 4
    collection, _ = labelled(table)
    assert [one.split for one in collection.photographs] == ["train", "test"] * 4
    assert [one.group for one in collection.photographs] == ["a", None] * 4
    collection, _ = labelled(table, [3, 3, 4, 4] * 2)  # labels given win
    assert collection.classes == ("3", "4")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"label": None}, "label 0 is nan|label 0 is None"),
        ({"path": None}, "row 0 has no path"),
        ({"split": "else"}, "row 0: split 'else'; expected one of"),
    ],
)
def test_cells_of_a_table_are_refused_by_row(folder, change, message):
    pandas = pytest.importorskip("pandas")
    rows = [{"path": str(p), "label": p.parent.name, "split": "train"} for p in folder.glob("*/*")]
    rows[0] |= change
    with pytest.raises(UsageError, match=message):
        labelled(pandas.DataFrame(rows))


def test_a_table_without_images_says_its_columns():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(UsageError, match="a table with the columns a, b: expected path"):
        given_images(pandas.DataFrame({"a": [1], "b": [2]}))


def test_fit_predict_and_evaluate_take_a_table(folder):
    """The folder is the oracle."""
    pandas = pytest.importorskip("pandas")
    paths = sorted(folder.glob("*/*"))
    table = pandas.DataFrame({"path": paths, "label": [path.parent.name for path in paths]})
    fitted = tortie.ImageClassifier().fit(table)
    expected = tortie.ImageClassifier().fit(folder)
    np.testing.assert_array_equal(fitted.predict_proba(table), expected.predict_proba(paths))
    assert fitted.evaluate(table).seen == 8


@pytest.mark.filterwarnings("ignore")  # of libraries that datasets imports
def test_a_data_set_of_the_hub_gives_the_files_own_bytes(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow")
    paths = sorted(folder.glob("*/*"))
    names = ["blobs", "stripes"]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    )
    rows = {
        "image": [{"bytes": p.read_bytes(), "path": None} for p in paths],
        "label": [names.index(p.parent.name) for p in paths],
    }
    table = pyarrow.Table.from_pydict(rows, schema=features.arrow_schema)
    data = datasets.Dataset(table, fingerprint="given")
    given = given_images(data)
    assert given.labels == [path.parent.name for path in paths]
    content = [one if isinstance(one, bytes) else one.read_bytes() for one in given.sources]
    assert content == [path.read_bytes() for path in paths]
    both = given_images(datasets.DatasetDict(train=data, test=data))
    assert both.splits == ["train"] * 8 + ["test"] * 8
    pictures = datasets.Dataset(pyarrow.table({"x": [1]}), fingerprint="none")
    with pytest.raises(UsageError, match="a data set of the columns x: none is of images"):
        given_images(pictures)


def test_an_image_of_pil_is_itself():
    image = Image.fromarray(PICTURE)
    assert only(image) is image
