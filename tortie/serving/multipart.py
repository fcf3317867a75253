"""Photographs out of a multipart form (RFC 7578), as its bytes come in, in memory alone."""

from dataclasses import dataclass
from http import HTTPStatus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tortie.serving.limits import Refusal

FIELDS = ("file", "files")
"""Names of the form's fields that may hold photographs."""

_HEADERS = 8  # of a part
_HEADER_BYTES = 4096
_NAME = 1024  # characters of a name that are kept
_BAD = HTTPStatus.BAD_REQUEST


@dataclass(frozen=True)
class Upload:
    """A photograph as a client sent it.

    Attributes:
        name: what the client calls it. It is shown, and never a path.
        content: the bytes of the file.
    """

    name: str
    content: bytes


class MultipartForm:
    """A form that is read piece by piece; it is refused as soon as something is wrong with it.

    Args:
        content_type: of the request, with the boundary.
        most: photographs that it may hold.

    Raises:
        Refusal: there is no boundary, or one that cannot be.
    """

    def __init__(self, content_type: str, most: int) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise Refusal(_BAD, "multipart/form-data without a boundary")
        self._most = most
        self._uploads: list[Upload] = []
        self._ended = False
        self._begin()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_field,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_part,
                    "on_end": self._on_end,
                },
                max_header_count=_HEADERS,
                max_header_size=_HEADER_BYTES,
            )
        except FormParserError:
            raise Refusal(_BAD, "a boundary that is too long") from None

    def feed(self, piece: bytes) -> None:
        """Read on.

        Raises:
            Refusal: it is malformed, holds too many photographs or a field of another name.
        """
        try:
            self._parser.write(piece)
        except FormParserError:
            raise Refusal(_BAD, "malformed multipart/form-data") from None

    def close(self) -> list[Upload]:
        """The photographs, in order.

        Raises:
            Refusal: the form is cut off, or holds none.
        """
        if not self._ended:
            raise Refusal(_BAD, "the form is cut off: its last boundary is missing")
        if not self._uploads:
            raise Refusal(_BAD, "no photograph: send it in the field file or files")
        return self._uploads

    def _begin(self) -> None:
        self._field, self._value, self._content = bytearray(), bytearray(), bytearray()
        self._name: str | None = None

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            kind, options = parse_options_header(bytes(self._value))
            field = options.get(b"name", b"").decode("utf-8", "replace")
            if kind != b"form-data" or field not in FIELDS:
                raise Refusal(
                    _BAD, f"a form field {field[:60]!r}: photographs come in file or files"
                )
            self._name = options.get(b"filename", b"").decode("utf-8", "replace")[:_NAME]
        self._field, self._value = bytearray(), bytearray()

    def _on_headers(self) -> None:
        if self._name is None:
            raise Refusal(_BAD, "a part of the form without a name")
        if len(self._uploads) >= self._most:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"more than {self._most} photographs in one request",
            )

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _on_part(self) -> None:
        self._uploads.append(Upload(self._name or FIELDS[0], bytes(self._content)))
        self._content = bytearray()

    def _on_end(self) -> None:
        self._ended = True
