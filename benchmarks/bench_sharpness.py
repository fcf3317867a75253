"""What one resampling keeps that four do not: contrast by frequency, on a zone plate.

Claim: crop, shear, rotation and warp composed into one map keep measurably more contrast at high
frequencies than the same steps one after another, and of detail too fine for the picture let less
through than bare interpolation does ("false": contrast shown where there can be none).

The chart is cos(π k r²), whose local frequency k r is known everywhere; so is, through the
coordinate map, what an ideal picture would show at each pixel. Contrast is the share of it that is
there: the projection of the picture on the ideal one, in rings of equal frequency, the mean of 12
draws. Steps are OpenCV's bilinear, in bytes, as pipelines of separate steps do it; their first step
is either bare bilinear (albumentations) or antialiased by area (torchvision antialiases, too).

    python benchmarks/bench_sharpness.py [--picture docs/pictures/sharpness.png]
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tortie.augment import AreaCrop, Distortion, Warp
from tortie.augment.geometry import coordinate_map, linear_part

SIDE, SOURCE = 224, 448
REST = {"mirror": False, "scale": 1.0, "squeeze": 1.0, "shear": 0.0, "rotate": 0.0}
WARP = 0.01
EDGES = np.linspace(0.05, 0.5, 10)  # cycles a pixel of the picture
INNER = np.s_[16:-16, 16:-16]


def distortions(step: float) -> list[Distortion]:
    """Twelve draws that crop so that one pixel of the picture is ``step`` pixels of the chart."""
    rng = np.random.default_rng(0)
    area = (SIDE * step / SOURCE) ** 2
    return [
        Distortion(
            crop=AreaCrop(area, (1, 1), 0, *rng.uniform(0.4, 0.6, 2)),
            shear=rng.uniform(-8, 8),
            rotate=rng.uniform(-15, 15),
            warp=Warp(WARP, 0.1, bytes([index])),
        )
        for index in range(12)
    ]


def places(drawn: Distortion) -> np.ndarray:
    """Where each pixel of the picture comes from, (2, SIDE, SIDE)."""
    linear = linear_part(**{**REST, "shear": drawn.shear, "rotate": drawn.rotate})
    window = drawn.crop.window(SOURCE, SOURCE)
    return coordinate_map(window, linear, (0, 0), drawn.warp, SIDE, SIDE).places(SIDE, SIDE)


def one_by_one(image: np.ndarray, drawn: Distortion, first: int) -> np.ndarray:
    """Crop, shear, rotate and warp, each interpolated and rounded."""
    left, top, wide, tall = drawn.crop.window(SOURCE, SOURCE)
    crop = image[round(top) : round(top + tall), round(left) : round(left + wide)]
    picture = cv2.resize(crop, (SIDE, SIDE), interpolation=first)
    middle = (SIDE - 1) / 2
    lean = math.tan(math.radians(drawn.shear))
    shear = np.array([[1, -lean, lean * middle], [0, 1, 0]])
    turn = cv2.getRotationMatrix2D((middle, middle), drawn.rotate, 1)
    for matrix in (shear, turn):
        picture = cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    unmoved = linear_part(**REST)
    field = coordinate_map((0, 0, SIDE, SIDE), unmoved, (0, 0), drawn.warp, SIDE, SIDE)
    x, y = field.places(SIDE, SIDE)
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def bare(image: np.ndarray, drawn: Distortion) -> np.ndarray:
    """One bilinear resampling with nothing before it."""
    x, y = places(drawn)
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def pillow(image: np.ndarray, drawn: Distortion) -> np.ndarray:
    """The crop alone, by Pillow's antialiased bicubic."""
    left, top, wide, tall = drawn.crop.window(SOURCE, SOURCE)
    box = (left, top, left + wide, top + tall)
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box))


Method = Callable[[np.ndarray, Distortion], np.ndarray]
METHODS: dict[str, Method] = {
    "one resampling": lambda image, drawn: drawn.apply(image, SIDE, SIDE),
    "four steps, bilinear": lambda image, drawn: one_by_one(image, drawn, cv2.INTER_LINEAR),
    "four steps, first by area": lambda image, drawn: one_by_one(image, drawn, cv2.INTER_AREA),
}
CROPS: dict[str, Method] = {
    "one resampling": METHODS["one resampling"],
    "bare bilinear": bare,
    "Pillow, bicubic": pillow,
}


def chart(step: float, reach: float) -> tuple[np.ndarray, float]:
    """The zone plate, uint8 (SOURCE, SOURCE, 3), and its k in cycles a squared pixel.

    ``reach`` pixels of the picture from its centre it has 0.5 cycles a pixel of the picture.
    """
    k = 0.5 / step / (reach * step)
    y, x = np.mgrid[0:SOURCE, 0:SOURCE] - (SOURCE - 1) / 2
    values = 127.5 + 127.5 * np.cos(math.pi * k * (x**2 + y**2))
    return np.repeat(values[..., None], 3, axis=2).round().astype(np.uint8), k


def ideal(drawn: Distortion, k: float) -> tuple[np.ndarray, np.ndarray]:
    """What the inner picture would show, −1 to 1, and the chart's frequency there."""
    x, y = (axis[INNER] - (SOURCE - 1) / 2 for axis in places(drawn))
    radius = np.hypot(x, y)
    return np.cos(math.pi * k * radius**2), k * radius


def kept(method: Method, draws: list[Distortion], step: float) -> np.ndarray:
    """The contrast that is left of the chart's, by ring."""
    image, k = chart(step, 0.6 * SIDE)
    found = np.zeros((len(draws), len(EDGES) - 1))
    for index, drawn in enumerate(draws):
        wanted, frequency = ideal(drawn, k)
        rings = np.digitize(frequency * step, EDGES) - 1
        shown = method(image, drawn)[INNER][..., 0] / 127.5 - 1
        for ring in range(len(EDGES) - 1):
            here = rings == ring
            found[index, ring] = (shown[here] @ wanted[here]) / (wanted[here] @ wanted[here])
    return found.mean(axis=0)


def false(method: Method, draws: list[Distortion], step: float) -> float:
    """The contrast shown where the chart has 0.6 cycles a pixel and more, and none can be shown."""
    image, k = chart(step, 0.25 * SIDE)
    found = []
    for drawn in draws:
        _, frequency = ideal(drawn, k)
        beyond = (frequency * step > 0.6) & (frequency < 0.5)
        hidden = method(image, drawn)[INNER][..., 0][beyond] / 127.5 - 1
        found.append(math.sqrt(2 * float(np.mean(hidden**2))))
    return float(np.mean(found))


def picture(results: dict[float, dict[str, np.ndarray]], path: Path) -> None:
    """The curves, and the same corner of the chart by one resampling and by four steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(11.5, 3.3), dpi=110)
    grid = figure.add_gridspec(1, 4, width_ratios=(1.15, 1.15, 1, 1), wspace=0.22)
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    styles = {
        "one resampling": ("#0b7a75", "-"),
        "four steps, bilinear": ("#c8553d", "-"),
        "four steps, first by area": ("#c8553d", ":"),
    }
    for index, (step, curves) in enumerate(results.items()):
        axes = figure.add_subplot(grid[index])
        for name, values in curves.items():
            colour, line = styles[name]
            axes.plot(middles, values, line, color=colour, label=name, linewidth=2)
        axes.set(xlim=(0.05, 0.5), ylim=(0, 1.05), xlabel="cycles a pixel")
        title = "same scale" if step == 1 else f"shrunk {step:g} times"
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if index == 0:
            axes.set_ylabel("contrast kept")
            axes.legend(fontsize=8, frameon=False, loc="lower left")
    image, _ = chart(1.0, 0.6 * SIDE)
    drawn = distortions(1.0)[0]
    for index, name in enumerate(("one resampling", "four steps, bilinear"), 2):
        axes = figure.add_subplot(grid[index])
        axes.imshow(METHODS[name](image, drawn)[112:208, 112:208], vmin=0, vmax=255)
        axes.set_title(name, fontsize=10)
        axes.axis("off")
    figure.savefig(path, bbox_inches="tight")


def report(methods: dict[str, Method], draws: list[Distortion], step: float) -> dict:
    """Print a table, and return the curves."""
    shown = [0.15, 0.25, 0.35, 0.45]
    print(f"{'contrast at, cycles a pixel':>28}  {'  '.join(f'{f:5.2f}' for f in shown)}   false")
    curves = {name: kept(method, draws, step) for name, method in methods.items()}
    for name, values in curves.items():
        numbers = "  ".join(
            f"{np.interp(f, (EDGES[1:] + EDGES[:-1]) / 2, values):5.2f}" for f in shown
        )
        wrong = f"{false(methods[name], draws, step):.2f}" if step > 1.2 else "-"
        print(f"{name:>28}  {numbers}   {wrong:>5}")
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, help="where to write the figure")
    arguments = parser.parse_args()
    results = {}
    for step in (1.0, 1.6):
        draws = distortions(step)
        print(f"\ncrop, shear, rotation, warp; {step:g} pixels of the image a pixel of the picture")
        results[step] = report(METHODS, draws, step)
        one, four = (results[step][name][6] for name in list(METHODS)[:2])
        print(
            f"{one / four:.2f} times the contrast of four steps at {EDGES[6]:.2f} to {EDGES[7]:.2f}"
        )
        print("\ncrop alone")
        report(CROPS, [replace(d, shear=0.0, rotate=0.0, warp=None) for d in draws], step)
    if arguments.picture:
        picture(results, arguments.picture)


if __name__ == "__main__":
    main()
