"""A server on loopback that answers as a hub or as a plain host does, well or badly."""

import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest


@dataclass
class Answer:
    """What the server says of one path.

    Attributes:
        body: the whole content.
        status: of the answer.
        headers: beside the length.
        cuts: of each request in turn, after how many bytes the connection is cut.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)


class Server:
    """Answers by path; ``requests`` remembers ``(method, path, range)``."""

    def __init__(self):
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                owner.answer(self)

            do_GET = do_POST = do_HEAD

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, request):
        span = request.headers.get("Range")
        self.requests.append((request.command, request.path, span))
        found = self.answers.get(request.path, Answer(b"not here", 404))
        start = int(span.removeprefix("bytes=").partition("-")[0]) if span else 0
        body = found.body[start:]
        request.send_response(206 if span else found.status)
        request.send_header("Content-Length", str(len(body)))
        for name, value in found.headers.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            if found.cuts:
                body = body[: found.cuts.pop(0)]
            request.wfile.write(body)

    def plain(self, name, body, **answer):
        """A file of a plain host; its address."""
        self.answers[f"/{name}"] = Answer(body, **answer)
        return f"{self.url}/{name}"

    def hub(self, repository, file, body, **answer):
        """A file of a hub's repository, with the headers that the hub sends."""
        headers = {
            "X-Repo-Commit": "0123456789abcdef0123456789abcdef01234567",
            "ETag": f'"{hashlib.sha256(body).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        self.answers[f"/{repository}/resolve/main/{file}"] = Answer(body, headers=headers, **answer)

    def fetched(self, name):
        """How often a file of that name was sent."""
        return sum(method == "GET" and path.endswith(name) for method, path, _ in self.requests)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A running server, which huggingface_hub takes for its hub; caches of their own."""
    from huggingface_hub import constants

    running = Server()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "ENDPOINT", running.url)
    template = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hurried = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", hurried)
    monkeypatch.setattr("huggingface_hub.file_download.time", hurried)
    yield running
    running.stop()


@pytest.fixture
def offline(monkeypatch):
    """No network, as ``HF_HUB_OFFLINE=1`` says."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
