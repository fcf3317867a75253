"""Static quantisation: weights and activations of the networks in 8 bits.

Each convolution and linear layer of the stages, and what stands between them, computes with
integers; resizing, the softmax layer and all that follows stay in float32. Weights have a scale
for each output channel. They are unsigned, around 128: of signed weights ONNX Runtime's sums
overflow on processors without VNNI, unless they have 7 bits only. The range of activations is the
smallest and largest value on calibration photographs (MinMax).
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tortie.errors import TortieError
from tortie.evaluation.metrics import Interval, wilson
from tortie.export.parity import Answer
from tortie.images import Photograph, Source, UnreadableImage, decode

CALIBRATION = 128
"""Photographs that ranges of activations are taken from, at most."""

MEASURED = 2000
"""Held-out photographs that the loss is measured on, at most."""

_KINDS = [
    "Conv", "Gemm", "MatMul", "Add", "Clip", "Relu", "MaxPool", "AveragePool",
    "GlobalAveragePool", "Concat", "Flatten", "Pad", "Transpose",
]  # fmt: skip
_PRE_PROCESSED = "onnx.quant.pre_process"  # batch normalisation is folded and shapes are known
_Z = 1.959964  # of a 95% interval


def quantise(model: onnx.ModelProto, sources: Sequence[Source], stages: str) -> onnx.ModelProto:
    """The model with its networks quantised.

    Args:
        model: in float32; it is left as it is.
        sources: calibration photographs, such as it will see.
        stages: what names of the operators that are quantised begin with.

    Raises:
        TortieError: none of the photographs can be read.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    prepared.metadata_props.add(key=_PRE_PROCESSED, value="tortie")
    nodes = [one.name for one in prepared.graph.node if one.name.startswith(stages)]
    with tempfile.TemporaryDirectory(prefix="tortie-int8-") as folder, _without_hints():
        output = Path(folder) / "model.onnx"
        quantize_static(
            prepared,
            str(output),
            _Photographs(model.graph.input[0].name, sources),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_KINDS,
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QUInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"WeightSymmetric": True},
        )
        quantised = onnx.load(output)
    del quantised.metadata_props[:]
    quantised.metadata_props.extend(model.metadata_props)
    quantised.producer_name, quantised.producer_version = (
        model.producer_name, model.producer_version
    )  # fmt: skip
    return quantised


@contextmanager
def _without_hints() -> Iterator[None]:
    """Inside, the root logger drops warnings: ONNX Runtime's quantiser writes its hints there.

    What they say shows in the measured loss. The handler is there because ``logging.warning``
    otherwise installs one that writes to stderr, for good.
    """
    root, handler = logging.getLogger(), logging.NullHandler()

    def is_error(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    root.addHandler(handler)
    root.addFilter(is_error)
    try:
        yield
    finally:
        root.removeFilter(is_error)
        root.removeHandler(handler)


class _Photographs:
    """Calibration photographs, one at a time, as ONNX Runtime asks for them."""

    def __init__(self, name: str, sources: Sequence[Source]) -> None:
        self._name = name
        self._images = self._decoded(sources)

    def _decoded(self, sources: Sequence[Source]) -> Iterator[NDArray[np.uint8]]:
        read = 0
        for one in sources:
            try:
                image = decode(one).image
            except UnreadableImage:
                continue
            read += 1
            yield np.asarray(image)
        if not read:
            raise TortieError("--int8: none of the calibration photographs can be read")

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """What the model takes, or ``None`` where all were given."""
        image = next(self._images, None)
        return None if image is None else {self._name: image}


@dataclass(frozen=True)
class Loss:
    """What quantisation costs in accuracy, on labelled photographs.

    Attributes:
        before: accuracy in float32.
        after: accuracy in 8 bits.
        points: how much lower it is, as a share; negative where it is higher.
        low: lower end of the 95% interval of ``points``.
        high: upper end.
        on: what the photographs are.
    """

    before: Interval
    after: Interval
    points: float
    low: float
    high: float
    on: str

    def document(self) -> dict[str, Any]:
        """The figures as JSON."""
        return asdict(self)


def loss(right: Sequence[tuple[bool, bool]], on: str) -> Loss:
    """The loss of accuracy, from whether each photograph was right before and after.

    The interval is that of a difference of paired shares: Agresti and Min 2005, "Simple improved
    confidence intervals for comparing matched proportions", which adds half a photograph to each
    of the four cells.
    """
    n = len(right)
    worse = sum(before and not after for before, after in right)
    better = sum(after and not before for before, after in right)
    centre = (worse - better) / (n + 2)
    spread = ((worse + better + 1) - (n + 2) * centre**2) ** 0.5 / (n + 2)
    return Loss(
        before=wilson(sum(before for before, _ in right), n),
        after=wilson(sum(after for _, after in right), n),
        points=(worse - better) / n,
        low=centre - _Z * spread,
        high=centre + _Z * spread,
        on=on,
    )


def measure(
    answers: tuple[Answer, Answer],
    photographs: Sequence[Photograph],
    classes: Sequence[str],
    on: str,
) -> Loss | None:
    """The loss between two models on photographs; ``None`` where none of them counts.

    Args:
        answers: the model before and after.
        photographs: with labels.
        classes: names, in the order of the probabilities.
        on: what the photographs are.
    """
    right = []
    for one in photographs:
        try:
            image = np.asarray(decode(one.path).image)
        except UnreadableImage:
            continue
        before, after = (classes[int(answer(image).argmax())] == one.label for answer in answers)
        right.append((before, after))
    return loss(right, on) if right else None
