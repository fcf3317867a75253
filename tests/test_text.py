"""Text from outside: what a terminal, a spreadsheet and a JSON reader make of it."""

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.text import csv_text, from_cell, is_clean, json_text, quoted, shown

ANYTHING = st.text(st.characters(), max_size=20)  # surrogates too, as names that are no UTF-8 have


@pytest.mark.parametrize(
    "given, wanted",
    [
        ("Tigger und Müsli 猫 😀", "Tigger und Müsli 猫 😀"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("ants\r\naccuracy 100%", r"ants\x0d\x0aaccuracy 100%"),
        ("gpj.\u202etxt", r"gpj.\u202etxt"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("a\u200bb\ufeff\U000e0041", r"a\u200bb\ufeff\U000e0041"),
        ("👨\u200d👩\u200d👧 می\u200cخواهم", "👨\u200d👩\u200d👧 می\u200cخواهم"),
    ],
)
def test_what_is_not_seen_is_escaped(given, wanted):
    assert shown(given) == wanted
    assert is_clean(wanted)


@pytest.mark.parametrize(
    "given, wanted",
    [
        ("bees", "'bees'"),
        ("J\udcf6rg", r"'J\xf6rg'"),
        (r"J\xf6rg", r"'J\xf6rg'"),  # as the name of a class is kept: not escaped a second time
        (r"C:\ants", r"'C:\ants'"),
        ("it's", '"it\'s"'),
    ],
)
def test_a_name_in_a_sentence_is_quoted_and_escaped_once(given, wanted):
    assert quoted(given) == wanted


@given(ANYTHING)
def test_nothing_shown_steers_a_terminal_or_ends_a_line(text):
    said = shown(text)
    said.encode("utf-8")
    assert len(said.splitlines()) <= 1
    unseen = {unicodedata.category(one) for one in said.replace("\u200c", "").replace("\u200d", "")}
    assert not unseen & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert shown(said) == said


@given(st.lists(st.lists(ANYTHING, min_size=2, max_size=3), max_size=4))
def test_csv_comes_back_and_is_one_row_a_row(rows):
    """By Python's own reader; no cell begins as a formula does, and none is split anywhere."""
    text = csv_text(rows)
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if all(any(row) for row in rows):  # Python reads a line of nothing but commas as cells, too
        assert [[from_cell(cell) for cell in row] for row in found] == rows
    assert not any(cell[:1] in tuple("=+-@\t\r") and cell for row in found for cell in row)


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "''=1", "'quoted'"]
)
def test_a_formula_is_guarded_and_comes_back(cell):
    ((found,),) = csv.reader(io.StringIO(csv_text([[cell]]), newline=""))
    assert found[0] not in "=+-@\t"
    assert from_cell(found) == cell


def test_numbers_are_numbers_and_nothing_is_an_empty_cell():
    assert csv_text([(-1.5, None, 3, "x")]) == "-1.5,,3,x\n"


def test_characters_that_end_a_line_anywhere_are_quoted():
    assert csv_text([["a\rb", "c\u2028d", "e\x85f"]]) == '"a\rb","c\u2028d","e\x85f"\n'


def test_on_a_terminal_cells_are_shown():
    assert csv_text([["a\nb\x1b[1m"]], terminal=True) == "a\\x0ab\\x1b[1m\n"


@given(st.dictionaries(ANYTHING, ANYTHING, max_size=3))
def test_json_reads_back_the_same_and_hides_nothing(document):
    for indent in (None, 2):
        text = json_text(document, indent)
        text.encode("utf-8")
        lines = text.split("\n")
        assert all(is_clean(line) for line in lines)
        if not any("\ud800" <= a <= "\udbff" for key in document for a in key + document[key]):
            assert json.loads(text) == document  # such a pair of surrogates is one character


def test_a_name_that_is_no_utf8_comes_back_from_json():
    assert json.loads(json_text({"path": "caf\udce9"})) == {"path": "caf\udce9"}
