"""A server in a thread of this process, on a port of its own, and clients of plain sockets."""

import contextlib
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass, field

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httptools")

from tortie.loading import load
from tortie.serving import server as serving
from tortie.serving.app import make_app
from tortie.serving.limits import Access, Limits
from tortie.serving.service import Service


@dataclass
class Answered:
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Client:
    """Asks a server that runs here."""

    port: int
    service: Service
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, self.headers | named)
            response = connection.getresponse()
            return Answered(
                response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
            )

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def predict(self, body, query="", **headers):
        return self.ask("POST", "/predict" + query, body, **headers)

    def form(self, *parts, query=""):
        body, kind = form(*parts)
        return self.predict(body, query, Content_Type=kind)

    def raw(self, content, seconds=20):
        """All that the server answers to these bytes, until it closes or goes quiet."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            pieces = []
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while piece := connection.recv(65536):
                    pieces.append(piece)
            return b"".join(pieces)

    def raw_slowly(self, content):
        """The status of the answer to a body that does not end."""
        with (
            contextlib.suppress(ConnectionResetError),
            socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection,
        ):
            connection.sendall(content)
            return int(connection.recv(65536).split()[1])

    def until_ready(self):
        deadline = time.monotonic() + 60
        while self.get("/ready").status != 200:
            assert time.monotonic() < deadline, self.service.error
            time.sleep(0.02)
        return self


def form(*parts, boundary="b0undary"):
    """A multipart form of ``(field, name, content)``, and its content type."""
    body = b""
    for name, filename, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
        body += f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextlib.contextmanager
def running(load_classifier, limits=None, access=None, threads=2, reject_below=0.0):
    """A server that runs inside the block."""
    limits, access = limits or Limits(), access or Access()
    service = Service("textures", load_classifier, limits, threads)
    app = make_app(service, limits, access, reject_below)
    uvicorn_server = serving.Server(serving.make_config(app, limits))
    with serving.listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=uvicorn_server.run, args=([listening],))
        thread.start()
        try:
            yield Client(port, service)
        finally:
            uvicorn_server.end()
            thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def client(fitted_file):
    """A client of a server of ``blobs`` and ``stripes``, with small limits."""
    limits = Limits(body_bytes=2**21, pixels=4_000_000, files=4, seconds=5)
    with running(lambda: load(fitted_file), limits) as found:
        yield found.until_ready()
