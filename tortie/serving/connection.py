"""A connection of the server: it is closed where it brings no whole request in time.

uvicorn waits for ever for the end of a header, and for a body that nobody reads any more, and
httptools keeps whatever a header holds until it is whole.
"""

import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UNHEARD = 2**14
"""Bytes that may come without a whole header or a piece of a body: of a header, of trailers."""

_NO_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n%b"
)


def connection(patience: float) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol with an end to its patience.

    Args:
        patience: seconds for the header of a request, and between requests.
    """

    class Connection(HttpToolsProtocol):
        _timer: Any = None
        _unheard = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            self._unheard += len(data)
            super().data_received(data)
            if self._unheard > _UNHEARD and not self.transport.is_closing():
                self.send_400_response("A header that is too long.")
            self._watch()

        def send_400_response(self, msg: str) -> None:
            """Refuse what is no HTTP, in the form of all refusals."""
            body = json.dumps({"error": msg}).encode()
            self.transport.write(_NO_HTTP % (len(body), body))
            self.transport.close()

        def on_headers_complete(self) -> None:
            self._unheard = 0
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._unheard = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._unheard = 0
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel()
            super().connection_lost(exc)

        def _watch(self) -> None:
            """Time it from when nothing is asked, to when a request's header is whole."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._cancel()
            elif self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(patience, self.transport.close)

        def _cancel(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Connection
