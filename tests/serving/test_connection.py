"""What a connection may send before a whole request is there, over plain sockets."""

import contextlib
import socket

import pytest

from tests.serving.conftest import form, running
from tests.serving.test_load import Slow
from tests.serving.test_predict import jpeg

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Content-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def client():
    slow = Slow()
    slow.go.set()
    with running(lambda: slow) as client:
        yield client.until_ready()


@pytest.mark.parametrize(
    "begin, piece",
    [
        (HEAD + b"X: ", 1024 * b"a"),  # a value without end
        (HEAD, b"X: 1\r\n" * 150),  # headers without end
        (b"GET /", 1024 * b"a"),  # an address
        (CHUNKED + b"1\r\na\r\n0\r\n", b"X: 1\r\n" * 150),  # trailers
        (CHUNKED + b"1;", 1024 * b"a"),  # an extension of a chunk
    ],
)
def test_what_is_no_body_is_bounded(client, begin, piece):
    # The default patience is 30 s: it is the length that ends each, long before.
    said, sent = b"", len(begin)
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", client.port), timeout=0.02) as connection,
    ):
        connection.sendall(begin)
        while not said:
            connection.sendall(piece)
            sent += len(piece)
            assert sent < 2**17
            with contextlib.suppress(TimeoutError):
                said = connection.recv(65536)
    assert said == b"" or said.startswith(b"HTTP/1.1 400 ")
    assert not said or said.endswith(b'{"error": "A header that is too long."}')
    assert client.predict(jpeg()).status == 200


def test_requests_in_one_piece_are_answered_in_turn(client):
    # Oracle: RFC 9112, 9.3.2: answers to pipelined requests come in their order.
    body, kind = form(("file", "first.jpg", jpeg()))
    head = HEAD + f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    end = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(head + body + end)
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.index(b"first.jpg") < answer.index(b'"status"')
