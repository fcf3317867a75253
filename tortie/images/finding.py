"""What a check can find: the kinds, how grave each is, and what it costs an image."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tortie.errors import UsageError
from tortie.text import quoted

Severity = Literal["serious", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "note")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: as in ``--json`` and ``--accept``.
        title: for a person.
        advice: what it means and what to do, a sentence or two.
    """

    name: str
    title: str
    advice: str


KINDS: tuple[Kind, ...] = (
    Kind(
        "duplicate-across-splits",
        "Copies in two parts of the split",
        "What was trained on says nothing about new photographs. A fit leaves the later copy out "
        "of what it would measure.",
    ),
    Kind(
        "duplicate-across-classes",
        "Copies in two classes",
        "One photograph cannot be of two classes: keep it where it belongs.",
    ),
    Kind(
        "class-names",
        "Classes that may be one",
        "A fit takes them for different classes. If they are one, put them in one folder.",
    ),
    Kind(
        "class-size",
        "Classes with too few photographs",
        "A fit refuses a class of fewer than two; with fewer than ten, its accuracy is a guess.",
    ),
    Kind("unreadable", "Cannot be read", "A fit leaves these out."),
    Kind("truncated", "Cut short", "Part of the file is missing: copy it again from its source."),
    Kind(
        "group-across-splits",
        "A given group in two parts of the split",
        "A fit leaves the later images out of what they would measure.",
    ),
    Kind(
        "label-error",
        "Photographs whose class may be wrong",
        "Trained on all others, the network takes each of these for another class: a wrong label, "
        "or a photograph that is hard for it. Look at each.",
    ),
    Kind("blank", "Of one colour", "Nothing is on them that could be learnt."),
    Kind(
        "narrow-range",
        "Values in a small part of their range",
        "Nearly of one grey level to a network. 10 or 12 bits in a file of 16 count as 16: write "
        "such pictures with their levels stretched.",
    ),
    Kind(
        "tiny",
        "Tiny",
        "Under 32 pixels a side: thumbnails, icons and tracking pixels, most often.",
    ),
    Kind(
        "extreme-aspect",
        "Very long or very tall",
        "A network sees the centre square: less than a third of such a photograph.",
    ),
    Kind(
        "exact-duplicate",
        "The same file more than once",
        "It counts as often as it is there. A fit keeps copies on one side of its split.",
    ),
    Kind(
        "near-duplicate",
        "Nearly the same photograph",
        "Bursts, resized and re-encoded copies: they count as more evidence than they are. A fit "
        "keeps them on one side of its split.",
    ),
    Kind(
        "unbalanced",
        "Classes of very different size",
        "A fit weighs small classes up by the square root; more photographs of them do more.",
    ),
    Kind(
        "missing-class",
        "Classes missing from a part of the split",
        "What the classifier does with such a class is not measured there.",
    ),
    Kind(
        "format-by-class",
        "Classes that differ in file format",
        "A classifier may learn the traces of the format or the camera instead of what is shown.",
    ),
    Kind(
        "wrong-extension",
        "The name says another format",
        "tortie goes by the content; other programs may not.",
    ),
    Kind(
        "rotated",
        "Turned by EXIF",
        "tortie turns them upright; programs that ignore EXIF see them lying or mirrored.",
    ),
    Kind("odd-format", "Few of another format", "Screenshots among photographs, perhaps."),
    Kind(
        "look-alikes",
        "Too many look-alikes",
        "So many images of a class look the same that they are not taken for copies.",
    ),
    Kind("folders", "How folders were read", "What is left out has no part in a fit."),
)
"""Every kind there is, those that matter most first."""

_PLACE = {kind.name: place for place, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        kind: a name in :data:`KINDS`.
        severity: ``serious``: the classifier or its accuracy would be wrong, or photographs are
            lost; ``warning``: worth a look; ``note``: good to know.
        detail: what is the matter, in a few words.
        images: positions of the images, those to keep first.
        paths: their files, as given.
        drops: positions that a clean manifest leaves out.
        spares_one: the manifest keeps the first of ``drops`` that no other finding takes.
        weight: within a kind, the graver the higher.
    """

    kind: str
    severity: Severity
    detail: str
    images: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()
    drops: tuple[int, ...] = ()
    spares_one: bool = False
    weight: float = 0.0

    def document(self) -> dict[str, Any]:
        """The finding as ``--json`` prints it."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "paths": list(self.paths),
            "detail": self.detail,
        }


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by severity, then kind, then weight: the worst first."""
    return sorted(
        findings,
        key=lambda one: (
            SEVERITIES.index(one.severity), _PLACE[one.kind], -one.weight, one.paths, one.detail,
        ),
    )  # fmt: skip


def by_kind(findings: Sequence[Finding]) -> list[tuple[Kind, Severity, list[Finding]]]:
    """Findings in groups of one severity and kind, the worst first."""
    groups: dict[tuple[Severity, str], list[Finding]] = {}
    for one in ranked(findings):
        groups.setdefault((one.severity, one.kind), []).append(one)
    return [(KINDS[_PLACE[kind]], severity, own) for (severity, kind), own in groups.items()]


def summary(findings: Sequence[Finding]) -> str:
    """How many of each severity: ``2 serious, 1 warning, 0 notes``."""
    counts = Counter(one.severity for one in findings)
    warnings, notes = counts["warning"], counts["note"]
    return (
        f"{counts['serious']:,} serious, {warnings:,} warning{'s' * (warnings != 1)}, "
        f"{notes:,} note{'s' * (notes != 1)}"
    )


def worst(findings: Sequence[Finding], count: int = 3) -> list[str]:
    """The worst kinds of finding, a line each: how many, and the first; notes do not count."""
    return [
        f"{kind.title[0].lower()}{kind.title[1:]}: {len(own):,}, {_example(own)}"
        for kind, severity, own in by_kind(findings)
        if severity != "note"
    ][:count]


def _example(findings: Sequence[Finding]) -> str:
    first = findings[0]
    named = f" ({quoted(first.paths[0])})" if first.paths else ""
    return f"{'such as ' if len(findings) > 1 else ''}{first.detail}{named}"


def check_kinds(names: Iterable[str]) -> None:
    """Check that these are kinds of findings.

    Raises:
        UsageError: one that is none, with those that are meant perhaps.
    """
    for name in names:
        if name not in _PLACE:
            close = difflib.get_close_matches(name, _PLACE, 3) or list(_PLACE)
            raise UsageError(f"no kind of finding {quoted(name)}: expected {', '.join(close)}")
