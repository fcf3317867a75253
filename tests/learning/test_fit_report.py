"""What a report is told of a fit: the plan beside what it came to, counts that add up."""

import pytest

import tortie
from tests.conftest import lay_out
from tortie.evaluation.report import write_report
from tortie.learning.fit_report import report_of


@pytest.mark.filterwarnings("ignore:left out")  # said where the command line is not loaded
def test_the_report_sets_the_plan_beside_what_it_came_to(tmp_path):
    folder = lay_out(tmp_path / "photographs", 12, splits=("train", "val"))
    (folder / "train" / "blobs" / "00.jpg").write_bytes(b"\xff\xd8\xff broken")
    fitted = tortie.ImageClassifier(seed=7).fit(folder).fitted_
    told = report_of(fitted, "pets.safetensors")
    assert told.trained == {"blobs": 11, "stripes": 12}  # of 24, one is broken
    assert told.counts == {"train": 23, "validation": 24}
    outcome = {what: (planned, came) for what, planned, came in told.outcome}
    assert outcome["photographs"] == ("48", "47, 1 left out")
    assert outcome["counted for the accuracy"] == (
        "of the validation",
        "24 photographs of the validation",
    )
    assert outcome["the whole fit"][1] == f"{sum(fitted.seconds.values()):.1f} s"
    assert told.settings["seed"] == "7"
    write_report(tmp_path / "a.html", told)
    text = (tmp_path / "a.html").read_text()
    assert "Where it looked" in text  # the network is there, and ends in global average pooling
    assert "train/blobs/00.jpg" in text


def test_too_few_to_tell_is_an_outcome_too(tmp_path):
    fitted = tortie.ImageClassifier().fit(lay_out(tmp_path, 4)).fitted_
    outcome = {what: came for what, _, came in report_of(fitted, "a").outcome}
    assert outcome["counted for the accuracy"] == "none: too few"


def test_prediction_sets_stand_in_the_report_of_a_cross_validated_fit(tmp_path):
    """They come from the photographs that they are shown on, so the shares are those asked for."""
    fitted = tortie.ImageClassifier().fit(lay_out(tmp_path / "photographs", 12)).fitted_
    told = report_of(fitted, "a.safetensors")
    assert [one.confidence for one in told.sets] == [80, 90, 95]  # 24 are too few for 99
    assert all(100 * one.coverage.value >= one.confidence for one in told.sets)
    write_report(tmp_path / "a.html", told)
    text = " ".join((tmp_path / "a.html").read_text().split())
    assert "Prediction sets: an answer with a guarantee" in text
    assert "what is measured is how many classes that takes" in text
    # By construction, so no share of it is shown; nor did one of two classes play a stranger.
    assert "held the right class" not in text and "played the stranger" not in text
