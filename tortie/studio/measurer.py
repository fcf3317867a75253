"""Keeps the figures those of the newest snapshot, beside the requests."""

import os
import sys
import threading

from tortie.studio.figures import (
    StudioFigures,
    is_quick,
    quick_figures,
    whole_figures,
    with_check,
)
from tortie.studio.teacher import Snapshot, Teacher

IDLE = 2.0
"""Seconds without a change after which a whole fit follows quick figures."""
_NICE = 10  # of that fit: what is asked meanwhile comes first


class Measurer:
    """Fits and checks the folder in threads of its own, always the newest snapshot.

    A whole fit of few photographs is quick. Of more, quick figures come first, and a whole fit
    follows once the folder is left alone: it chooses the penalty anew, and is the one that is
    downloaded. It has a thread of its own, so that what is added meanwhile need not wait for it.

    A fit finds what a check does; a check of its own follows where the fit failed, or was of
    thousands.

    Photographs of one burst are one group: on one side of every split, and counted once.

    Args:
        teacher: whose snapshots are measured.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.figures = StudioFigures()
        self._teacher = teacher
        self._changed = threading.Condition()
        self._newest = Snapshot()
        self._whole = StudioFigures()
        self._ended = False
        for name, run in (("tortie-figures", self._measure_all), ("tortie-fit", self._fit_idle)):
            threading.Thread(target=run, name=name, daemon=True).start()

    def measure(self, snapshot: Snapshot) -> None:
        """Measure this snapshot next."""
        with self._changed:
            if snapshot.version > self._newest.version:
                self._newest = snapshot
                self._changed.notify_all()

    def wait(self, version: int, seconds: float) -> StudioFigures:
        """Of a whole fit of this snapshot or a later one; an older where it takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: self._whole.version >= version, seconds)
            return self._whole

    def close(self) -> None:
        """End after the fits that are under way."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _measure_all(self) -> None:
        """Whenever the folder changes: quick figures, or a whole fit where that is quick."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._newest.version > self.figures.version or self._ended
                )
                if self._ended:
                    return
                snapshot = self._newest
            if is_quick(snapshot):
                figures = quick_figures(snapshot, self._teacher.options, self.figures)
            else:
                figures = whole_figures(snapshot, self._teacher, self.figures)
            self._publish(figures)
            if figures.whole and not figures.checked and self._newest is snapshot:
                self._publish(with_check(figures, snapshot, self._teacher.options))

    def _fit_idle(self) -> None:
        """A whole fit after quick figures, once nothing has changed for a while."""
        if sys.platform == "linux":  # where a thread has a niceness of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            snapshot = self._left_alone()
            if self._ended:
                return
            if snapshot is None:
                continue
            figures = whole_figures(snapshot, self._teacher, self.figures)
            if not figures.checked and self._newest is snapshot:
                figures = with_check(figures, snapshot, self._teacher.options)
            self._publish(figures)

    def _left_alone(self) -> Snapshot | None:
        """The newest snapshot, of quick figures, if nothing has changed for a while."""
        with self._changed:
            self._changed.wait_for(lambda: not self.figures.whole or self._ended)
            snapshot = self._newest
            changed = self._changed.wait_for(
                lambda: self._newest is not snapshot or self._ended, IDLE
            )
            return None if changed or self.figures.version < snapshot.version else snapshot

    def _publish(self, figures: StudioFigures) -> None:
        """Show figures, unless newer ones are shown already."""
        with self._changed:
            if figures.version >= self.figures.version:
                self.figures = figures
            if figures.whole:
                self._whole = figures
            self._changed.notify_all()
