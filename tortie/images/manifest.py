"""A CSV of the images that a check has nothing against, which ``fit`` takes for the folder."""

from collections.abc import Collection as Names
from collections.abc import Iterable, Sequence
from pathlib import Path

from tortie.images.find import Photograph
from tortie.images.finding import Finding
from tortie.images.table import write_table


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
    columns = ["path", "label"]
    columns += ["split"] if all(one.split for one in photographs) else []
    columns += ["group"] if any(one.group for one in photographs) else []
    rows = (
        {"path": one.path, "label": one.label, "split": one.split, "group": one.group}
        for one in photographs
    )
    write_table(path, columns, rows, line_end="\n")
