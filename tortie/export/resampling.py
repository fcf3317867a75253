"""Resizing and cropping as part of an ONNX graph: the pixels that :class:`Preprocessing` makes.

Each crop is two matrix products, across and then down, each rounded to 8 bits as Pillow rounds.
The matrices are Pillow's filter weights (``precompute_coeffs`` of its Resample.c), worked out in
double precision from the size of the image and rounded to 22 bits as there. Each is the sum of its
upper and its lower 11 bits: products with 8-bit levels, and sums of up to 64 of them, then fit the
24 bits of float32, so nothing is rounded but where Pillow rounds, in any runtime. ONNX has an
operator ``Resize``, but its antialiasing differs from runtime to runtime, and some have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from tortie.activations.views import View
from tortie.evaluation.crops import Crop
from tortie.export.program import Program, Value
from tortie.images.preprocess import REDUCED, Preprocessing

_HALF = np.float64(0.5)
_ONE = np.float64(1)
_ZERO = np.float64(0)
_SUPPORT = {"bicubic": 2, "bilinear": 1}


@dataclass(frozen=True)
class _Side:
    """Width or height of an image, in names of results.

    Attributes:
        size: pixels, int64.
        extent: pixels that count as the whole, float64: a fraction where a reduction was rounded.
    """

    size: str
    extent: str


@dataclass(frozen=True)
class _Maps:
    """An image as float32 grey levels ``(C, H, W)``, and its sides."""

    levels: str
    rows: _Side
    columns: _Side


def crops_of(
    program: Program, image: str, preprocessing: Preprocessing, views: Sequence[View]
) -> str:
    """The crops of an image, uint8 ``(V, height, width, channels)``.

    Args:
        program: to write into.
        image: uint8 ``(H, W, 3)`` of any size.
        preprocessing: of the network.
        views: the undistorted one, and crops of the central square.
    """
    reduced: dict[int, _Maps] = {}
    crops = []
    for view in views:
        shorter = view.shorter if isinstance(view, Crop) else preprocessing.resize
        if shorter not in reduced:
            reduced[shorter] = _reduced(program, image, shorter, preprocessing.channels)
        crops.append(_view(program, reduced[shorter], shorter, preprocessing, view))
    return crops[0] if len(crops) == 1 else program.add("Concat", *crops, axis=0)


def _reduced(program: Program, image: str, shorter: int, channels: int) -> _Maps:
    """The image, averaged over boxes where it is far larger than ``shorter``."""
    add = program.add
    shape = add("Shape", image)
    height, width = (
        add("Cast", add("Gather", shape, np.int64(axis)), to=TensorProto.DOUBLE) for axis in (0, 1)
    )
    times = add("Div", add("Min", height, width), np.float64(shorter))
    times = add("Div", times, np.float64(REDUCED))
    factor = add("Max", add("Floor", times), _ONE)
    rows, columns = (_reduced_side(program, size, factor) for size in (height, width))
    whole = add("Cast", factor, to=TensorProto.INT64)
    margins = [
        add("Sub", add("Mul", side.size, whole), add("Cast", size, to=TensorProto.INT64))
        for side, size in ((rows, height), (columns, width))
    ]
    pads = _vector(program, *[np.int64(0)] * 3, *margins, np.int64(0))
    padded = add("Pad", image, pads, np.uint8(0))
    levels = add("Cast", padded, to=TensorProto.FLOAT)
    if channels == 1:
        levels = _grey(program, levels)
    boxes = _vector(program, rows.size, whole, columns.size, whole, np.int64(channels))
    levels = add("Reshape", levels, boxes)
    total = add("ReduceSum", levels, np.array([1, 3]), keepdims=0)
    averaged = _averaged(program, total, [(rows, height), (columns, width)], factor)
    return _Maps(add("Transpose", averaged, perm=[2, 0, 1]), rows, columns)


def _reduced_side(program: Program, size: str, factor: str) -> _Side:
    extent = program.add("Div", size, factor)
    return _Side(program.add("Cast", program.add("Ceil", extent), to=TensorProto.INT64), extent)


def _averaged(program: Program, total: str, sides: list[tuple[_Side, str]], factor: str) -> str:
    """Sums over boxes as means, rounded as Pillow does; boxes at the far edges have less pixels."""
    add = program.add
    counts = []
    for side, size in sides:
        places = add("Range", _ZERO, add("Cast", side.size, to=TensorProto.DOUBLE), _ONE)
        counts.append(add("Min", factor, add("Sub", size, add("Mul", places, factor))))
    down = add("Unsqueeze", counts[0], np.array([1, 2]))
    count = add("Mul", down, add("Unsqueeze", counts[1], np.array([1])))
    half = add("Floor", add("Mul", count, _HALF))
    # Pillow multiplies by 2**24 over the count, cut off to a whole number.
    share = add("Div", np.float32(2**24), add("Cast", count, to=TensorProto.FLOAT))
    share = add("Cast", add("Floor", share), to=TensorProto.DOUBLE)
    sums = add("Add", add("Cast", total, to=TensorProto.DOUBLE), half)
    means = add("Floor", add("Mul", add("Mul", sums, share), np.float64(2**-24)))
    return add("Cast", means, to=TensorProto.FLOAT)


def _grey(program: Program, levels: str) -> str:
    """ITU-R 601-2 luma of float32 ``(H, W, 3)``, as Pillow rounds it: ``(H, W, 1)``."""
    shares = np.array([19595, 38470, 7471], np.float32)  # of 65536: all sums are below 2**24
    total = program.add("ReduceSum", program.add("Mul", levels, shares), np.array([2]))
    total = program.add("Add", total, np.float32(32768))
    return program.add("Floor", program.add("Div", total, np.float32(65536)))


def _view(
    program: Program, maps: _Maps, shorter: int, preprocessing: Preprocessing, view: View
) -> str:
    """One crop, uint8 ``(1, height, width, channels)``."""
    add = program.add
    crop = view if isinstance(view, Crop) else None
    rows, columns = maps.rows, maps.columns
    least = add("Min", rows.extent, columns.extent)
    weights, firsts, lasts = [], [], []
    for side, size, far in (
        (rows, preprocessing.height, "bottom"),
        (columns, preprocessing.width, "right"),
    ):
        enlarged = add("Div", add("Mul", np.float64(shorter), side.extent), least)
        resized = add("Max", add("Floor", enlarged), np.float64(shorter))
        place = _place(program, resized, shorter, size, far, crop)
        scale = add("Div", side.extent, resized)
        begin = add("Mul", place, scale)
        end = add("Min", add("Add", begin, add("Mul", np.float64(size), scale)), side.extent)
        matrix, first, last = _weights(
            program, side.size, begin, end, size, preprocessing.interpolation
        )
        weights.append(matrix)
        firsts.append(first)
        lasts.append(last)
    first, last = _vector(program, *firsts), _vector(program, *lasts)
    part = add("Slice", maps.levels, first, last, np.array([1, 2]))
    across = _rounded(program, add("MatMul", part, weights[1]), axis=2)
    down = add("MatMul", add("Transpose", weights[0], perm=[1, 0]), across)
    down = _rounded(program, down, axis=1)
    pixels = add("Cast", add("Transpose", down, perm=[1, 2, 0]), to=TensorProto.UINT8)
    if crop and crop.mirrored:
        pixels = add(
            "Slice", pixels, np.array([-1]), np.array([-(2**31)]), np.array([1]), np.array([-1])
        )
    return add("Unsqueeze", pixels, np.array([0]))


def _place(
    program: Program, resized: str, shorter: int, size: int, far: str, crop: Crop | None
) -> str:
    """Where the crop begins on one side of the resized image, pixels."""

    def middle(length: Value, inner: Value) -> str:
        return program.add("Round", program.add("Mul", program.add("Sub", length, inner), _HALF))

    if crop is None:
        return middle(resized, np.float64(size))
    square = middle(resized, np.float64(shorter))
    offset = round((shorter - size) / 2)
    if crop.place != "centre":
        offset = shorter - size if far in crop.place else 0
    return program.add("Add", square, np.float64(offset))


def _weights(
    program: Program, size: str, begin: str, end: str, count: int, interpolation: str
) -> tuple[str, str, str]:
    """Weights ``(P, 2 count)`` of the pixels from the first to the last that count, float32.

    Args:
        program: to write into.
        size: pixels of the side.
        begin: where the crop begins, in pixels of the side.
        end: where it ends.
        count: pixels of the crop.
        interpolation: bicubic or bilinear.

    Returns:
        the weights, of which the first half is their upper 11 bits and the second their lower;
        and the first pixel and the one after the last, int64.
    """
    add = program.add
    begin, end = (add("Cast", one, to=TensorProto.FLOAT) for one in (begin, end))  # as Pillow
    scale = add("Cast", add("Sub", end, begin), to=TensorProto.DOUBLE)
    scale = add("Div", scale, np.float64(count))
    begin, end = (add("Cast", one, to=TensorProto.DOUBLE) for one in (begin, end))
    stretch = add("Max", scale, _ONE)
    reach = add("Mul", stretch, np.float64(_SUPPORT[interpolation] + 1))
    whole = add("Cast", size, to=TensorProto.DOUBLE)
    first = add("Max", add("Floor", add("Sub", begin, reach)), _ZERO)
    last = add("Min", add("Ceil", add("Add", end, reach)), whole)
    centres = add("Add", begin, add("Mul", np.arange(count) + 0.5, scale))
    pixels = add("Unsqueeze", add("Add", add("Range", first, last, _ONE), _HALF), np.array([1]))
    distance = add("Abs", add("Div", add("Sub", pixels, centres), stretch))
    weights = (
        _bicubic(program, distance)
        if interpolation == "bicubic"
        else add("Max", add("Sub", _ONE, distance), _ZERO)
    )
    weights = add("Div", weights, add("ReduceSum", weights, np.array([0])))
    whole = add("Floor", add("Add", add("Mul", add("Abs", weights), np.float64(2**22)), _HALF))
    weights = add("Mul", add("Mul", whole, add("Sign", weights)), np.float64(2**-22))
    upper = add("Mul", add("Round", add("Mul", weights, np.float64(2**11))), np.float64(2**-11))
    both = add("Concat", upper, add("Sub", weights, upper), axis=1)
    first, last = (add("Cast", one, to=TensorProto.INT64) for one in (first, last))
    return add("Cast", both, to=TensorProto.FLOAT), first, last


def _bicubic(program: Program, distance: str) -> str:
    """Keys's kernel with a = -0.5, as Pillow's: the two cubics, each where it holds."""
    add = program.add

    def polynomial(x: str, *coefficients: float) -> str:
        value: Value = np.float64(coefficients[0])
        for one in coefficients[1:]:
            value = add("Add", add("Mul", value, x), np.float64(one))
        return str(value)

    near = add("Min", distance, _ONE)
    far = add("Min", add("Max", distance, _ONE), np.float64(2))
    return add(  # either cubic is 0 at a distance of 1
        "Add", polynomial(near, 1.5, -2.5, 0, 1), polynomial(far, -0.5, 2.5, -4, 2)
    )


def _rounded(program: Program, sums: str, axis: int) -> str:
    """Grey levels as 8 bits hold them, float32.

    Args:
        program: to write into.
        sums: those of the upper bits of the weights, and then, along ``axis``, of the lower.
        axis: of the crop's pixels.
    """
    add = program.add
    upper, lower = (add("Cast", one, to=TensorProto.DOUBLE) for one in program.split(sums, axis))
    level = add("Floor", add("Add", add("Add", upper, lower), _HALF))
    level = add("Clip", level, _ZERO, np.float64(255))
    return add("Cast", level, to=TensorProto.FLOAT)


def _vector(program: Program, *scalars: Value) -> str:
    """Numbers as one int64 vector."""
    parts = [program.add("Reshape", one, np.array([1])) for one in scalars]
    return program.add("Concat", *parts, axis=0)
