"""How good the classifier is: a fit of the folder as it stands, beside the requests."""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tortie.classifier import ImageClassifier
from tortie.errors import TortieError
from tortie.evaluation.advice import next_photographs, trust
from tortie.images.find import Photograph
from tortie.images.finding import KINDS, Finding
from tortie.images.manifest import write_manifest
from tortie.learning.check import check_images, findings_of
from tortie.studio.teacher import Snapshot, Teacher

if TYPE_CHECKING:
    from tortie.learning.result import FitResult

_KINDS = {kind.name: kind for kind in KINDS}
_TOO_LITTLE = "two classes with photographs are needed"
_QUIET = ("folders", "near-duplicate", "look-alikes")  # of a burst, on purpose


@dataclass(frozen=True)
class StudioFigures:
    """What is known of how good the classifier is.

    Attributes:
        version: of the snapshot that was measured.
        document: as JSON, for the page.
        findings: of the check, as JSON; of an earlier snapshot until they are there.
        classifier: fitted; ``None`` where it cannot be.
    """

    version: int = 0
    document: dict[str, Any] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    classifier: ImageClassifier | None = None


class Measurer:
    """Fits and checks the folder in a thread of its own, always the newest snapshot.

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
        self._wanted: Snapshot | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="tortie-figures", daemon=True)
        self._thread.start()

    def measure(self, snapshot: Snapshot) -> None:
        """Measure this snapshot next."""
        with self._changed:
            if snapshot.version > max(self.figures.version, self._version()):
                self._wanted = snapshot
                self._changed.notify_all()

    def wait(self, version: int, seconds: float) -> StudioFigures:
        """The figures of this snapshot or a later one; older ones where they take too long."""
        with self._changed:
            self._changed.wait_for(lambda: self.figures.version >= version, seconds)
            return self.figures

    def close(self) -> None:
        """End after the fit that is under way."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _version(self) -> int:
        return 0 if self._wanted is None else self._wanted.version

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._ended)
                if self._ended:
                    return
                snapshot, self._wanted = self._wanted, None
            assert snapshot is not None
            figures, checked = self._measured(snapshot)
            self._publish(figures)
            if not checked and self._wanted is None:
                self._publish(self._checked(snapshot))

    def _publish(self, figures: StudioFigures) -> None:
        with self._changed:
            self.figures = figures
            self._changed.notify_all()

    def _measured(self, snapshot: Snapshot) -> tuple[StudioFigures, bool]:
        """A fit of the folder as it was when the snapshot was learnt; whether it checked it too."""
        if snapshot.head is None:
            return StudioFigures(snapshot.version, {"reason": _TOO_LITTLE, "next": []}), True
        options = self._teacher.options
        classifier = ImageClassifier(
            options.network, device=options.device, precision=options.precision,
            engine=options.engine, threads=options.threads,
        )  # fmt: skip
        try:
            with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
                classifier.fit(written(snapshot, Path(folder)))
        except TortieError as error:
            known = {"reason": str(error), "next": again(snapshot) or next_photographs(None, {})}
            return StudioFigures(snapshot.version, known, self.figures.findings), False
        except Exception as error:  # of one fit: a photograph that went meanwhile, or our fault
            known = {"reason": f"the fit failed: {error}", "next": []}
            return StudioFigures(snapshot.version, known, self.figures.findings), False
        result = classifier.fitted_
        assert result is not None
        self._teacher.suggest(result.penalty or 0, classifier.temperature)
        self._teacher.tell_novelty(result.data.classes, result.novelty)
        found = findings_of(result)
        findings = self.figures.findings if found is None else told(found, snapshot)
        figures = StudioFigures(snapshot.version, described(result), findings, classifier)
        return figures, found is not None

    def _checked(self, snapshot: Snapshot) -> StudioFigures:
        figures, options = self.figures, self._teacher.options
        try:
            with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
                checked = check_images(
                    written(snapshot, Path(folder)), network=options.network, device=options.device,
                    precision=options.precision, engine=options.engine, threads=options.threads,
                )  # fmt: skip
        except Exception:  # what is wrong with the folder, the fit has said
            return figures
        found = told(checked.findings, snapshot)
        return StudioFigures(figures.version, figures.document, found, figures.classifier)


def again(snapshot: Snapshot) -> list[str]:
    """What to do about classes of which all photographs are one burst."""
    units: dict[str, set[str]] = {}
    for one in snapshot.photographs:
        units.setdefault(one.label, set()).add(one.burst or one.key)
    return [
        f"Hold the camera to {label} again, from another side or in another place: photographs of "
        "one hold are so alike that they count as one."
        for label, own in units.items()
        if len(own) < 2
    ]


def written(snapshot: Snapshot, folder: Path) -> Path:
    """The photographs of a snapshot as a CSV, bursts as groups."""
    path = folder / "photographs.csv"
    write_manifest(
        path,
        [
            Photograph(one.path.absolute(), one.label, None, one.burst and f"burst {one.burst}")
            for one in snapshot.photographs
        ],
    )
    return path


def described(result: "FitResult") -> dict[str, Any]:
    """The figures of a fit, as JSON for the page."""
    scores, data = result.scores, result.data
    trained: dict[str, int] = dict.fromkeys(data.classes, 0)
    for label in data.inspection.labels:
        trained[label] = trained.get(label, 0) + 1
    document: dict[str, Any] = {
        "trust": trust(scores, data.too_few),
        "next": next_photographs(scores, trained),
        "reason": data.too_few,
        "notes": result.notes,
        "seconds": sum(result.seconds.values()),
    }
    if scores is not None:
        document |= {
            "accuracy": {
                "value": scores.accuracy.value, "low": scores.accuracy.low,
                "high": scores.accuracy.high, "n": scores.accuracy.n,
                "photographs": len(result.held_out.positions),
            },
            "on": data.split.on,
            "baseline": {"label": scores.baseline.label, "value": scores.baseline.value},
            "classes": list(scores.per_class),
            "confusion": scores.confusion,
        }  # fmt: skip
    return document


def told(findings: Sequence[Finding], snapshot: Snapshot) -> list[dict[str, Any]]:
    """Findings as JSON: what each says, and of which photographs."""
    keys = {str(one.path.absolute()): one.key for one in snapshot.photographs}
    return [
        {
            "kind": one.kind,
            "title": _KINDS[one.kind].title,
            "severity": one.severity,
            "detail": one.detail,
            "keys": [keys[path] for path in one.paths if path in keys],
        }
        for one in findings
        if one.kind not in _QUIET
    ]
