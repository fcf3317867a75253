"""A CSV of the images that a check has nothing against, which ``fit`` takes for the folder."""

import csv
import io
import os
from collections.abc import Collection as Names
from collections.abc import Iterable, Sequence
from pathlib import Path

from tortie.files import replacing
from tortie.images.find import Photograph
from tortie.images.finding import Finding


def dropped(findings: Iterable[Finding], accept: Names[str] = ()) -> set[int]:
    """Positions of the images that a clean manifest leaves out.

    Of copies within a class one stays: the first that nothing else is said against.

    Args:
        findings: what was found.
        accept: kinds of finding that are no reason to leave an image out.
    """
    counted = [one for one in findings if one.kind not in accept]
    out = {i for one in counted if not one.spares_one for i in one.drops}
    for one in counted:
        if one.spares_one:
            out.update([i for i in one.drops if i not in out][1:])
    return out


def write_manifest(path: Path, photographs: Sequence[Photograph]) -> None:
    """Write ``path,label``, and ``split`` and ``group`` where they are given, as UTF-8.

    A path below the CSV's folder is written relative to it, any other in full.

    Raises:
        TortieError: the file cannot be written.
    """
    folder = Path(os.path.abspath(path)).parent
    columns = ["path", "label"]
    columns += ["split"] if all(one.split for one in photographs) else []
    columns += ["group"] if any(one.group for one in photographs) else []
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for one in photographs:
        image = Path(os.path.abspath(one.path))
        shown = image.relative_to(folder).as_posix() if image.is_relative_to(folder) else str(image)
        cells = {"path": shown, "label": one.label, "split": one.split, "group": one.group}
        writer.writerow([cells[column] or "" for column in columns])
    with replacing(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))
