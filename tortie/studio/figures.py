"""How good the classifier is: what a fit of the folder says, for the page."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tortie.activations.store import ActivationStore
from tortie.classifier import ImageClassifier
from tortie.errors import TortieError
from tortie.evaluation.advice import next_photographs, trust
from tortie.images.find import Photograph
from tortie.images.finding import KINDS, Finding
from tortie.images.inputs import labelled
from tortie.images.manifest import write_manifest
from tortie.learning.check import check_images, findings_of
from tortie.learning.frozen_fit import frozen_fit
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.processes import ALONE
from tortie.studio.photograph_folder import FolderPhotograph
from tortie.studio.teacher import Snapshot, Teacher

if TYPE_CHECKING:
    from tortie.learning.result import FitResult

_KINDS = {kind.name: kind for kind in KINDS}
_TOO_LITTLE = "two classes with photographs are needed"
_QUIET = ("folders", "near-duplicate", "look-alikes")  # of a burst, on purpose
_OF_A_CLASS = ("class-size",)  # no photograph of it is wrong; what to photograph is said
FEW = 200
"""Photographs of which a whole fit takes less than 2 s, so that nothing quicker is needed."""


@dataclass(frozen=True)
class StudioFigures:
    """What is known of how good the classifier is.

    Attributes:
        version: of the snapshot that was measured.
        document: as JSON, for the page.
        findings: of the check, as JSON; of an earlier snapshot until they are there.
        whole: whether they are of a fit as ``tortie fit`` makes it.
        checked: whether the findings are of this snapshot.
        classifier: fitted; ``None`` where it cannot be, or the fit was not whole.
    """

    version: int = 0
    document: dict[str, Any] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    whole: bool = True
    checked: bool = True
    classifier: ImageClassifier | None = None


def is_quick(snapshot: Snapshot) -> bool:
    """Whether :func:`quick_figures` is worth it: a penalty is known, and a whole fit takes long."""
    known = snapshot.head is not None and snapshot.penalty is not None
    return known and len(snapshot.features) > FEW


def quick_figures(snapshot: Snapshot, options: FitOptions, before: StudioFigures) -> StudioFigures:
    """A cross-validation at the penalty of an earlier fit, which is that of the snapshot's head.

    Choosing it anew in each fold is most of a whole fit's time. What keeping it does to the
    accuracy is in docs/measurements.md.

    Args:
        snapshot: of the folder.
        options: of the fit.
        before: the figures until now.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
            collection, sources = labelled(written(snapshot, Path(folder)))
            store = ActivationStore.default()
            job = make_job(collection, sources, options, store, ALONE, Events())
            result = frozen_fit(replace(job, kept_penalty=snapshot.penalty))
    except Exception as error:
        return replace(_failed(snapshot, error, before), whole=False)
    return replace(_figures(result, snapshot, before), whole=False)


def whole_figures(snapshot: Snapshot, teacher: Teacher, before: StudioFigures) -> StudioFigures:
    """A fit of the folder as it was when the snapshot was learnt; the teacher learns from it too.

    Args:
        snapshot: of the folder.
        teacher: takes the penalty, the temperature and what tells strangers.
        before: the figures until now.
    """
    if snapshot.head is None:
        return StudioFigures(snapshot.version, {"reason": _TOO_LITTLE, "next": []})
    options = teacher.options
    classifier = ImageClassifier(
        options.network, device=options.device, precision=options.precision,
        engine=options.engine, threads=options.threads,
    )  # fmt: skip
    try:
        with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
            classifier.fit(written(snapshot, Path(folder)))
    except Exception as error:
        return _failed(snapshot, error, before)
    result = classifier.fitted_
    assert result is not None
    teacher.suggest(result.penalty, classifier.temperature)
    teacher.tell_novelty(result.data.classes, result.novelty)
    return replace(_figures(result, snapshot, before), classifier=classifier)


def with_check(figures: StudioFigures, snapshot: Snapshot, options: FitOptions) -> StudioFigures:
    """The figures with the findings of a check of its own."""
    checked = replace(figures, checked=True)
    try:
        with tempfile.TemporaryDirectory(prefix="tortie-studio-") as folder:
            found = check_images(
                written(snapshot, Path(folder)), network=options.network, device=options.device,
                precision=options.precision, engine=options.engine, threads=options.threads,
            )  # fmt: skip
    except Exception:  # what is wrong with the folder, the fit has said
        return checked
    return replace(checked, findings=told(found.findings, snapshot))


def _figures(result: "FitResult", snapshot: Snapshot, before: StudioFigures) -> StudioFigures:
    found = findings_of(result)
    findings = before.findings if found is None else told(found, snapshot)
    document, checked = described(result, snapshot), found is not None
    return StudioFigures(snapshot.version, document, findings, checked=checked)


def _failed(snapshot: Snapshot, error: Exception, before: StudioFigures) -> StudioFigures:
    if isinstance(error, TortieError):
        known = {
            "reason": str(error),
            "next": again(snapshot) or next_photographs(None, {}, in_studio=True),
        }
    else:  # of one fit: a photograph that went meanwhile, or our fault
        known = {"reason": f"the fit failed: {error}", "next": []}
    return StudioFigures(snapshot.version, known, before.findings, checked=False)


def again(snapshot: Snapshot) -> list[str]:
    """What to do about classes of one photograph, or of which all are one burst."""
    own: dict[str, list[FolderPhotograph]] = {}
    for one in snapshot.photographs:
        own.setdefault(one.label, []).append(one)
    words = []
    for label, some in own.items():
        if len(some) == 1:
            words.append(f"More of {label}: there is one photograph of it, and it takes several.")
        elif len({one.burst or one.key for one in some}) == 1:
            words.append(
                f"Hold the camera to {label} again, from another side or in another place: "
                "photographs of one hold are so similar that they count as one."
            )
    return words


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


def described(result: "FitResult", snapshot: Snapshot) -> dict[str, Any]:
    """The figures of a fit, as JSON for the page."""
    scores, data = result.scores, result.data
    trained: dict[str, int] = dict.fromkeys(data.classes, 0)
    for label in data.inspection.labels:
        trained[label] = trained.get(label, 0) + 1
    document: dict[str, Any] = {
        "trust": trust(scores, data.too_few),
        "next": again(snapshot) or next_photographs(scores, trained, in_studio=True),
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
        if one.kind not in (*_QUIET, *_OF_A_CLASS)
    ]
