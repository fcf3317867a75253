"""The process that serves: its socket, its connections' patience, its end."""

import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from tortie.errors import TortieError, UsageError
from tortie.serving.app import make_app
from tortie.serving.connection import connection
from tortie.serving.limits import Access, Limits
from tortie.serving.service import Service

SHORTEST_TOKEN = 16
"""Characters: 16 that are drawn cannot be guessed over a network."""

_BACKLOG = 2048


def check_access(host: str, token: str | None, names: list[str]) -> Access:
    """Who may ask a server on this host.

    Args:
        host: that the server listens on.
        token: that each request must carry, if any.
        names: by which the server is called, besides the host's.

    Raises:
        UsageError: the host can be reached by others and there is no token, or a short one.
    """
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii()):
        raise UsageError(
            f"TORTIE_TOKEN has {len(token)} characters: expected {SHORTEST_TOKEN} or more of ASCII"
        )
    if token is None and not _is_this_machine(host):
        raise UsageError(
            f"--host {host} can be reached by others: set the environment variable TORTIE_TOKEN "
            f"to a secret of {SHORTEST_TOKEN} characters or more"
        )
    own = [socket.gethostname()] if _is_every_address(host) else []  # what address_of says
    return Access(token, frozenset(name.lower() for name in (*names, *own, host)))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        UsageError: the host is not this machine's, or the port is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot listen on {host}, port {port}: {reason}; see --port") from None


def address_of(listening: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = listening.getsockname()[:2]
    if _is_every_address(host):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    make_service: Callable[[Callable[[], None]], Service],
    listening: socket.socket,
    limits: Limits,
    access: Access,
    reject_below: float,
    announce: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM; requests that were accepted are answered first.

    Args:
        make_service: makes the classifier's service from what it calls where loading fails.
        listening: the socket.
        limits: of a request.
        access: who may ask.
        reject_below: photographs whose highest probability is below this get no label.
        announce: called once requests are answered, and a signal ends the server well.

    Raises:
        TortieError: the classifier cannot be loaded.
    """
    stop: list[Server] = []
    service = make_service(lambda: stop[0].end())
    config = make_config(make_app(service, limits, access, reject_below), limits)
    stop.append(Server(config, announce))
    stop[0].run([listening])
    if service.error is not None:
        raise service.error
    if not stop[0].started:
        raise TortieError("the server could not start")


def serve_app(
    app: FastAPI, listening: socket.socket, limits: Limits, announce: Callable[[], None]
) -> None:
    """Serve an application until SIGINT or SIGTERM, as :func:`serve` does.

    Raises:
        TortieError: it cannot start.
    """
    server = Server(make_config(app, limits), announce)
    server.run([listening])
    if not server.started:
        raise TortieError("the server could not start")


def make_config(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """How uvicorn runs the application: it logs errors alone, and waits for nobody for ever."""
    logging.getLogger("uvicorn.error").addFilter(_is_ours)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the client is told
    return uvicorn.Config(
        app,
        http=connection(limits.seconds),
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(limits.seconds)),
        timeout_graceful_shutdown=max(1, round(limits.seconds)),
    )


class Server(uvicorn.Server):
    """A server that ends well on a signal, instead of dying by it once its work is done.

    Args:
        config: how it runs.
        announce: called once it answers, when a signal already ends it well.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and announce it."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._announce()

    def end(self) -> None:
        """Stop, when what was accepted is answered."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM end the server; a second SIGINT does not wait."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error of uvicorn's concerns the operator: not that a client went."""
    return "timeout graceful shutdown" not in record.getMessage()


def _is_every_address(host: str) -> bool:
    """Whether it stands for all addresses of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_this_machine(host: str) -> bool:
    """Whether nobody else can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
