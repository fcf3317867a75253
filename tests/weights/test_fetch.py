"""Fetching from a server on loopback: what is right arrives once, what is wrong leaves nothing."""

import hashlib
import re
import socket
from pathlib import Path

import pytest

from tests.weights.conftest import Answer
from tortie.errors import TortieError, UsageError
from tortie.weights.fetch import HubFile, fetch_address, fetch_configuration, fetch_from_hub

BODY = bytes(range(256)) * 40
SHA256 = hashlib.sha256(BODY).hexdigest()
NAME = f"net-{SHA256[:8]}.pth"
WANTED = HubFile("cats/pets", None, "model.safetensors")


def files(folder):
    """What a cache holds: contents and partial files, not its bookkeeping."""
    kept = [path for path in Path(folder).rglob("*") if path.is_file() and path.stat().st_size]
    return [path.name for path in kept if not {"refs", ".locks"} & set(path.parts)]


def test_an_address_is_fetched_once_into_the_folder_of_torch_hub(server, tmp_path):
    address = server.plain(NAME, BODY)
    path = fetch_address(address)
    assert path == tmp_path / "torch/hub/checkpoints" / NAME  # where torchvision looks
    assert path.read_bytes() == BODY
    assert fetch_address(address) == path
    assert server.fetched(NAME) == 1
    assert files(tmp_path / "torch") == [NAME]


def test_what_is_there_and_damaged_is_fetched_again(server, tmp_path):
    address = server.plain(NAME, BODY)
    fetch_address(address).write_bytes(BODY[:-1])
    assert fetch_address(address).read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(BODY[:-1] + b"!"), "is not the published file .* was not kept: try again"),
        (Answer(b"<html>Log in</html>"), "is not the published file .* a web page"),
        (Answer(BODY, cuts=[5000]), "is not the published file .* cut off on the way"),
        (Answer(b"gone", 404), "cannot fetch .*: HTTP 404 Not Found; fetch it by hand"),
        (Answer(b"", 503), "HTTP 503"),
    ],
)
def test_a_wrong_answer_leaves_nothing_and_says_the_way_out(server, tmp_path, answer, reason):
    server.answers[f"/{NAME}"] = answer
    with pytest.raises(TortieError, match=reason) as caught:
        fetch_address(f"{server.url}/{NAME}")
    line = str(caught.value)
    assert f"{server.url}/{NAME}" in line and "--weights FILE" in line and "\n" not in line
    assert files(tmp_path) == []


def test_a_refused_connection_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/{NAME}"
        with pytest.raises(TortieError, match=r"cannot fetch .*: Connection refused; fetch it by"):
            fetch_address(address)
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_says_so(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(TortieError, match=r"cannot fetch .*: Not a directory"):
        fetch_address(server.plain(NAME, BODY))


def test_an_address_that_cannot_be_checked_is_refused(server):
    with pytest.raises(UsageError, match=r"net\.pth says no SHA-256"):
        fetch_address(server.plain("net.pth", BODY))
    assert server.requests == []


def test_offline_takes_what_is_there_and_asks_nobody(server, offline, tmp_path):
    address = server.plain(NAME, BODY)
    with pytest.raises(TortieError, match=rf"offline .*{NAME} is not there: .*{NAME}"):
        fetch_address(address)
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(BODY[1:])
    with pytest.raises(TortieError, match="is damaged"):
        fetch_address(address)
    (folder / NAME).write_bytes(BODY)
    assert fetch_address(address).read_bytes() == BODY
    assert server.requests == []


def test_a_hub_file_is_fetched_once_and_is_there_offline(server, monkeypatch):
    server.hub(WANTED.repository, WANTED.file, BODY)
    assert fetch_from_hub(WANTED).read_bytes() == BODY
    assert fetch_from_hub(WANTED).read_bytes() == BODY
    assert server.fetched(WANTED.file) == 1
    asked = len(server.requests)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch_from_hub(WANTED).read_bytes() == BODY
    assert len(server.requests) == asked


def test_a_hub_connection_cut_in_the_middle_is_resumed(server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    server.hub(WANTED.repository, WANTED.file, BODY, cuts=[5000])
    assert fetch_from_hub(WANTED).read_bytes() == BODY
    spans = [span for method, path, span in server.requests if method == "GET" and span]
    assert spans == ["bytes=5000-"]


def test_a_hub_connection_that_is_always_cut_leaves_nothing(server, tmp_path):
    server.hub(WANTED.repository, WANTED.file, BODY, cuts=[0] * 99)
    with pytest.raises(TortieError, match=r"cannot fetch hf://cats/pets/.*--weights FILE"):
        fetch_from_hub(WANTED)
    assert files(tmp_path / "hub") == ["CACHEDIR.TAG"]


def test_a_hub_file_of_another_sha256_is_not_kept(server, tmp_path):
    server.hub(WANTED.repository, WANTED.file, BODY)
    page = f"/{WANTED.repository}/resolve/main/{WANTED.file}"
    server.answers[page].body = BODY[:-1] + b"!"
    with pytest.raises(TortieError, match=r"damaged .*SHA-256 differs.* was not kept"):
        fetch_from_hub(WANTED)
    assert files(tmp_path / "hub") == ["CACHEDIR.TAG"]
    server.answers[page].body = BODY
    assert fetch_from_hub(WANTED).read_bytes() == BODY


@pytest.mark.parametrize(
    ("code", "status", "kind", "reason"),
    [
        ("RepoNotFound", 404, UsageError, "no such repository"),
        ("GatedRepo", 403, UsageError, "agreement"),
        ("RevisionNotFound", 404, UsageError, "no revision old there"),
        ("EntryNotFound", 404, UsageError, "no such file .*name one: hf://cats/pets/FILE"),
        ("", 500, TortieError, "answers HTTP 500.*--weights FILE"),
        ("", 200, TortieError, "does not answer as a hub does .*web page"),
    ],
)
def test_what_a_hub_refuses_is_said_in_a_line(server, tmp_path, code, status, kind, reason):
    headers = {"X-Error-Code": code} if code else {}
    wanted = WANTED._replace(revision="old")
    server.answers["/cats/pets/resolve/old/model.safetensors"] = Answer(b"?", status, headers)
    with pytest.raises(kind, match=reason) as caught:
        fetch_from_hub(wanted)
    assert str(wanted) in str(caught.value) and "\n" not in str(caught.value)
    assert files(tmp_path / "hub") == []


def test_a_hub_that_is_not_there_or_offline_says_so(server, monkeypatch):
    server.stop()
    with pytest.raises(TortieError, match=f"{server.url} does not answer .*refused.*no copy"):
        fetch_from_hub(WANTED)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TortieError, match=r"offline \(HF_HUB_OFFLINE\), and no copy is cached"):
        fetch_from_hub(WANTED)


def test_a_configuration_is_what_its_json_says(server):
    assert fetch_configuration(WANTED) == {}
    nested = HubFile("cats/pets", None, "big/model.safetensors")
    server.hub("cats/pets", "big/config.json", b'{"architecture": "resnet50"}')
    assert fetch_configuration(nested) == {"architecture": "resnet50"}
    server.hub("cats/page", "config.json", b"<html>")
    with pytest.raises(TortieError, match=r"hf://cats/page/config\.json is no JSON"):
        fetch_configuration(WANTED._replace(repository="cats/page"))


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("hf://cats/pets", ("cats/pets", None, "model.safetensors")),
        ("hf://timm/resnet18.a1_in1k", ("timm/resnet18.a1_in1k", None, "model.safetensors")),
        ("hf://cats/pets/big/a.safetensors", ("cats/pets", None, "big/a.safetensors")),
        ("hf://cats/pets@v1/a.pth", ("cats/pets", "v1", "a.pth")),
    ],
)
def test_addresses_of_the_hub(address, wanted):
    assert HubFile.parse(address) == wanted
    assert HubFile.parse(str(HubFile.parse(address))) == wanted


@pytest.mark.parametrize("address", ["hf://", "hf://pets", "hf://cats/", "hf://cats/pets@/a"])
def test_an_address_of_no_repository_is_refused(address):
    with pytest.raises(UsageError, match=re.escape(f"{address} is not of the form hf://OWNER")):
        HubFile.parse(address)
