"""The page of a check: findings by kind, with their pictures side by side, in one HTML file."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tortie.evaluation.page import template
from tortie.files import replacing
from tortie.images import UnreadableImage, decode
from tortie.images.finding import Finding, by_kind, summary
from tortie.images.inspection import Inspection
from tortie.text import utf8

PICTURED = 40  # findings of a kind that are shown with pictures, at most
LISTED = 500  # findings of a kind that are listed below these, at most
_SIDE_BY_SIDE = 6  # pictures of one finding
_PICTURES = 600  # in all: a page of some 6 MB
_SIDE = 200  # pixels of the longer side


@dataclass(frozen=True)
class Picture:
    """One image of a finding.

    Attributes:
        path: as given.
        about: its class, part and size.
        thumbnail: a JPEG as a data URI; empty where it cannot be read.
        is_dropped: whether a clean manifest would leave it out, were no kind accepted.
    """

    path: str
    about: str
    thumbnail: str
    is_dropped: bool


@dataclass(frozen=True)
class Shown:
    """A finding with its pictures, and how many more images it has."""

    detail: str
    pictures: list[Picture]
    more: int


def write_page(
    path: Path, inspection: Inspection, findings: Sequence[Finding], root: Path, dropped: set[int]
) -> None:
    """Write one self-contained HTML page; ``path`` is old or new, never half.

    Kinds come worst first, and each kind's findings too. Of each kind 40 findings have pictures,
    fewer where the page would grow beyond 600 pictures; 500 more are listed; the rest is counted.

    Args:
        path: the page.
        inspection: the images.
        findings: what was found.
        root: the folder or CSV that was checked; paths below the folder are shown from there.
        dropped: positions of the images that a clean manifest leaves out.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    page = template("check.html.j2")
    sections, left = [], _PICTURES
    kinds = by_kind(findings)
    for number, (kind, severity, own) in enumerate(kinds):
        fair = max(left // (len(kinds) - number), _SIDE_BY_SIDE)
        shown: list[Shown] = []
        used = 0
        for one in own[:PICTURED]:
            if used >= fair:
                break
            shown.append(_shown(inspection, one, root, dropped))
            used += len(shown[-1].pictures)
        left -= used
        sections.append((kind, severity, len(own), shown, own[len(shown) :][:LISTED]))
    counts = [
        ("images", len(inspection.photographs)),
        ("classes", len({one.label for one in inspection.photographs})),
        ("that can be read", len(inspection.rows)),
    ]
    html = page.render(
        title=str(root), summary=summary(findings), sections=sections, counts=counts,
        serious=any(one.severity == "serious" for one in findings),
    )  # fmt: skip
    with replacing(path) as file:
        file.write(utf8(html))


def _shown(inspection: Inspection, finding: Finding, root: Path, dropped: set[int]) -> Shown:
    pictures = [_picture(inspection, i, root, dropped) for i in finding.images[:_SIDE_BY_SIDE]]
    return Shown(finding.detail, pictures, len(finding.images) - len(pictures))


def _picture(inspection: Inspection, i: int, root: Path, dropped: set[int]) -> Picture:
    one, facts = inspection.photographs[i], inspection.facts[i]
    about = [one.label]
    if one.split:
        about.append(one.split)
    if facts:
        about.append(f"{facts.width}×{facts.height}")
    thumbnail = "" if i in inspection.reasons else _thumbnail(one.path)
    name = one.path.relative_to(root) if one.path.is_relative_to(root) else one.path
    return Picture(str(name), " · ".join(about), thumbnail, i in dropped)


def _thumbnail(path: Path) -> str:
    """A small JPEG in a data URI; tiny images are enlarged, so that they can be seen."""
    try:
        image = decode(path, at_least=_SIDE).image
    except UnreadableImage:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    if max(image.size) <= _SIDE // 2:
        factor = _SIDE // max(image.size)
        size = image.width * factor, image.height * factor
        image = image.resize(size, Image.Resampling.BICUBIC)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
