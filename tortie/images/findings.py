"""What is wrong with a collection of images, by their files and hashes: no network is needed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from tortie.images.archives import is_row
from tortie.images.class_names import similar_names
from tortie.images.facts import Facts
from tortie.images.find import SPLITS
from tortie.images.finding import Finding, Severity, ranked
from tortie.images.inspection import Inspection
from tortie.text import quoted

TINY = 32  # pixels of the shorter side
BLANK = 2.0  # grey levels: a thumbnail of one colour varies by less, JPEG's noise included
ASPECT = 3.0  # longer side over shorter: the centre square shows less than a third
FEW = 10  # images of a class: with fewer its accuracy is a guess
UNBALANCED = 10.0  # times a class may be larger than another
_RARE = 0.05  # share of images of a format that is odd among the others
_MOSTLY = 0.9  # share of a class's images in one format

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "HEIF": (".heic", ".heif"),
    "AVIF": (".avif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
_TURNS = {
    2: "mirrored",
    3: "turned by 180°",
    4: "mirrored, upside down",
    5: "mirrored, turned by 90°",
    6: "turned by 90° to the left",
    7: "mirrored, turned by 90°",
    8: "turned by 90° to the right",
}


def file_findings(inspection: Inspection, notes: Iterable[str] = ()) -> list[Finding]:
    """All that files, facts and hashes tell, the worst first.

    Args:
        inspection: the images.
        notes: what was met and left out when they were looked for, a line each.
    """
    rules = (
        _unreadable, _looks, _names_and_turns, _formats, _copies, _leaks,
        _class_names, _class_sizes, _missing_classes,
    )  # fmt: skip
    found = [one for rule in rules for one in rule(inspection)]
    found += [Finding("look-alikes", "note", note) for note in inspection.duplicates.notes]
    found += [Finding("folders", "note", note) for note in notes]
    return ranked(found)


def about(
    inspection: Inspection,
    kind: str,
    severity: Severity,
    detail: str,
    images: Sequence[int],
    drops: Sequence[int] = (),
    spares_one: bool = False,
    weight: float = 0.0,
) -> Finding:
    """A finding about these images, given by position."""
    paths = tuple(str(inspection.photographs[i].path) for i in images)
    return Finding(
        kind, severity, detail, tuple(images), paths,
        drops=tuple(drops), spares_one=spares_one, weight=weight,
    )  # fmt: skip


def _unreadable(inspection: Inspection) -> Iterator[Finding]:
    for i, reason in sorted(inspection.reasons.items()):
        kind = "truncated" if reason == "truncated" else "unreadable"
        detail = "cut short: its end is missing" if kind == "truncated" else reason
        yield about(inspection, kind, "serious", detail, [i], [i])


def _looks(inspection: Inspection) -> Iterator[Finding]:
    """Tiny, blank, nearly so, very long: a finding an image, or one for all where most are such."""
    rules: tuple[tuple[str, Callable[[Facts], bool], Callable[[Facts], str]], ...] = (
        ("tiny", lambda one: min(one.width, one.height) < TINY, _size),
        (
            "blank",
            lambda one: _spread(one) < BLANK and not _is_deep(one),
            lambda one: f"one colour, {_size(one)}",
        ),
        (
            "narrow-range",
            lambda one: one.narrow is not None and (_spread(one) >= BLANK or _is_deep(one)),
            _range,
        ),
        ("extreme-aspect", lambda one: _aspect(one) > ASPECT, _size),
    )
    known = {i: fact for i in inspection.rows if (fact := inspection.facts[i])}
    for kind, holds, detail in rules:
        such = [i for i, fact in known.items() if holds(fact)]
        unwanted = kind != "narrow-range"  # those can be put right
        if 2 * len(such) > len(known) > 10:
            told = f"{len(such):,} of {len(known):,} images"
            if unwanted:  # a data set of this kind, and meant
                yield about(inspection, kind, "note", told, such)
            else:
                yield about(inspection, kind, "warning", f"{told}: {detail(known[such[0]])}", such)
            continue
        for i in such:
            yield about(inspection, kind, "warning", detail(known[i]), [i], [i] if unwanted else [])


def _is_deep(facts: Facts) -> bool:
    """Whether more than 8 bits hold values of a narrow range, and not just one of them."""
    low, high, most = facts.narrow or (0, 0, 0)
    return most > 255 and low < high


def _range(facts: Facts) -> str:
    low, high, most = facts.narrow or (0, 0, 0)
    return f"values from {low:,} to {high:,} of {most:,}"


def _size(facts: Facts) -> str:
    return f"{facts.width}×{facts.height} pixels"


def _spread(facts: Facts) -> float:
    return float(np.frombuffer(facts.thumbnail, np.uint8).std())


def _aspect(facts: Facts) -> float:
    return max(facts.width, facts.height) / min(facts.width, facts.height)


def _names_and_turns(inspection: Inspection) -> Iterator[Finding]:
    turned: dict[int, list[int]] = defaultdict(list)
    for i in inspection.rows:
        facts, path = inspection.facts[i], inspection.photographs[i].path
        assert facts is not None
        suffixes = _SUFFIXES.get(facts.format)
        if suffixes and path.suffix.lower() not in suffixes and not is_row(path):
            detail = f"named {path.suffix or 'without an ending'}, and is {facts.format}"
            yield about(inspection, "wrong-extension", "note", detail, [i])
        if facts.orientation in _TURNS:
            turned[facts.orientation].append(i)
    for orientation, images in sorted(turned.items()):
        detail = f"EXIF orientation {orientation}: pixels {_TURNS[orientation]}, {len(images):,}"
        yield about(inspection, "rotated", "note", detail, images)


def _formats(inspection: Inspection) -> Iterator[Finding]:
    formats = [facts.format for i in inspection.rows if (facts := inspection.facts[i])]
    counts = Counter(formats)
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for label, name in zip(inspection.labels, formats, strict=True):
        by_class[label][name] += 1
    most = {label: own.most_common(1)[0] for label, own in by_class.items()}
    large = {label: n for label, own in by_class.items() if (n := own.total()) >= FEW}
    leading = {most[label][0] for label in large if most[label][1] >= _MOSTLY * large[label]}
    if len(leading) > 1:
        told = ", ".join(
            f"{quoted(label)} {most[label][0]}"
            for label in sorted(large)
            if most[label][1] >= _MOSTLY * large[label]
        )
        yield Finding("format-by-class", "warning", told if len(told) < 300 else told[:300] + "...")
        return
    for name, count in sorted(counts.items()):
        if count <= _RARE * len(formats):
            own = [i for i, one in zip(inspection.rows, formats, strict=True) if one == name]
            detail = f"{count:,} of {len(formats):,} images are {name}"
            yield about(inspection, "odd-format", "note", detail, own)


def _copies(inspection: Inspection) -> Iterator[Finding]:
    """Copies within a class, and across classes; those across splits have a rule of their own."""
    for group, equal in inspection.copies():
        group = _best_first(inspection, group)
        labels = sorted({inspection.photographs[i].label for i in group})
        if len(labels) > 1:
            how = "the same file" if equal else "nearly the same photograph"
            detail = f"{how} in {_listed(labels)}"
            yield about(
                inspection, "duplicate-across-classes", "serious", detail, group, group,
                weight=len(labels) + equal,
            )  # fmt: skip
        contents: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for i in group:
            one = inspection.photographs[i]
            contents[inspection.sha256[i], one.label, one.split].append(i)
        for same in contents.values():
            if len(same) > 1:
                yield about(
                    inspection, "exact-duplicate", "warning", f"{len(same)} files of equal bytes",
                    same, same, spares_one=True, weight=len(same),
                )  # fmt: skip
        different = [same[0] for same in contents.values()]
        splits = {inspection.photographs[i].split for i in group}
        if len(labels) == len(splits) == 1 and len(different) > 1:
            yield about(
                inspection, "near-duplicate", "warning", f"{len(different)} near-duplicates",
                different, different, spares_one=True, weight=len(different),
            )  # fmt: skip


def _best_first(inspection: Inspection, images: Iterable[int]) -> list[int]:
    """The earlier part of the split first, then the larger image, then the name."""

    def rank(i: int) -> tuple[int, int, str]:
        facts, one = inspection.facts[i], inspection.photographs[i]
        pixels = facts.width * facts.height if facts else 0
        return SPLITS.index(one.split or "train"), -pixels, str(one.path)

    return sorted(images, key=rank)


def _leaks(inspection: Inspection) -> Iterator[Finding]:
    copied = {i for group, _ in inspection.copies() for i in group}
    for members, later in inspection.leaking():
        ordered = _best_first(inspection, members)
        parts = [inspection.photographs[i].split or "train" for i in ordered]
        told = " and ".join(split for split in SPLITS if split in parts)
        if copied.issuperset(members):
            equal = len({inspection.sha256[i] for i in members}) == 1
            kind, how = "duplicate-across-splits", "the same file" if equal else "near-duplicates"
        else:
            name = next(n for i in members if (n := inspection.photographs[i].group))
            kind, how = "group-across-splits", f"group {quoted(name)}"
        yield about(
            inspection, kind, "serious", f"{how} in {told}", ordered, later, weight=len(later)
        )


def _class_names(inspection: Inspection) -> Iterator[Finding]:
    for names, differ in similar_names([one.label for one in inspection.photographs]):
        shown = [
            next(i for i, one in enumerate(inspection.photographs) if one.label == name)
            for name in names
        ]
        told = " and ".join(map(repr, names))
        if differ == "writing":
            detail = f"{told} differ only in case, accents or spaces"
            yield about(inspection, "class-names", "serious", detail, shown, weight=1)
        else:
            yield about(inspection, "class-names", "warning", f"{told} differ in one letter", shown)


def _class_sizes(inspection: Inspection) -> Iterator[Finding]:
    sizes = Counter({one.label: 0 for one in inspection.photographs})
    sizes.update(inspection.labels)
    if len(sizes) == 1:
        yield Finding("class-size", "serious", f"only one class, {quoted(next(iter(sizes)))}")
    for name, size in sorted(sizes.items(), key=lambda pair: (pair[1], pair[0])):
        if size < FEW:
            images = [i for i in inspection.rows if inspection.photographs[i].label == name]
            photographs = "photograph" if size == 1 else "photographs"
            detail = f"class {quoted(name)} has {size or 'no'} readable {photographs}"
            severity: Severity = "serious" if size < 2 else "warning"
            yield about(inspection, "class-size", severity, detail, images, weight=-size)
    (most, large), (least, small) = _extremes(sizes)
    if large > UNBALANCED * small > 0:
        sizes_of_both = f"{large:,} of {quoted(most)}, {small:,} of {quoted(least)}"
        detail = f"{sizes_of_both}: {large / small:.0f} times as many"
        yield Finding("unbalanced", "warning", detail)


def _extremes(sizes: Counter[str]) -> tuple[tuple[str, int], tuple[str, int]]:
    """The largest and the smallest class that has images, with their sizes; ties by name."""
    held = sorted((item for item in sizes.items() if item[1]), key=lambda pair: (pair[1], pair[0]))
    return (held[-1], held[0]) if held else (("", 0), ("", 0))


def _missing_classes(inspection: Inspection) -> Iterator[Finding]:
    parts: dict[str, set[str]] = defaultdict(set)
    for row, label in zip(inspection.rows, inspection.labels, strict=True):
        parts[inspection.photographs[row].split or "train"].add(label)
    for split in SPLITS:
        missing = sorted(set(inspection.labels) - parts[split]) if split in parts else []
        if missing:
            severity: Severity = "serious" if split == "train" else "warning"
            yield Finding("missing-class", severity, f"{split} has no {_listed(missing)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
