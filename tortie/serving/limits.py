"""What a server takes, and the error for what it does not."""

from dataclasses import dataclass, field
from http import HTTPStatus

from tortie.errors import TortieError


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may cost.

    Attributes:
        body_bytes: of one request.
        pixels: of one photograph, width × height, by its header.
        files: photographs in one request.
        seconds: that a client may take to send its request.
        queue: photographs that wait at once.
        total_bytes: bodies that are held at once, of all requests together.
    """

    body_bytes: int = 32 * 2**20
    pixels: int = 50_000_000
    files: int = 32
    seconds: float = 30.0
    queue: int = 128
    total_bytes: int = 256 * 2**20


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        token: that each request must carry; ``None`` where none is needed.
        hosts: names in lower case, without port, that the server is called by, besides
            ``localhost`` and addresses.
    """

    token: str | None = None
    hosts: frozenset[str] = field(default_factory=frozenset)


class Refusal(TortieError):
    """A request that is refused.

    Attributes:
        status: of the answer.
        reason: in a sentence, for the client.
        headers: of the answer.
    """

    def __init__(self, status: HTTPStatus, reason: str, **headers: str) -> None:
        self.status = status
        self.reason = reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(reason)


def busy(reason: str, seconds: float = 1) -> Refusal:
    """The refusal of a server that cannot take more just now."""
    wait = str(max(1, round(seconds)))
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, Retry_After=wait)
