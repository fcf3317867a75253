"""Reading a file elsewhere in few requests, and few bytes more than are wanted.

What goes on from the last piece is fetched ahead, twice as much each time, as operating systems do
it; a piece elsewhere is fetched alone. So members of an archive that are read in its order come
many at a time, and those that are read in another order come one by one: photographs of 110 kB
with 4 MB ahead of each were 33 times their bytes.
"""

from typing import Any, NamedTuple

_LEAST = 2**14  # bytes of a request
_FIRST = 2**16  # bytes ahead of a piece that goes on from another; then twice as many
_BEHIND = 4  # of what is fetched ahead, a quarter stays behind, for threads that are late


class _Piece(NamedTuple):
    """Bytes that were fetched, and where they begin."""

    begin: int
    content: bytes

    @property
    def end(self) -> int:
        return self.begin + len(self.content)

    def has(self, begin: int, end: int) -> bool:
        return self.begin <= begin and end <= self.end

    def part(self, begin: int, end: int) -> bytes:
        return self.content[begin - self.begin : end - self.begin]


class ReadAhead:
    """An opened file of a known size, of which a stretch is kept, and the next fetched ahead.

    Args:
        file: it seeks and reads, and each read is a request.
        size: its bytes.
        most: bytes that are fetched ahead.
    """

    def __init__(self, file: Any, size: int, most: int) -> None:
        self._file, self._size, self._most, self._behind = file, size, most, most // _BEHIND
        self._place = 0
        self._stretch = self._alone = _Piece(0, b"")
        self._ahead = min(_FIRST, most)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, all of them by default; fewer at the file's end."""
        begin = self._place
        end = self._size if size < 0 else min(self._size, begin + size)
        if begin >= end:
            return b""
        piece = next((one for one in (self._stretch, self._alone) if one.has(begin, end)), None)
        found = (piece or self._fetch(begin, end)).part(begin, end)
        self._place = begin + len(found)
        return found

    def _fetch(self, begin: int, end: int) -> _Piece:
        """A piece that has some bytes: the stretch, gone on with, or one alone."""
        goes_on = self._stretch.begin <= begin <= self._stretch.end + self._ahead
        if not goes_on and self._alone.begin <= begin <= self._alone.end + _LEAST:
            goes_on, self._stretch, self._ahead = True, self._alone, min(_FIRST, self._most)
        if not goes_on:
            self._alone = self._fetched(begin, max(end, begin + min(_LEAST, self._most)))
            return self._alone
        # What is between comes along where it is little: a late thread may ask for it.
        near = begin <= self._stretch.end + self._behind
        before = self._stretch if near else _Piece(begin, b"")
        first = max(before.begin, begin - self._behind)
        more = self._fetched(before.end, max(end, begin + self._ahead))
        self._stretch = _Piece(first, before.part(first, before.end) + more.content)
        self._ahead = min(2 * self._ahead, self._most)
        return self._stretch

    def _fetched(self, begin: int, end: int) -> _Piece:
        self._file.seek(begin)
        return _Piece(begin, bytes(self._file.read(min(end, self._size) - begin)))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        self._place = max(0, offset + (0, self._place, self._size)[whence])
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._stretch = self._alone = _Piece(0, b"")
