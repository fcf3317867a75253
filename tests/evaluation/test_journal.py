"""Predictions on their way into a file: whole lines, of what was asked for, in order."""

import csv
import io
import json
import sys
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tortie.errors import TortieError, UsageError
from tortie.evaluation import prediction_formats
from tortie.evaluation.journal import Journal
from tortie.evaluation.prediction_formats import format_of, write_predictions

CLASSES = ["x", "=y"]
ASKED = {"classifier": "abc", "crops": 1}
NAMES = [Path(name) for name in ("a.jpg", "b\udcff.jpg", "c.jpg", "d.jpg")]


def document(path):
    if path.name == "c.jpg":
        return {"path": str(path), "reason": "truncated"}
    return {
        "path": str(path), "label": "x", "probability": 0.75, "rejected": False,
        "novelty_percentile": None, "probabilities": {"x": 0.75, "=y": 0.25},
    }  # fmt: skip


DOCUMENTS = [document(name) for name in NAMES]


def begun(target, count):
    journal = Journal(target, ASKED)
    list(journal.skip([]))
    journal.add(DOCUMENTS[:count])
    journal.close()
    return journal


@pytest.mark.parametrize(
    "half", [b"", b'{"path": "c', b'{"path": "c.jpg"}\0\0\n', b"\0\0\0", b"7\n"]
)
@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_what_was_stopped_ends_as_what_was_not(tmp_path, form, half):
    """The oracle is the file that was written in one go."""
    once, target = tmp_path / f"once.{form}", tmp_path / f"all.{form}"
    journal = Journal(once, ASKED)
    assert list(journal.skip(NAMES)) == NAMES
    journal.add(DOCUMENTS)
    journal.finish(form, CLASSES)

    path = begun(target, 2).path
    path.write_bytes(path.read_bytes() + half)
    journal = Journal(target, ASKED, resume=True)
    assert list(journal.skip(NAMES)) == NAMES[2:]
    assert journal.kept == 2
    journal.add(DOCUMENTS[2:])
    assert not target.exists()
    journal.finish(form, CLASSES)
    assert target.read_bytes() == once.read_bytes()
    assert journal.unreadable == 1
    assert sorted(tmp_path.iterdir()) == sorted([once, target])


def test_the_formats_say_the_same(monkeypatch):
    def whole(form):
        file = io.BytesIO()
        write_predictions(file, form, CLASSES, iter(DOCUMENTS))
        return file.getvalue()

    assert json.loads(whole("json")) == DOCUMENTS
    assert [json.loads(line) for line in whole("jsonl").splitlines()] == DOCUMENTS
    rows = list(csv.DictReader(io.StringIO(whole("csv").decode(errors="surrogateescape"))))
    assert [row["path"] for row in rows] == [str(name) for name in NAMES]
    assert [row["probability_x"] for row in rows] == ["0.75", "0.75", "", "0.75"]
    assert [row["probability_=y"] for row in rows] == ["0.25", "0.25", "", "0.25"]
    assert rows[2]["reason"] == "truncated"
    monkeypatch.setattr(prediction_formats, "_ROWS", 3)
    file = pq.ParquetFile(io.BytesIO(whole("parquet")))
    assert [file.metadata.row_group(group).num_rows for group in range(2)] == [3, 1]
    table = file.read().to_pylist()
    assert list(table[0]) == list(rows[0])
    assert [row["path"] for row in table] == ["a.jpg", r"b\xff.jpg", "c.jpg", "d.jpg"]
    assert [row["probability_=y"] for row in table] == [0.25, 0.25, None, 0.25]
    assert (table[0]["label"], table[0]["rejected"], table[2]["reason"]) == (
        "x",
        False,
        "truncated",
    )


def test_parquet_is_written_as_predictions_come(tmp_path, monkeypatch):
    """A group of rows is on the disk before the next one is asked for."""
    monkeypatch.setattr(prediction_formats, "_ROWS", 10)
    sizes = []
    with open(tmp_path / "all.parquet", "wb") as file:

        def each():
            for _ in range(30):
                sizes.append(file.tell())
                yield DOCUMENTS[0]

        write_predictions(file, "parquet", CLASSES, each())
    assert len(set(sizes[:10])) == len(set(sizes[10:20])) == len(set(sizes[20:])) == 1
    assert sizes[0] < sizes[10] < sizes[20]


def test_a_journal_is_not_replaced_unasked(tmp_path):
    target = tmp_path / "a.csv"
    begun(target, 3)
    with pytest.raises(
        UsageError, match="holds 3 predictions of a command that was stopped: --res"
    ):
        Journal(target, ASKED)
    journal = Journal(target, ASKED, force=True)
    assert list(journal.skip(NAMES)) == NAMES
    journal.close()
    assert not journal.path.exists()  # nothing was predicted since


@pytest.mark.parametrize(
    "asked, names, said",
    [
        ({**ASKED, "crops": 10}, NAMES, "was begun with another crops \\(1, now 10\\): --force"),
        (
            ASKED,
            [NAMES[0], NAMES[2]],
            r"number 2 is .*, and of the photographs given it is 'c.jpg'",
        ),
        (ASKED, NAMES[:1], "number 2 is .*, and of the photographs given it is none"),
    ],
)
def test_predictions_of_something_else_are_not_gone_on_with(tmp_path, asked, names, said):
    path = begun(tmp_path / "a.csv", 3).path
    before = path.read_bytes()
    with (
        pytest.raises(UsageError, match=said),
        closing(Journal(tmp_path / "a.csv", asked, resume=True)) as journal,
    ):
        list(journal.skip(names))
    assert path.read_bytes() == before


def test_a_journal_that_is_none_is_left_alone(tmp_path):
    (tmp_path / "a.csv.partial").write_text("mine\n")
    with pytest.raises(UsageError, match="is no record of predictions"):
        Journal(tmp_path / "a.csv", ASKED, resume=True)
    assert (tmp_path / "a.csv.partial").read_text() == "mine\n"


def test_two_commands_do_not_write_one_journal(tmp_path):
    first = Journal(tmp_path / "a.csv", ASKED)
    with pytest.raises(TortieError, match="is being written by another command"):
        Journal(tmp_path / "a.csv", ASKED, force=True)
    first.close()


def test_the_suffix_names_the_format():
    assert format_of(Path("a.CSV")) == "csv" and format_of(Path("a.parquet")) == "parquet"
    with pytest.raises(UsageError, match=r"-o a.txt: expected a name that ends in .csv, .parquet"):
        format_of(Path("a.txt"))


def test_without_pyarrow_the_way_out_is_said_before_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"a.parquet: Parquet needs pyarrow: pip install 'tortie"):
        format_of(Path("a.parquet"))
