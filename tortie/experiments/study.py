"""What a study is: a claim, what is measured for it, and the rule of its verdict."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tortie.experiments.picture_sets import Pictures
    from tortie.experiments.study_result import Result
    from tortie.experiments.theme import Theme

ScaleName = Literal["quick", "full"]
Data = Literal["digits", "patches", "photographs", "none"]
Measured = Mapping[str, Mapping[str, Any]]
"""What a cell yields: by arm, numbers or lists of numbers by name."""


@dataclass(frozen=True)
class Criterion:
    """A number over the seeds, and where the claim says that it lies.

    The number is a measure of ``arm``, minus that of ``minus`` with the same seed. Where the arms
    are measured once for a seed on the same photographs, the difference is paired.

    Attributes:
        what: in words, with the unit.
        key: name of the measure.
        arm: whose.
        minus: whose is subtracted; ``None`` for the measure itself.
        above: the claim says that it is above this.
        below: the claim says that it is below this.
        ratio: whether the two are divided, not subtracted: the interval is then that of the
            logarithm's mean.
        exact: whether it is counted and has no interval.
        resolution: half of the interval's width at the least: what one photograph is worth.
        unit: factor by which the number is shown, 100 for percentage points.
    """

    what: str
    key: str
    arm: str
    minus: str | None = None
    above: float = -math.inf
    below: float = math.inf
    ratio: bool = False
    exact: bool = False
    resolution: float = 0.0
    unit: float = 1.0

    @property
    def wanted(self) -> str:
        """Where the claim says that it lies, in words."""
        low, high = self.above * self.unit, self.below * self.unit
        if math.isinf(high):
            return f"above {low:g}"
        return f"below {high:g}" if math.isinf(low) else f"between {low:g} and {high:g}"


@dataclass(frozen=True)
class Column:
    """A column of the table: the mean of a measure over the seeds, with its interval.

    Attributes:
        key: name of the measure.
        heading: with the unit.
        digits: after the point.
        unit: factor by which the number is shown, 100 for percent.
        exact: whether the number is counted and has no interval.
        least: it cannot be below this, and an interval goes no lower.
        most: it cannot be above this.
    """

    key: str
    heading: str
    digits: int = 1
    unit: float = 1.0
    exact: bool = False
    least: float = -math.inf
    most: float = math.inf


def percent(key: str, heading: str, digits: int = 1, exact: bool = False) -> Column:
    """A column of shares, shown in percent.

    Args:
        key: name of the measure, 0 to 1.
        heading: with the unit.
        digits: after the point.
        exact: whether the number is counted and has no interval.
    """
    return Column(key, heading, digits, unit=100, exact=exact, least=0.0, most=1.0)


@dataclass(frozen=True)
class Scale:
    """How large a run is.

    Attributes:
        about: what is run at this scale, and how it differs from the paper; in a sentence.
        cells: names of the units that are measured for each seed.
        seeds: how many.
        minutes: that it takes on two cores with AVX2; ``None`` where it was not measured.
        times: how many times as much a seed computes as at the scale ``quick``, for the estimate
            of the plan where the time was not measured.
        settings: of the study.
        needs: the data that ``--data`` must bring, in words; empty where it brings its own.
        passes: photographs that go through a network forward and backward, by the network's name,
            for the estimate of the plan.
    """

    about: str
    cells: tuple[str, ...]
    seeds: int
    minutes: float | None = None
    times: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    passes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What one cell is given.

    Attributes:
        cell: its name.
        seed: of every draw.
        settings: of the scale.
        pictures: the data.
        folder: for what a long training must keep to go on; not there yet.
        lasting: whether a training should keep checkpoints there.
    """

    cell: str
    seed: int
    settings: Mapping[str, Any]
    pictures: "Pictures"
    folder: Path
    lasting: bool


@dataclass(frozen=True)
class Study:
    """A claim that one command tries.

    Attributes:
        name: as the command line takes it.
        claim: in a sentence.
        source: paper, section or figure.
        method: what is done, in a few sentences.
        data: that it takes where ``--data`` gives none.
        side: of its pictures, in pixels.
        channels: of its pictures, 1 or 3.
        scales: ``quick`` and ``full``.
        measure: runs a cell.
        criteria: all must lie where the claim says for it to hold.
        columns: of the table.
        figure: draws into axes.
        caption: how to read the figure.
        axes: columns of axes in the figure.
    """

    name: str
    claim: str
    source: str
    method: str
    data: Data
    side: int
    channels: int
    scales: Mapping[ScaleName, Scale]
    measure: Callable[[Task], Measured]
    criteria: tuple[Criterion, ...]
    columns: tuple[Column, ...]
    figure: "Callable[[Sequence[Axes], Result, Theme], None]"
    caption: str
    axes: int = 1
