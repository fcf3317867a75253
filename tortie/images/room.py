"""Room in memory: small images are decoded side by side, large ones one at a time."""

import contextlib
import threading
from collections.abc import Iterator

from tortie.forks import reset_in_child


class Room:
    """Pixels that may be decoded at once, by all threads together.

    An image that needs more than there is takes all of it, and waits until it is alone.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self.reset()
        reset_in_child(self)

    def reset(self) -> None:
        """All of it is free."""
        self._free = self._pixels
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Inside, so many pixels are taken."""
        wanted = min(pixels, self._pixels)
        with self._changed:
            self._changed.wait_for(lambda: wanted <= self._free)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()
