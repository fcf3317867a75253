"""The table of what was tried and what came of it, and one way to read the options."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from machine import describe

KINDS = ("right", "read", "refused", "wrong", "death", "traceback", "hang")
_FAULTS = ("wrong", "death", "traceback", "hang")


@dataclass
class Tally:
    """One line of the table.

    Attributes:
        tried: how many.
        counts: of each of :data:`KINDS`.
        reasons: of what was refused.
        seconds: of the processor, at worst.
        megabytes: by which the process grew, at worst; ``None`` where it is not measured.
        found: every fault.
    """

    tried: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    megabytes: float | None = None
    found: list[str] = field(default_factory=list)

    def add(self, name: str, kind: str, told: str = "", seconds: float = 0.0,
            megabytes: float | None = None) -> None:  # fmt: skip
        """Count one input, a run or a kill."""
        self.tried += 1
        self.counts[kind] += 1
        self.seconds = max(self.seconds, seconds)
        if megabytes is not None:
            self.megabytes = max(self.megabytes or 0.0, megabytes)
        if kind == "refused":
            self.reasons[told] += 1
        if kind in _FAULTS:
            self.found.append(f"{kind}: {name}: {told}")
            print(self.found[-1], file=sys.stderr, flush=True)


Rows = dict[str, Tally]


def table(rows: Rows) -> list[str]:
    """The table, in Markdown."""
    lines = [
        "| what | tried | right | read | refused by name | wrong | deaths | tracebacks | hangs |"
        " worst s | worst MB |",
        "|---|" + "---:|" * 10,
    ]
    for name, row in rows.items():
        counts = " | ".join(f"{row.counts[kind]:,}" for kind in KINDS)
        size = "" if row.megabytes is None else f"{row.megabytes:,.0f}"
        lines.append(f"| {name} | {row.tried:,} | {counts} | {row.seconds:.1f} | {size} |")
    return lines


Part = Callable[[Path, Rows, float, int], None]
"""Tries a share of its inputs, drawn from a seed, in a folder, and fills rows."""


def main(title: str, parts: dict[str, Part]) -> None:
    """Run a part of the battery and print its table; the exit code is 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the inputs, 0 to 1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="which parts, by their names")
    options = parser.parse_args()
    begin, rows = time.monotonic(), Rows()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORTIE_CACHE"] = os.path.join(folder, "cache")
        for name, part in parts.items():
            if name in (options.only or parts):
                part(Path(folder), rows, options.scale, options.seed)
    print(describe(), f"{time.monotonic() - begin:.0f} s", os.linesep)
    print(*table(rows), sep="\n")
    for name, row in rows.items():
        print(f"\n{name}:")
        print(*(f"  {told}" for told in row.found[:100]), sep="\n")
        print(*(f"  {count:6} {told}" for told, count in row.reasons.most_common(20)), sep="\n")
    if any(row.counts[kind] for row in rows.values() for kind in _FAULTS):
        sys.exit(1)
