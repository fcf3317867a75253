"""Export a classifier: write the model, check it beside the classifier, and only then keep it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tortie.errors import TortieError, UsageError
from tortie.export.model import PROBABILITIES, Contents, write_model
from tortie.export.photographs import Known, known_photographs, sample, split_file, to_check
from tortie.files import check_output, replacing, sha256_of, together
from tortie.images.walk import listed
from tortie.loading import load_or_pretrained

if TYPE_CHECKING:
    import onnx

    from tortie.classifier import ImageClassifier
    from tortie.export.int8 import Loss
    from tortie.export.parity import Answer, Parity, Progress

Precision = Literal["float32", "float16", "int8"]

TOLERANCES: dict[Precision, float | None] = {"float32": 1e-3, "float16": 1e-2, "int8": None}
"""Largest difference of a probability; quantised models are held to their loss of accuracy."""

_NETWORK = "network"  # what names of the networks' operators and weights begin with
_HEAD = "head"


@dataclass(frozen=True)
class ExportOptions:
    """What a user may say of an export.

    Attributes:
        contents: what the model computes.
        precision: of the networks' weights.
        check: files or folders to compare it on; empty for training photographs.
        images: folder of classes, or CSV, to calibrate 8 bits on; ``None`` for the split CSV.
        max_loss: of accuracy, that 8 bits may cost: a share, 0.01 is one point.
    """

    contents: Contents = field(default_factory=Contents)
    precision: Precision = "float32"
    check: Sequence[Path] = ()
    images: Path | None = None
    max_loss: float = 0.01


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares.

    Attributes:
        file: where it is.
        size: bytes.
        parity: beside the classifier, in float32.
        compared_on: what photographs that was.
        tolerance: that the differences were held to; ``None`` for 8 bits.
        loss: of accuracy, in 8 bits.
    """

    file: Path
    size: int
    parity: "Parity"
    compared_on: str
    tolerance: float | None
    loss: "Loss | None"

    def document(self) -> dict[str, Any]:
        """The figures as JSON."""
        return {
            "file": str(self.file),
            "bytes": self.size,
            "compared_on": self.compared_on,
            "tolerance": self.tolerance,
            **self.parity.document(),
            "loss": self.loss and self.loss.document(),
        }


def export(
    model: Path,
    output: Path,
    options: ExportOptions,
    may_replace: bool = False,
    progress: "Progress" = lambda done, total: None,
) -> Exported:
    """Write a classifier as a file that needs no tortie.

    Args:
        model: a classifier's file, or the name of a network with published weights.
        output: ends in ``.onnx`` or ``.html``.
        options: what to write.
        may_replace: whether a file that is there gives way.
        progress: told photographs compared and in all.

    Raises:
        UsageError: what cannot be exported, before any work is done.
        TortieError: the exported model answers otherwise than the classifier, or costs too much
            accuracy; nothing is written.
    """
    write = _writer(output, options.contents)
    check_output(output, may_replace, [model, *options.check])
    classifier = load_or_pretrained(model).set_params(
        precision="float32", device="cpu", crops=options.contents.crops
    )
    options.contents.check(classifier)
    known = known_photographs(model, classifier.training_sha256)
    labelled = known
    if options.precision == "int8":
        labelled = _labelled(model, options, known, classifier.metadata.classes)
    sources, compared_on = to_check(options.check, known)
    plain = write_model(classifier, options.contents, _provenance(model, options))
    written, loss = _at_precision(plain, options, labelled, classifier)
    parity = _checked(written, classifier, options, sources, progress)
    content = write(written)
    with together(may_replace), replacing(output) as file:
        file.write(content)
    return Exported(
        file=output,
        size=len(content),
        parity=parity,
        compared_on=compared_on,
        tolerance=TOLERANCES[options.precision],
        loss=loss,
    )


def _writer(output: Path, contents: Contents) -> "Callable[[onnx.ModelProto], bytes]":
    """What makes the bytes of a file of this name.

    Raises:
        UsageError: a name that says no format, or a page that cannot be made.
    """
    kind = output.suffix.lower()
    if kind == ".onnx":
        return lambda model: model.SerializeToString(deterministic=True)
    if kind not in (".html", ".htm"):
        raise UsageError(f"-o {output}: expected a name that ends in .onnx or .html")
    if contents.resized:
        raise UsageError("--resized: a page takes photographs of any size: leave it out")
    from tortie.export.offline_page import offline_page
    from tortie.export.runtime import runtime

    carried = runtime()
    return lambda model: offline_page(model, carried)


def _provenance(model: Path, options: ExportOptions) -> dict[str, Any]:
    if not model.is_file():
        return {"classifier": str(model), "precision": options.precision}
    return {
        "classifier": model.name, "sha256": sha256_of(model), "precision": options.precision
    }  # fmt: skip


def _labelled(model: Path, options: ExportOptions, known: Known, classes: Sequence[str]) -> Known:
    """Photographs to calibrate and to measure 8 bits on.

    Raises:
        UsageError: there are none, or some of a class that the classifier does not know.
    """
    if options.contents.resized:
        raise UsageError("--int8 is calibrated on whole photographs: leave --resized out")
    if options.images is not None:
        from tortie.images.find import find

        found = find(options.images).photographs
        if strange := sorted({one.label for one in found}.difference(classes)):
            raise UsageError(
                f"--images {options.images}: classes that the classifier does not have: "
                f"{listed(strange)}; it has {listed(classes)}"
            )
        held = [one for one in found if one.split in ("test", "validation")]
        return Known([one for one in found if one not in set(held)] or held, held)
    if not known.training:
        raise UsageError(
            f"--int8 is calibrated on training photographs, and {split_file(model)} leads to none: "
            "name a folder of classes with --images"
        )
    return known


def _at_precision(
    plain: "onnx.ModelProto",
    options: ExportOptions,
    labelled: Known,
    classifier: "ImageClassifier",
) -> "tuple[onnx.ModelProto, Loss | None]":
    """The model with weights of the precision asked for, and what that costs.

    Raises:
        TortieError: 8 bits cost more accuracy than allowed.
    """
    if options.precision == "float16":
        from tortie.export.half import halve

        return halve(plain, (_NETWORK, _HEAD)), None
    if options.precision != "int8":
        return plain, None
    from tortie.export.int8 import CALIBRATION, MEASURED, measure, quantise

    calibrated = sample(labelled.training, CALIBRATION)
    written = quantise(plain, [one.path for one in calibrated], _NETWORK)
    measured, on = list(labelled.others), "held-out photographs"
    if not measured:
        measured, on = list(labelled.training), "training photographs: none was held out"
    answers = answer_of(plain), answer_of(written)
    loss = measure(answers, sample(measured, MEASURED), classifier.metadata.classes, on)
    if loss is None:
        raise TortieError(f"--int8: of {len(measured):,} {on}, none can be read to measure it on")
    if loss.points > options.max_loss:
        raise TortieError(
            f"8 bits cost {100 * loss.points:.1f} points of accuracy on {loss.after.n:.0f} "
            f"{on} (95% interval {100 * loss.low:.1f} to {100 * loss.high:.1f}), more than "
            f"--max-loss {100 * options.max_loss:g}: take --half, or allow more"
        )
    return written, loss


def _checked(
    written: "onnx.ModelProto",
    classifier: "ImageClassifier",
    options: ExportOptions,
    sources: Sequence[Any],
    progress: "Progress",
) -> "Parity":
    """How the model answers beside the classifier.

    Raises:
        TortieError: none can be compared, other labels, or probabilities farther apart than the
            tolerance.
    """
    from tortie.export.parity import compare

    answer = answer_of(written)
    if options.contents.resized:
        preprocessing = classifier.metadata.members[0].preprocessing
        answer = _resized_first(answer_of(written, batch=True), preprocessing.pixels)
    parity = compare(answer, classifier, sources, progress)
    if not parity.photographs:
        raise TortieError(
            f"none of {len(sources):,} photographs to compare the model on can be read, such as "
            f"{parity.skipped[0]}: nothing is written"
        )
    tolerance = TOLERANCES[options.precision]
    if tolerance is None:
        return parity
    if parity.other_labels:
        raise TortieError(
            f"the exported model labels {len(parity.other_labels)} of {parity.photographs} "
            f"otherwise than the classifier, such as {parity.other_labels[0]}: nothing is written"
        )
    if not parity.largest <= tolerance:
        raise TortieError(
            f"the exported model's probabilities are off by up to {parity.largest:.2g} "
            f"({parity.worst}), more than {tolerance:g}: nothing is written"
        )
    return parity


def answer_of(model: "onnx.ModelProto", batch: bool = False) -> "Answer":
    """What runs a model with ONNX Runtime: an image to its probabilities.

    Args:
        model: exported.
        batch: whether it takes a batch of resized images instead of an image.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def answer(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        given = image[None] if batch else image
        found: NDArray[np.float32] = session.run([PROBABILITIES], {name: given})[0]
        return found[0] if batch else found

    return answer


def _resized_first(answer: "Answer", pixels: "Callable[..., NDArray[np.uint8]]") -> "Answer":
    from PIL import Image

    return lambda image: answer(pixels(Image.fromarray(image)))
