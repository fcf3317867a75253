"""When the studio's figures are quick, when they are those of a whole fit, and what both say."""

import time

import pytest

import tortie
from tests.conftest import lay_out
from tests.studio.conftest import jpeg, studio_at
from tortie.studio import figures, measurer
from tortie.studio.teacher import Snapshot


@pytest.fixture
def many(monkeypatch):
    """Let a dozen photographs be many, and quick figures stay until the fixture is told."""
    monkeypatch.setattr(figures, "FEW", 10)
    monkeypatch.setattr(measurer, "IDLE", 1e6)


def test_quick_figures_come_after_an_addition_and_a_whole_fit_once_it_is_left_alone(
    many, monkeypatch, tmp_path
):
    # Oracle: the library's fit of the same folder, whose penalty was chosen on nearly the same.
    root = lay_out(tmp_path / "textures", count=12)
    with studio_at(root) as client:
        client.post("/api/look")
        assert client.measured()["figures"]["accuracy"]["n"] == 24
        assert client.service._measurer.figures.whole  # no penalty was known
        client.send("blobs", jpeg("blobs", 99))
        state = client.measured()
        quick = client.service._measurer.figures
        assert not quick.whole and quick.classifier is None and quick.checked
        fitted = tortie.ImageClassifier(precision="float32", threads=1).fit(root)
        own = state["figures"]["accuracy"]
        assert own["value"] == pytest.approx(fitted.accuracy_.value, abs=0.05)
        assert own["n"] == fitted.accuracy_.n == 25
        monkeypatch.setattr(measurer, "IDLE", 0.0)
        client.send("stripes", jpeg("stripes", 99))  # waiting begins anew, and is over
        version = client.state()["version"]
        assert client.service._measurer.wait(version, 60).version == version
        assert client.measured()["figures"]["accuracy"]["n"] == 26
        assert client.service._measurer.figures.whole
        assert client.get("/api/classifier").status == 200


def test_a_fit_that_fails_is_told_with_what_to_photograph(many, tmp_path):
    with studio_at(lay_out(tmp_path / "textures", count=6)) as client:
        client.post("/api/look")
        client.measured()
        for one in client.state()["classes"][0]["photographs"][1:]:
            client.post("/api/remove", keys=[one["key"]])
        deadline = time.monotonic() + 60
        while "reason" not in (told := client.measured()["figures"]) or not told["reason"]:
            assert time.monotonic() < deadline
        assert "only one photograph" in told["reason"] or "one image" in told["reason"]
        assert told["next"] == [
            "More of blobs: there is one photograph of it, and it takes several."
        ]
        assert not [one for one in client.state()["findings"] if one["kind"] == "class-size"]


def test_without_a_penalty_or_with_few_photographs_a_whole_fit_is_quick_enough():
    assert not figures.is_quick(Snapshot())
