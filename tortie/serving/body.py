"""The photographs of a request, read within its limits of bytes, seconds and number."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import Request

from tortie.images.formats import ENOUGH, format_of, refuse
from tortie.images.pixels import examine
from tortie.images.unreadable import HeaderGoesOn, TooManyPixels, UnreadableImage
from tortie.serving.limits import Limits, Refusal, busy
from tortie.serving.multipart import MultipartForm, Upload

RAW = "photograph"
"""Name of a photograph that is a request's whole body."""

_IN_A_THREAD = 2**18  # bytes whose header may take long enough to stop other requests


class BodyReader:
    """Reads bodies, and knows how much of them is in memory.

    Args:
        limits: of one request, and of all together.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def uploads(self, request: Request) -> AsyncIterator[list[Upload]]:
        """The photographs of a request; inside, their bytes count as held.

        Raises:
            Refusal: there is none, or one that is over a limit or malformed.
            ClientDisconnect: the client has gone.
        """
        counted = _Counted(self)
        try:
            yield await self._read(request, counted)
        finally:
            self._held -= counted.bytes

    async def _read(self, request: Request, counted: "_Counted") -> list[Upload]:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a compressed body: send it as it is")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        kind = request.headers.get("content-type", "")
        form = None
        if kind.partition(";")[0].strip().lower() == "multipart/form-data":
            form = MultipartForm(kind, self._limits.files)
        raw = bytearray()
        try:
            async with asyncio.timeout(self._limits.seconds):
                async for piece in request.stream():
                    counted.add(len(piece))
                    if form is None:
                        raw += piece
                    else:
                        form.feed(piece)
        except TimeoutError:
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body took longer than {self._limits.seconds:g} seconds",
                Connection="close",
            ) from None
        if form is not None:
            return form.close()
        if not raw:
            raise Refusal(HTTPStatus.BAD_REQUEST, "an empty body: expected a photograph")
        return [Upload(RAW, bytes(raw))]

    def take(self, count: int, so_far: int) -> None:
        """Count bytes of a request that has ``so_far`` with them.

        Raises:
            Refusal: too many, of the request or of all.
        """
        self._held += count
        if so_far > self._limits.body_bytes:
            raise self._too_large()
        if self._held > self._limits.total_bytes:
            raise busy("too many photographs are being sent at once")

    def _too_large(self) -> Refusal:
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is over the limit of {self._limits.body_bytes / 2**20:g} MiB",
        )


class _Counted:
    """The bytes of one request that its reader has counted."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self.bytes = 0

    def add(self, count: int) -> None:
        self.bytes += count
        self._reader.take(count, self.bytes)


async def check_header(content: bytes, pixels: int) -> None:
    """Refuse, by its first bytes and its header, what need not wait for its turn.

    Args:
        content: of the file.
        pixels: the largest width × height that is decoded.

    Raises:
        Refusal: it is no image of ours, is damaged, or has too many pixels.
    """
    if len(content) > _IN_A_THREAD:
        await asyncio.to_thread(_check_header, content, pixels)
    else:
        _check_header(content, pixels)


def _check_header(content: bytes, pixels: int) -> None:
    format = format_of(content[:ENOUGH])
    if format is None:
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, refuse(content[:ENOUGH]).reason)
    try:
        examine(content, format, len(content), pixels)
    except TooManyPixels as error:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.reason) from None
    except UnreadableImage as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.reason) from None
    except HeaderGoesOn:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "truncated") from None
    except Exception:  # a header that is hostile fails in many ways
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "damaged") from None
