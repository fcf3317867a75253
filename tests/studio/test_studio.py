"""The studio over HTTP: what is taught is what ``tortie fit`` learns from the same folder."""

import json

import numpy as np
import pytest

import tortie
from tests.conftest import lay_out, photograph
from tests.studio.conftest import jpeg, studio_at
from tortie.serving.limits import Access, Limits


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A client of a studio whose two classes were made and filled over HTTP."""
    root = tmp_path_factory.mktemp("studio") / "textures"
    unlabelled = root.parent / "unlabelled"
    unlabelled.mkdir()
    for number in range(6):
        photograph(("blobs", "stripes")[number % 2], 800 + number).save(
            unlabelled / f"{number}.png"
        )
    with studio_at(root, unlabelled) as client:
        for label in ("blobs", "stripes"):
            assert client.post("/api/classes", name=label).status == 200
            contents = [jpeg(label, 700 + number) for number in range(12)]
            assert client.send(label, *contents).json["refused"] == []
        yield client


def test_it_answers_as_a_fit_of_the_folder(taught, tmp_path):
    # Oracle: the library, on the same folder.
    state = taught.measured()
    root = taught.service.folder.root
    fitted = tortie.ImageClassifier(precision="float32", threads=1).fit(root)
    own = fitted.accuracy_
    assert state["figures"]["accuracy"]["value"] == pytest.approx(own.value)
    assert state["figures"]["accuracy"]["low"] == pytest.approx(own.low)
    assert np.sum(state["figures"]["confusion"]) == pytest.approx(own.n)
    assert state["figures"]["next"] and state["learnt_from"] == 24
    content = taught.get("/api/classifier").body
    (tmp_path / "a.safetensors").write_bytes(content)
    loaded = tortie.load(tmp_path / "a.safetensors").set_params(precision="float32", threads=1)
    image = photograph("stripes", 900)
    assert loaded.predict_proba([image]) == pytest.approx(fitted.predict_proba([image]), abs=1e-5)
    assert taught.get("/api/report").body.startswith(b"<!doctype html>")


def test_the_test_area_tells_the_classes_apart(taught):
    for label in ("blobs", "stripes"):
        (answer,) = taught.predict(jpeg(label, 950)).json
        assert answer["label"] == label
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_photographs_are_offered_to_label_and_copied(taught):
    offered = taught.get("/api/unlabelled").json
    assert offered["left"] == 6 and len(offered["keys"]) == 6
    key = offered["keys"][0]
    assert taught.get(f"/api/thumbnail/{key}").json["image"].startswith("data:image/jpeg")
    assert taught.get("/api/thumbnail/gone").json == {"image": ""}  # moved while it was asked for
    state = taught.post("/api/label", keys=[key], label="blobs").json
    assert len(state["classes"][0]["photographs"]) == 13
    assert taught.get("/api/unlabelled").json["left"] == 5
    newest = state["classes"][0]["photographs"][0]["key"]
    state = taught.post("/api/remove", keys=[newest]).json
    assert len(state["classes"][0]["photographs"]) == 12


def test_refusals(taught):
    assert taught.send("blobs", b"no image").json["refused"][0]["path"] == "a.jpg"
    assert taught.send("nothing", jpeg("blobs", 1)).status == 422
    assert taught.post("/api/classes", name="../up").status == 422
    assert taught.post("/api/classes", name="blobs").json["error"].endswith("is there already")
    assert taught.post("/api/move", keys=["0" * 16], label="blobs").status == 422
    assert taught.post("/api/label", keys=["0" * 16], label="blobs").status == 422
    assert taught.get("/api/thumbnail/..%2f..%2fetc%2fpasswd").status in (404, 422)
    assert taught.ask("POST", "/api/photographs?label=blobs&burst=../x", b"").status == 422
    assert taught.ask("POST", "/api/classes", b"{", Content_Type="application/json").status == 422
    elsewhere = taught.ask("POST", "/api/look", b"", Origin="http://evil.example")
    assert elsewhere.status == 403
    assert taught.ask("GET", "/api/state", Host="evil.example").status == 421


def test_pages_ask_no_other_host(taught):
    for path in ("/", "/page.css", "/studio.css", "/studio.js", "/studio-live.js"):
        answer = taught.get(path)
        assert answer.status == 200 and b"://" not in answer.body, path


def test_with_a_token_all_but_the_page_needs_it(tmp_path):
    with studio_at(tmp_path / "new", access=Access(token="s" * 20)) as client:
        assert client.get("/").status == client.get("/studio.js").status == 200
        assert client.get("/api/state").status == 401
        assert client.post("/api/classes", name="a").status == 401
        assert client.get("/api/state", Authorization="Bearer " + "s" * 20).status == 200
    assert not list((tmp_path / "new").iterdir())


def test_what_others_change_in_the_folder_is_seen(tmp_path):
    # Invariant: the folder alone is the truth; a second studio knows what the first was taught.
    root = lay_out(tmp_path / "textures", count=4)
    with studio_at(root, limits=Limits(seconds=5)) as client:
        assert [len(one["photographs"]) for one in client.post("/api/look").json["classes"]] == [
            4, 4,
        ]  # fmt: skip
        (root / "blobs" / "03.jpg").unlink()
        (root / "blobs" / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
        photographs = client.post("/api/look").json["classes"][0]["photographs"]
        reasons = [one["reason"] for one in photographs if one["reason"]]
        assert len(photographs) == 4 and len(reasons) == 1
        state = client.state()
        assert state["learnt_from"] == 7 and state["learnt"] == ["blobs", "stripes"]


def test_a_burst_counts_once(tmp_path):
    # Invariant: each class is three bursts of four; there are six pieces of evidence, not 24.
    with studio_at(tmp_path / "bursts") as client:
        for label in ("blobs", "stripes"):
            client.post("/api/classes", name=label)
            for burst in range(3):
                size = (128, 96)
                frames = [jpeg(label, 30 + burst, (size[0] + i, size[1])) for i in range(4)]
                client.send(label, *frames, burst=f"b{burst}")
        state = client.measured()
        figures = state["figures"]
        if "accuracy" in figures:
            assert figures["accuracy"]["n"] <= 6 + 1e-6
        else:
            assert figures["reason"]
        json.dumps(state)
