"""What a study found: its cells, its table, its verdict; as JSON, and read back."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tortie.errors import TortieError
from tortie.experiments.intervals import RULE, Decided, Mean, decide, mean_of, overall
from tortie.experiments.study import Column, ScaleName, Study

FORMAT = 1


@dataclass(frozen=True)
class Finished:
    """A finished cell.

    Attributes:
        cell: its name.
        seed: of every draw.
        seconds: that it took.
        arms: what was measured, by arm.
    """

    cell: str
    seed: int
    seconds: float
    arms: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Result:
    """All finished cells of a study.

    Attributes:
        study: of which.
        scale: at which it was run.
        seeds: in order.
        cells: finished, in the order of the study.
        data: name, description, SHA-256 and number of the pictures.
        machine: on which the last cells were run: processor, cores, versions.
    """

    study: Study
    scale: ScaleName
    seeds: tuple[int, ...]
    cells: tuple[Finished, ...]
    data: Mapping[str, Any]
    machine: Mapping[str, Any]

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, in the order in which they were measured."""
        return tuple(dict.fromkeys(arm for cell in self.cells for arm in cell.arms))

    def of(self, arm: str, key: str) -> list[Any]:
        """A measure of an arm, one value a seed."""
        found = {cell.seed: cell.arms[arm][key] for cell in self.cells if arm in cell.arms}
        return [found[seed] for seed in self.seeds]

    def has(self, arm: str, key: str) -> bool:
        """Whether the measure was taken of this arm."""
        return any(key in cell.arms.get(arm, {}) for cell in self.cells)

    def mean(self, arm: str, key: str, exact: bool = False) -> Mean:
        """The mean of a measure over the seeds with its interval."""
        return mean_of(self.of(arm, key), exact)

    @cached_property
    def decided(self) -> tuple[Decided, ...]:
        """Each criterion and what was found."""
        return tuple(decide(self, criterion) for criterion in self.study.criteria)

    @property
    def verdict(self) -> str:
        """``held``, ``did not hold`` or ``undecided at this scale``."""
        return overall(self.decided)

    @property
    def seconds(self) -> float:
        """That all cells took together."""
        return math.fsum(cell.seconds for cell in self.cells)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows, as text."""
        columns = self.study.columns
        rows = [[arm, *(self._entry(arm, column) for column in columns)] for arm in self.arms]
        return ["", *(column.heading for column in columns)], rows

    def _entry(self, arm: str, column: Column) -> str:
        if not self.has(arm, column.key):
            return ""
        mean = self.mean(arm, column.key, column.exact).within(column.least, column.most)
        return shown_mean(mean, column.digits, column.unit, column.exact)

    def findings(self) -> list[str]:
        """A line a criterion: what was found, what was claimed, what that says."""
        return [
            f"{one.verdict}: {one.criterion.what}: "
            f"{shown_mean(one.mean, 3, one.criterion.unit, one.criterion.exact, True)}, "
            f"claimed {one.criterion.wanted}"
            for one in self.decided
        ]

    def document(self) -> dict[str, Any]:
        """JSON's types only."""
        headings, rows = self.table()
        return {
            "format": FORMAT,
            "study": self.study.name,
            "claim": self.study.claim,
            "source": self.study.source,
            "scale": self.scale,
            "about": self.study.scales[self.scale].about,
            "verdict": self.verdict,
            "rule": RULE,
            "criteria": [
                {
                    "what": one.criterion.what,
                    "claimed": one.criterion.wanted,
                    "mean": _finite(one.mean.value * one.criterion.unit),
                    "low": _finite(one.mean.low * one.criterion.unit),
                    "high": _finite(one.mean.high * one.criterion.unit),
                    "verdict": one.verdict,
                }
                for one in self.decided
            ],
            "table": {"headings": headings, "rows": rows},
            "seeds": list(self.seeds),
            "data": dict(self.data),
            "machine": dict(self.machine),
            "seconds": round(math.fsum(round(one.seconds, 2) for one in self.cells), 1),
            "cells": [
                {
                    "cell": one.cell,
                    "seed": one.seed,
                    "seconds": round(one.seconds, 2),
                    "arms": one.arms,
                }
                for one in self.cells
            ],
        }


def load_result(path: Path, study: Study) -> Result:
    """A result that :meth:`Result.document` wrote.

    Raises:
        TortieError: it cannot be read, or is of another study.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["study"] != study.name or document["format"] != FORMAT:
            raise TortieError(f"{path}: the result of another study or version")
        return Result(
            study=study,
            scale=document["scale"],
            seeds=tuple(document["seeds"]),
            cells=tuple(Finished(**cell) for cell in document["cells"]),
            data=document["data"],
            machine=document["machine"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TortieError(f"{path} is no result of a study: {error}") from error


def shown_mean(
    mean: Mean, digits: int, unit: float = 1.0, exact: bool = False, significant: bool = False
) -> str:
    """``12.3 (11.9 to 12.8)``, or the value alone where it is counted or there is one seed."""

    def number(value: float) -> str:
        return f"{value * unit:,.{digits}g}" if significant else f"{value * unit:,.{digits}f}"

    if exact or math.isinf(mean.high - mean.low):
        return number(mean.value) if not significant else f"{mean.value * unit:,.7g}"
    return f"{number(mean.value)} ({number(mean.low)} to {number(mean.high)})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left, numbers to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
