"""From activations to answers in an ONNX graph: probabilities, and distance from training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tortie.evaluation.calibration import FLOOR
from tortie.evaluation.novelty import Novelty
from tortie.export.program import Program

_LEAST = np.float32(1e-12)


def averaged_and_tempered(
    program: Program, members: Sequence[str], temperature: float, output: str
) -> str:
    """Probabilities ``(N, K)``: the members' mean, its logarithm divided by the temperature.

    Args:
        program: to write into.
        members: each member's probabilities ``(N, K)``, float32.
        temperature: 1 leaves the mean as it is.
        output: name of the result.
    """
    mean = members[0] if len(members) == 1 else program.add("Mean", *members)
    if temperature == 1:
        return program.add("Identity", mean, output=output)
    logs = program.add("Log", program.add("Max", mean, np.float32(FLOOR)))
    scaled = program.add("Div", logs, np.float32(temperature))
    return program.add("Softmax", scaled, axis=1, output=output)


def distance_and_percentile(
    program: Program, features: str, novelty: Novelty, outputs: tuple[str, str]
) -> None:
    """What :class:`Novelty` says of activations ``(N, D)``: two results ``(N,)``, float32.

    Args:
        program: to write into.
        features: of the undistorted views, float32.
        novelty: the spread of the training photographs.
        outputs: names of the results: the distance, and the percentage that are less far.
    """
    add = program.add

    def double(value: str) -> str:
        return add("Cast", value, to=TensorProto.DOUBLE)

    def squared(rows: str, means: NDArray[np.float64], columns: str) -> str:  # (N, K)
        own = add("ReduceSum", add("Mul", rows, rows), np.array([1]))
        twice = add("Mul", add("MatMul", rows, columns), np.float64(2))
        return add("Add", add("Sub", own, twice), np.square(means).sum(axis=1))

    length = add("ReduceL2", double(features), np.array([1]))
    length = add("Max", add("Cast", length, to=TensorProto.FLOAT), _LEAST)
    rows = double(add("Mul", add("Div", features, length), novelty.scale))
    means, directions = novelty.means.astype(np.float64), novelty.directions.astype(np.float64)
    led = means @ directions.T
    turned = double(program.constant(np.ascontiguousarray(novelty.directions.T)))
    leading = squared(add("MatMul", rows, turned), led, program.constant(led.T.copy()))
    columns = double(program.constant(np.ascontiguousarray(novelty.means.T)))
    left = add("Max", add("Sub", squared(rows, means, columns), leading), np.float64(0))
    distance = add("Sqrt", add("ReduceMin", left, np.array([1]), keepdims=0))
    add("Cast", distance, to=TensorProto.FLOAT, output=outputs[0])
    begins = novelty.quantiles[:-1].astype(np.float64)
    widths = np.maximum(np.diff(novelty.quantiles.astype(np.float64)), 1e-12)
    beyond = add("Sub", add("Unsqueeze", distance, np.array([1])), begins)  # (N, 100)
    shares = add("Clip", add("Div", beyond, widths), np.float64(0), np.float64(1))
    percentile = add("ReduceSum", shares, np.array([1]), keepdims=0)
    add("Cast", percentile, to=TensorProto.FLOAT, output=outputs[1])
