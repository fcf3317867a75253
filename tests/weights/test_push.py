"""What a push says of a hub that does not do what it is asked."""

import pytest

from tests.weights.conftest import Answer
from tortie.errors import TortieError, UsageError
from tortie.weights.fetch import HubFile
from tortie.weights.push import keeps_card, push

TARGET = HubFile("cats/pets", None, "model.safetensors")
FILES = {"model.safetensors": b"0"}


def test_a_card_that_is_not_there_is_not_kept(server):
    missing = Answer(b"", 404, {"X-Error-Code": "EntryNotFound"})
    server.answers["/cats/pets/resolve/main/README.md"] = missing
    assert not keeps_card(TARGET)


def test_a_hub_that_does_not_answer_is_said(server, monkeypatch):
    server.answers["/cats/pets/resolve/main/README.md"] = Answer(b"", 503)
    with pytest.raises(
        TortieError, match=r"cannot push to hf://cats/pets: http://\S+ does not answer"
    ):
        keeps_card(TARGET)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, UsageError, "no leave to write there: `hf auth login`"),
        (403, UsageError, "no leave to write there"),
        (501, TortieError, "answers HTTP 501"),
    ],
)
def test_a_repository_that_cannot_be_made_is_said(server, status, kind, said):
    server.answers["/api/repos/create"] = Answer(b"{}", status)
    with pytest.raises(kind, match=said):
        push(TARGET, FILES, None, "a commit")


def test_names_that_the_hub_does_not_take_are_refused(server):
    with pytest.raises(UsageError, match="hf://-/--: "):
        push(TARGET._replace(repository="-/--"), FILES, None, "a commit")
