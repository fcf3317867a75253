"""How figures look, in light and in dark: large type, few colours, no frame."""

from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["light", "dark"]


@dataclass(frozen=True)
class Theme:
    """Colours of a figure.

    Attributes:
        mode: light or dark.
        paper: behind everything.
        ink: of text.
        pale: of axes and of what is beside the point.
        grid: of lines behind the data.
        colours: of the arms, in order; told apart by people who do not see red or green.
        heat: name of matplotlib's colour map for heat maps.
    """

    mode: Mode
    paper: str
    ink: str
    pale: str
    grid: str
    colours: tuple[str, ...]
    heat: str

    def style(self) -> Any:
        """What matplotlib is told."""
        return {
            "font.family": "sans-serif",
            "font.size": 13,
            "svg.hashsalt": "tortie",  # the same picture, the same bytes
            "figure.facecolor": self.paper,
            "savefig.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "axes.edgecolor": self.pale,
            "axes.labelcolor": self.ink,
            "axes.titlesize": 14,
            "axes.titlelocation": "left",
            "axes.titlepad": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": self.grid,
            "grid.linewidth": 0.8,
            "xtick.color": self.pale,
            "ytick.color": self.pale,
            "xtick.labelcolor": self.ink,
            "ytick.labelcolor": self.ink,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "xtick.minor.size": 0,
            "ytick.minor.size": 0,
            "text.color": self.ink,
            "legend.frameon": False,
            "legend.fontsize": 12,
            "lines.linewidth": 2.4,
            "lines.solid_capstyle": "round",
        }


LIGHT = Theme(
    mode="light", paper="#ffffff", ink="#1f2933", pale="#9aa5b1", grid="#e4e7eb",
    colours=("#0b69a3", "#de5b2a", "#2f8f6f", "#8e44ad", "#b7950b", "#7b8794"), heat="Blues",
)  # fmt: skip
DARK = Theme(
    mode="dark", paper="#15191e", ink="#e8ecf0", pale="#697585", grid="#2a313a",
    colours=("#5db4ec", "#ff9466", "#62cfa6", "#c99be0", "#e8cb4f", "#a7b1bd"), heat="viridis",
)  # fmt: skip
