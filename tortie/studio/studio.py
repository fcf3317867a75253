"""The studio as one object: the folder, what was learnt from it, and how good that is."""

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tortie.classifier import ImageClassifier
from tortie.errors import TortieError, UsageError
from tortie.evaluation.gallery import thumbnail
from tortie.evaluation.prediction import STRANGE
from tortie.studio.measurer import Measurer
from tortie.studio.photograph_folder import FolderPhotograph, PhotographFolder
from tortie.studio.teacher import Snapshot, Teacher

_PATIENCE = 300.0  # seconds that a download waits for the fit of what was just added
_LEAVE = 30.0  # that the end waits for what was begun at the start
_NAME = "classifier"
_OFFERED = 12  # unlabelled photographs at a time


class Studio:
    """What the page shows and changes.

    Args:
        folder: of the photographs.
        teacher: learns from it.
    """

    def __init__(self, folder: PhotographFolder, teacher: Teacher) -> None:
        self.folder = folder
        self.teacher = teacher
        self.error = ""
        self._measurer = Measurer(teacher)
        self._offered: dict[str, FolderPhotograph] = {}
        self._beginning = threading.Thread(target=self._begin, name="tortie-look", daemon=True)

    def start(self) -> None:
        """Begin to look at what is in the folder, and to make the network ready."""
        self._beginning.start()

    def close(self) -> None:
        """End after what is under way."""
        self._measurer.close()
        if self._beginning.is_alive():  # a process that ends while an engine is made, aborts
            self._beginning.join(_LEAVE)

    def look(self) -> dict[str, Any]:
        """Learn what changed in the folder; the state then."""
        snapshot = self.teacher.refresh()
        self._measurer.measure(snapshot)
        return self.state()

    def changed(self, change: Callable[..., object], *arguments: object) -> dict[str, Any]:
        """Change the folder, and learn from it."""
        change(*arguments)
        return self.look()

    def move(self, keys: Sequence[str], label: str) -> dict[str, Any]:
        """Put photographs into another class."""
        return self.changed(self.folder.move, self.teacher.snapshot.chosen(keys), label)

    def remove(self, keys: Sequence[str]) -> dict[str, Any]:
        """Take photographs out of the folder, into ``.removed``."""
        return self.changed(self.folder.remove, self.teacher.snapshot.chosen(keys))

    def photograph(self, key: str) -> FolderPhotograph:
        """A photograph of the folder, or one that was offered to label.

        Raises:
            UsageError: no such photograph.
        """
        if (offered := self._offered.get(key)) is not None:
            return offered
        return self.teacher.snapshot.chosen([key])[0]

    def thumbnail(self, key: str) -> str:
        """A photograph as a small JPEG in a data URI; empty where it went or moved meanwhile."""
        try:
            return thumbnail(self.photograph(key).path)
        except UsageError:
            return ""

    def to_label(self) -> dict[str, Any]:
        """The unlabelled photographs to label first."""
        first, left = self.teacher.to_label(_OFFERED)
        self._offered |= {one.key: one for one in first}
        return {"keys": [one.key for one in first], "left": left}

    def label(self, keys: Sequence[str], label: str) -> dict[str, Any]:
        """Copy unlabelled photographs into a class, those that no class has meanwhile."""
        for key in keys:
            one = self.teacher.unlabelled(key)
            if not self.teacher.knows(one):
                self.folder.add(label, one.path.read_bytes())
        return self.look()

    def state(self) -> dict[str, Any]:
        """All that the page shows, but the photographs themselves."""
        snapshot, figures = self.teacher.snapshot, self._measurer.figures
        return {
            "version": snapshot.version,
            "folder": str(self.folder.root),
            "done": self.teacher.done,
            "total": self.teacher.total,
            "ready": self.teacher.ready,
            "left": self.teacher.left(),
            "error": self.error,
            "classes": _classes(snapshot),
            "learnt": list(snapshot.learnt),
            "learnt_from": len(snapshot.features) if snapshot.head is not None else 0,
            "solve_seconds": snapshot.seconds,
            "strange_percentile": STRANGE,
            "figures_of": figures.version,
            "figures": figures.document,
            "findings": figures.findings,
        }

    def classifier_file(self) -> bytes:
        """The classifier as ``tortie fit`` writes it.

        Raises:
            UsageError: there is too little to fit.
        """
        with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
            return self._saved(Path(folder)).read_bytes()

    def page_file(self) -> bytes:
        """The classifier as one page that works offline.

        Raises:
            UsageError: there is too little to fit, or this installation has no runtime.
        """
        from tortie.export.export import ExportOptions, export

        with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
            model, output = self._saved(Path(folder)), Path(folder) / "classifier.html"
            some = [one.path for one in self.teacher.snapshot.photographs[:: self._step()]]
            export(model, output, ExportOptions(check=some))
            return output.read_bytes()

    def report_file(self) -> bytes:
        """The report of the fit.

        Raises:
            UsageError: there is too little to fit.
        """
        from tortie.evaluation.report import write_report
        from tortie.learning.fit_report import report_of

        fitted = self._fitted().fitted_
        assert fitted is not None
        with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
            path = Path(folder) / "report.html"
            write_report(path, report_of(fitted, self.folder.root.name))
            return path.read_bytes()

    def _begin(self) -> None:
        try:
            self.look()
            self.teacher.prepare()
        except TortieError as error:
            self.error = str(error)

    def _step(self) -> int:
        return max(1, len(self.teacher.snapshot.photographs) // 32)

    def _saved(self, folder: Path) -> Path:
        path = folder / f"{self.folder.root.absolute().name or _NAME}.safetensors"
        self._fitted().save(path)
        return path

    def _fitted(self) -> ImageClassifier:
        """The classifier of the newest snapshot, as soon as it is there."""
        snapshot = self.teacher.snapshot
        self._measurer.measure(snapshot)
        found = self._measurer.wait(snapshot.version, _PATIENCE)
        if found.version < snapshot.version:
            raise TortieError("the fit is not done yet: try again in a moment")
        if found.classifier is None:
            raise UsageError(found.document.get("reason") or "there is nothing to fit yet")
        return found.classifier


def _classes(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Each class and its photographs, the newest first."""
    own: dict[str, list[FolderPhotograph]] = {name: [] for name in snapshot.classes}
    for one in snapshot.photographs:
        own[one.label].append(one)
    return [
        {
            "name": name,
            "photographs": [
                {"key": one.key, "reason": snapshot.reasons.get(one.key)}
                for one in sorted(some, key=lambda one: one.changed, reverse=True)
            ],
        }
        for name, some in own.items()
    ]
