"""Reading images: known pictures, public collections, and what may have happened to either.

    python benchmarks/battery/images.py [--scale 0.1] [--corpora FOLDER] [--corpus FOLDER ...]
    python benchmarks/battery/images.py --part 0/4 --json 0.json        # on one of four machines
    python benchmarks/battery/images.py --merge 0.json 1.json ...       # all parts in one table

A corpus is a folder or a .tar.gz of images, such as the source distributions of Pillow and of
pillow-heif, whose licences allow their use but not all their copies:

    pip download --no-deps --no-binary pillow pillow==12.0.0

Every file is decoded in a process of its own kind, which is watched for death, tracebacks, hangs,
words on the terminal, seconds and megabytes. `wrong` is a picture that differs from the one that is
known, or a file that was cut and whose pixels are others than the whole file's.
"""

import argparse
import itertools
import json
import os
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from machine import describe

from battery.mutations import bombs, mutations
from battery.truths import Truth, truths
from battery.watched import Outcome, Watched, watched

SECONDS, MEGABYTES = 5.0, 1000.0  # the goal for any one file
INTERNALS = ("pil", "libtiff", "plugin", "decoder error", "errno", "exception", "traceback", "0x")


@dataclass
class Row:
    """One line of the table."""

    tried: int = 0
    sources: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: tuple[float, str] = (0.0, "")
    megabytes: tuple[float, str] = (0.0, "")
    dear: int = 0
    found: list[str] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome, verdict: str) -> None:
        """Count one file; ``verdict`` is its kind, or right, or wrong."""
        self.tried += 1
        self.counts[verdict] += 1
        if outcome.kind == "refused":
            self.reasons[outcome.told] += 1
        if outcome.wrote:
            self.counts["wrote"] += 1
        internal = any(word in outcome.told.lower() for word in INTERNALS)
        if internal and outcome.kind == "refused":
            self.counts["internals"] += 1
        over = outcome.seconds > SECONDS or outcome.megabytes > MEGABYTES
        self.dear += over
        if over or internal or outcome.wrote or verdict in ("wrong", "traceback", "death", "hang"):
            cost = f"{outcome.seconds:.1f} s, {outcome.megabytes:.0f} MB"
            self.found.append(f"{verdict}: {name}: {outcome.told} ({cost})")
        self.seconds = max(self.seconds, (outcome.seconds, name))
        self.megabytes = max(self.megabytes, (outcome.megabytes, name))


def files_of(corpus: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the files of a folder, or of an archive's folders of images."""
    if corpus.is_dir():
        for path in sorted(corpus.rglob("*")):
            if path.is_file():
                yield f"{corpus.name}/{path.relative_to(corpus)}", path.read_bytes()
        return
    with tarfile.open(corpus) as archive:
        for member in archive:
            inside = member.name.lower()
            file = archive.extractfile(member) if "images" in inside and member.isfile() else None
            if file is not None:
                yield f"{corpus.name}/{member.name}", file.read()


def try_truths(process: Watched, row: Row, part: int, step: int) -> list[tuple[str, bytes]]:
    """Known pictures; those that are read rightly come back, to be mutated."""
    good = []
    for truth in itertools.islice(truths(), part, None, step):
        row.sources.add(truth.name)
        outcome = process.decode(truth.data, wanted=True)
        verdict = outcome.kind
        if outcome.pixels is not None:
            verdict = "right" if agrees(truth, outcome.pixels) else "wrong"
        row.add(truth.name, outcome, verdict)
        if verdict == "right" and len(truth.data) > 100:
            good.append((truth.name, truth.data))
    return good


def agrees(truth: Truth, pixels: np.ndarray) -> bool:
    """Whether a picture is the one that is known."""
    same = pixels.shape == truth.picture.shape
    return same and bool(np.abs(pixels - truth.picture).max() <= truth.within + 0.5)


def try_files(
    process: Watched, row: Row, files: list[tuple[str, bytes]]
) -> list[tuple[str, bytes]]:
    """Files of which nothing is known; those that are read come back, to be mutated."""
    good = []
    for name, data in files:
        row.sources.add(name)
        outcome = process.decode(data, at_least=256)
        row.add(name, outcome, outcome.kind)
        if outcome.kind == "read" and 100 < len(data) < 300_000:
            good.append((name, data))
    return good


def try_mutations(
    process: Watched, row: Row, files: list[tuple[str, bytes]], each: int, seed: int
) -> None:
    """Mutations of good files. What is cut must be refused, or have lost no pixel."""
    for name, data in files:
        row.sources.add(name)
        whole = process.decode(data, wanted=True).pixels
        for mutation in mutations(name, data, seed, each):
            outcome = process.decode(mutation.data, wanted=mutation.cut)
            verdict = outcome.kind
            if mutation.cut and outcome.pixels is not None:
                same = whole is not None and np.array_equal(whole, outcome.pixels)
                verdict = "right" if same else "wrong"
            row.add(mutation.name, outcome, verdict)


def table(rows: dict[str, Row]) -> list[str]:
    """The table, in Markdown."""
    kinds = ("wrong", "death", "traceback", "hang", "wrote", "internals")
    lines = [
        "| inputs | tried | sources | right | read | refused by name | wrong | deaths |"
        " tracebacks | hangs | words on the terminal | internals in reasons | over 5 s or 1 GB |"
        " worst s | worst MB |",
        "|---|" + "---:|" * 14,
    ]
    for name, row in rows.items():
        cells = [
            row.tried,
            len(row.sources),
            *(row.counts[k] for k in ("right", "read", "refused")),
        ]
        cells += [row.counts[kind] for kind in kinds] + [row.dear]
        numbers = " | ".join(f"{cell:,}" for cell in cells)
        lines.append(f"| {name} | {numbers} | {row.seconds[0]:.1f} | {row.megabytes[0]:,.0f} |")
    return lines


def run(options: argparse.Namespace) -> dict[str, Row]:
    """Try everything that the options ask for."""
    part, parts = (int(number) for number in options.part.split("/"))
    step = parts * max(1, round(1 / options.scale))
    archives = sorted(options.corpora.glob("*.tar.gz")) if options.corpora else []
    rows: dict[str, Row] = {}
    with watched() as process:
        rows["known pictures"] = row = Row()
        good = try_truths(process, row, part, step)
        for corpus in [*options.corpus, *archives]:
            rows[corpus.name] = row = Row()
            good += try_files(process, row, list(files_of(corpus))[part::step])
        rows["mutations"] = row = Row()
        try_mutations(process, row, good, options.each, options.seed)
        rows["bombs"] = row = Row()
        for bomb in itertools.islice(bombs(), part, None, parts):
            row.sources.add(bomb.name)
            outcome = process.decode(bomb.data, at_least=256)
            row.add(bomb.name, outcome, outcome.kind)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the inputs, 0 to 1")
    parser.add_argument("--part", default="0/1", help="which of how many equal parts")
    parser.add_argument("--corpus", type=Path, action="append", default=[])
    parser.add_argument("--corpora", type=Path, help="a folder of such archives")
    parser.add_argument("--each", type=int, default=14, help="mutations of a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--merge", type=Path, nargs="+")
    options = parser.parse_args()
    begin = time.monotonic()
    rows = merged([path.read_text() for path in options.merge]) if options.merge else run(options)
    print(describe(), f"{time.monotonic() - begin:.0f} s", os.linesep)
    print(*table(rows), sep="\n")
    for name, row in rows.items():
        print(f"\n{name}: slowest {row.seconds[1]}, largest {row.megabytes[1]}")
        print(*(f"  {told}" for told in row.found[:100]), sep="\n")
        print(*(f"  {count:6} {reason}" for reason, count in row.reasons.most_common(40)), sep="\n")
    if options.json:
        options.json.write_text(document(rows))
    if any(row.counts[kind] for row in rows.values() for kind in ("wrong", "death", "traceback")):
        sys.exit(1)


def document(rows: dict[str, Row]) -> str:
    """The rows as JSON."""
    plain = {name: vars(row) | {"sources": sorted(row.sources)} for name, row in rows.items()}
    return json.dumps(plain)


def merged(documents: list[str]) -> dict[str, Row]:
    """Rows of several runs, added up."""
    rows: dict[str, Row] = {}
    for text in documents:
        for name, one in json.loads(text).items():
            row = rows.setdefault(name, Row())
            row.tried += one["tried"]
            row.sources |= set(one["sources"])
            row.counts += Counter(one["counts"])
            row.reasons += Counter(one["reasons"])
            row.seconds = max(row.seconds, tuple(one["seconds"]))
            row.megabytes = max(row.megabytes, tuple(one["megabytes"]))
            row.dear += one["dear"]
            row.found += one["found"]
    return rows


if __name__ == "__main__":
    main()
