"""What is sent in error or in malice is refused with a reason, and the server lives on."""

import io
import json
import socket
import struct
import threading
import zipfile
import zlib
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.conftest import form, running
from tests.serving.test_predict import jpeg
from tortie.errors import UsageError
from tortie.loading import load
from tortie.serving.limits import Access, Limits, Refusal
from tortie.serving.multipart import MultipartForm
from tortie.serving.server import address_of, check_access, listen

TOKEN = "correct-horse-battery"


def png(width, height, data=b""):
    """A PNG of that size by its header, with these bytes as its compressed pixels."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(2**24))
    return content.getvalue()


WHOLE, KIND = form(("file", "a.jpg", jpeg()))

BAD = {
    "empty body": (b"", "image/jpeg", 400),
    "form cut off": (WHOLE[:-20], KIND, 400),
    "form cut off in its photograph": (WHOLE[: len(WHOLE) // 2], KIND, 400),
    "form cut off in its header": (WHOLE[:30], KIND, 400),
    "form without a boundary": (WHOLE, "multipart/form-data", 400),
    "form with another boundary": (WHOLE, "multipart/form-data; boundary=other", 400),
    "form with a long boundary": (WHOLE, "multipart/form-data; boundary=" + 300 * "x", 400),
    "form without photographs": (b"--b--\r\n", "multipart/form-data; boundary=b", 400),
    "field of another name": (*form(("path", "a.jpg", b"x")), 400),
    "part without a name": (b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
    "part with a long header": (*form(("file", 9000 * "x", b"x")), 400),
    "10,000 parts": (*form(*[("file", f"{i}.jpg", b"") for i in range(10_000)]), 413),
    "five photographs": (*form(*[("file", f"{i}.jpg", jpeg()) for i in range(5)]), 413),
    "3 MiB": (bytes(3 * 2**20), "image/jpeg", 413),
    "60,000×60,000": (png(60_000, 60_000), "image/png", 413),
    "70,000×1": (png(70_000, 1), "image/png", 413),
    "9 megapixels": (png(3000, 3000), "image/png", 413),
    "zip bomb": (zipped(), "image/png", 415),
    "gzip": (zlib.compress(bytes(2**20), wbits=31), "image/png", 415),
    "text": (b"hello", "image/jpeg", 415),
    "HTML": (b"<!doctype html><script>", "image/jpeg", 415),
    "PNG without pixels": (png(100, 100), "image/png", 422),
    "JPEG cut off": (jpeg()[:3000], "image/jpeg", 422),
    "JPEG of its first bytes": (jpeg()[:12], "image/jpeg", 422),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies(client, name, caplog):
    body, kind, status = BAD[name]
    answer = client.predict(body, Content_Type=kind)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json["error"], str) and answer.json["error"]
    assert client.predict(jpeg()).status == 200
    assert caplog.records == []  # the client is told, and the operator need not know


def test_names_of_clients_are_shown_and_never_paths(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("../../etc/passwd", "/etc/passwd", "..\\..\\x", "a\u202eb.jpg", "<b>"):
        (answer,) = client.form(("file", name, jpeg())).json
        assert answer["label"] == "blobs"
        assert answer["path"] == name.replace("\\", "\\")
    assert not list(tmp_path.iterdir())
    for path in ("/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/page.css/../server.py"):
        assert client.get(path).status == 404


def test_wrong_values_and_addresses(client):
    above = client.predict(jpeg(), "?reject_below=2")
    assert above.status == 422
    assert above.json == {"error": "reject_below is '2': expected at most 1"}
    word = client.predict(jpeg(), "?reject_below=much")
    assert word.json == {"error": "reject_below is 'much': expected a number"}
    assert client.predict(jpeg(), "?reject_below=nan").status == 422
    assert client.predict(jpeg(), "?top=3").json == {"error": "no parameter 'top'"}
    assert client.predict(jpeg(), Content_Encoding="gzip").status == 415
    assert client.get("/nothing").json == {"error": "Not Found"}
    wrong = client.get("/predict")
    assert wrong.status == 405 and wrong.headers["allow"] == "POST"


def test_all_of_several_refused(client):
    answer = client.form(("file", "a", b"x"), ("file", "b", png(60_000, 60_000)))
    assert answer.status == 415
    assert [one["path"] for one in answer.json["photographs"]] == ["a", "b"]


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 1000000000000\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\nx",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: 3\r\n\r\nabcdefGET / HTTP/1.1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Length: 100\r\n\r\nshort",
        HEAD + b"X: " + 100_000 * b"a" + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /predict HTTP/1.1\r\n\r\n",
    ],
)
def test_wrong_lengths_and_other_protocols(client, sent):
    answer = client.raw(sent)
    assert answer == b"" or answer.split()[1] in (b"400", b"413", b"415", b"421")
    if answer:
        head, _, told = answer.partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head
        assert f"content-length: {len(told)}\r\n".encode() in head
        assert list(json.loads(told)) == ["error"]
    assert client.predict(jpeg()).status == 200


def test_other_sites_may_not_ask(client):
    ours = f"127.0.0.1:{client.port}"
    assert client.predict(jpeg(), Origin=f"http://{ours}").status == 200
    for origin in (
        "http://evil.example",
        "null",
        f"http://{ours}.evil.example",
        "http://127.0.0.1",
    ):
        assert client.predict(jpeg(), Origin=origin).status == 403, origin
    assert client.predict(jpeg(), Sec_Fetch_Site="cross-site").status == 403
    for host in ("evil.example", f"evil.example:{client.port}", "localhost.evil.example", "[", ""):
        assert client.get("/", Host=host).status == 421, host
    for host in ("localhost", f"LOCALHOST:{client.port}", "127.0.0.1", "[::1]:80", "192.0.2.7"):
        assert client.get("/", Host=host).status == 200, host


def test_tokens(fitted_file):
    access = Access(TOKEN, frozenset({"pets.example"}))
    with running(lambda: load(fitted_file), access=access) as client:
        client.until_ready()
        for path in ("/", "/docs", "/health", "/ready", "/page.js"):
            assert client.get(path).status == 200
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/model", "/metrics", "/nothing"):
                answer = client.get(path, **wrong)
                assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert client.predict(jpeg(), **wrong).status == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.predict(jpeg(), **right).status == 200
        assert client.get("/model", Host="pets.example", **right).status == 200


def test_beyond_this_machine_only_with_a_token():
    for host in ("0.0.0.0", "::", "192.0.2.7", "pets.example", ""):
        with pytest.raises(UsageError, match="TORTIE_TOKEN"):
            check_access(host, None, [])
        assert check_access(host, TOKEN, []).token == TOKEN
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert check_access(host, None, ["Pets.example"]).hosts == {host, "pets.example"}
    with pytest.raises(UsageError, match="5 characters: expected 16"):
        check_access("127.0.0.1", "short", [])


def test_the_address_that_is_told_is_answered():
    # Oracle: the name that a browser sends, of the address that the command prints.
    for host in ("0.0.0.0", "127.0.0.1"):
        with listen(host, 0) as listening:
            name = urlsplit(address_of(listening)).hostname
        hosts = check_access(host, TOKEN, []).hosts
        assert name in hosts, host
    assert socket.gethostname().lower() not in hosts  # of this machine's own address alone


def test_bodies_together_are_bounded(fitted_file):
    limits = Limits(body_bytes=2**20, total_bytes=2**20 + 2**19, seconds=3)
    with running(lambda: load(fitted_file), limits) as client:
        client.until_ready()
        head = HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(900_000)
        statuses = set()  # whichever comes second is refused
        slow = threading.Thread(target=lambda: statuses.add(client.raw_slowly(head)))
        slow.start()
        while slow.is_alive():
            statuses.add(client.predict(bytes(900_000)).status)
        assert 503 in statuses
        assert client.predict(jpeg()).status == 200


@settings(max_examples=200)
@given(st.binary(max_size=300), st.integers(1, 40))
def test_forms_of_any_bytes(noise, step):
    # Invariant: a form is read or refused, however it comes in pieces; nothing else is raised.
    body = b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\n" + noise + b"\r\n--b--\r\n"
    for content in (body, noise, b"--b" + noise):
        reader = MultipartForm("multipart/form-data; boundary=b", 3)
        try:
            for start in range(0, len(content), step):
                reader.feed(content[start : start + step])
            uploads = reader.close()
        except Refusal:
            continue
        if content is body and b"--b" not in noise:
            assert [one.content for one in uploads] == [noise]
