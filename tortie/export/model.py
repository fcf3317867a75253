"""A whole classifier as one ONNX model: an image in, probabilities out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tortie import __version__
from tortie.errors import UsageError
from tortie.evaluation.crops import crop_views
from tortie.evaluation.novelty import STRANGE
from tortie.export.answers import averaged_and_tempered, distance_and_percentile
from tortie.export.program import Program
from tortie.export.resampling import crops_of
from tortie.graphs.fold import with_weights
from tortie.graphs.graph import IR_VERSION, OPSET, Graph, UnknownOperator
from tortie.images.preprocess import Preprocessing
from tortie.networks import table

if TYPE_CHECKING:
    from tortie.classifier import ImageClassifier
    from tortie.evaluation.member import MemberNetwork

IMAGE, IMAGES = "image", "images"
PROBABILITIES, DISTANCE, PERCENTILE = "probabilities", "distance", "novelty_percentile"
HEAD = "head"
_LARGEST = 2_000_000_000  # bytes: one ONNX file is one protobuf message, which ends at 2 GiB


@dataclass(frozen=True)
class Contents:
    """What an exported model computes.

    Attributes:
        crops: of each image, 1 or 10.
        reject_below: least probability of an answer; it is metadata, the graph does not reject.
        resized: whether the model takes batches that are resized and cropped already.
    """

    crops: int = 1
    reject_below: float = 0.0
    resized: bool = False

    def check(self, classifier: "ImageClassifier") -> None:
        """Refuse what has no graph.

        Raises:
            UsageError: a number of crops, or networks, that cannot be exported so.
        """
        if self.crops not in (1, 10):
            raise UsageError(f"--crops {self.crops}: an exported file takes 1 or 10")
        if not 0 <= self.reject_below <= 1:
            raise UsageError(f"--reject-below {self.reject_below}: expected 0 to 1")
        if not self.resized:
            return
        if self.crops != 1:
            raise UsageError("--resized takes pixels of one crop: leave --crops out")
        seen = {one.preprocessing.shape for one in classifier.metadata.members}
        if len(seen) > 1:
            raise UsageError(
                f"--resized: its networks take different sizes, {sorted(seen)}: leave it out"
            )


def write_model(
    classifier: "ImageClassifier", contents: Contents, provenance: Mapping[str, Any]
) -> onnx.ModelProto:
    """The classifier as an ONNX model with its weights, float32.

    Args:
        classifier: fitted.
        contents: what the model computes.
        provenance: where the classifier comes from, for the metadata.

    Raises:
        UsageError: it cannot be exported, and why.
    """
    contents.check(classifier)
    graphs = [_graphs(number, one) for number, one in enumerate(classifier.member_networks)]
    size = sum(one.nbytes for each in classifier.member_networks for one in each.tensors.values())
    if size > _LARGEST:
        raise UsageError(f"weights of {size / 1e9:.1f} GB do not fit one ONNX file of 2 GB")
    program = Program()
    _write(program, classifier, contents, graphs)
    model = helper.make_model(
        helper.make_graph(
            program.nodes,
            "classifier",
            [_input(classifier, contents)],
            _outputs(classifier, contents),
            program.initialisers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tortie",
        producer_version=__version__,
    )
    helper.set_model_props(model, _properties(classifier, contents, provenance))
    onnx.checker.check_model(model, full_check=True)
    return model


def _graphs(number: int, member: "MemberNetwork") -> tuple[Graph, Graph]:
    """Stages and head of one network."""
    from tortie.graphs.write import write_graph

    try:
        return member.prefix.graph, write_graph(HEAD, member.network.head, member.prefix.output)
    except UnknownOperator as error:
        raise UsageError(
            f"network {number + 1} of the classifier cannot be exported: {error}"
        ) from None


def _write(
    program: Program,
    classifier: "ImageClassifier",
    contents: Contents,
    graphs: list[tuple[Graph, Graph]],
) -> None:
    described = classifier.metadata.members
    pixels: dict[tuple[Preprocessing, bool], str] = {}
    probabilities = []
    for number, (member, one) in enumerate(zip(classifier.member_networks, described, strict=True)):
        mirror = table.find(one.network).mirror
        seen = one.preprocessing, mirror
        if seen not in pixels:
            views = crop_views(one.preprocessing, contents.crops, mirror)  # type: ignore[arg-type]
            pixels[seen] = (
                IMAGES if contents.resized
                else crops_of(program, IMAGE, one.preprocessing, views)
            )  # fmt: skip
        stages, head = graphs[number]
        features = program.include(
            with_weights(stages, member.prefix.graph_tensors), f"network{number}.", pixels[seen]
        )
        logits = program.include(with_weights(head, member.tensors), f"{HEAD}{number}.", features)
        each = program.add("Softmax", logits, axis=1)
        if contents.crops > 1:
            each = program.add("ReduceMean", each, np.array([0]))
        probabilities.append(each)
        if number == 0 and classifier.novelty is not None:
            _write_novelty(program, classifier, contents, features)
    temperatures = classifier.metadata.temperature
    temperature = temperatures.get(str(contents.crops), temperatures["1"])
    if contents.resized:
        averaged_and_tempered(program, probabilities, temperature, PROBABILITIES)
    else:
        rows = averaged_and_tempered(program, probabilities, temperature, "rows")
        program.add("Squeeze", rows, np.array([0]), output=PROBABILITIES)


def _write_novelty(
    program: Program, classifier: "ImageClassifier", contents: Contents, features: str
) -> None:
    assert classifier.novelty is not None
    names = DISTANCE, PERCENTILE
    if contents.resized:
        distance_and_percentile(program, features, classifier.novelty, names)
        return
    if contents.crops > 1:
        features = program.add("Slice", features, np.array([0]), np.array([1]))
    inner = f"{DISTANCE} row", f"{PERCENTILE} row"
    distance_and_percentile(program, features, classifier.novelty, inner)
    for row, name in zip(inner, names, strict=True):
        program.add("Squeeze", row, np.array([0]), output=name)


def _input(classifier: "ImageClassifier", contents: Contents) -> onnx.ValueInfoProto:
    shape: list[int | str] = ["height", "width", 3]
    if contents.resized:
        shape = ["batch", *classifier.metadata.members[0].preprocessing.shape]
    name = IMAGES if contents.resized else IMAGE
    return helper.make_tensor_value_info(name, TensorProto.UINT8, shape)


def _outputs(classifier: "ImageClassifier", contents: Contents) -> list[onnx.ValueInfoProto]:
    batch: list[int | str] = ["batch"] if contents.resized else []
    classes = len(classifier.metadata.classes)
    outputs = [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [*batch, classes])]
    if classifier.novelty is not None:
        outputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, batch)
            for name in (DISTANCE, PERCENTILE)
        ]
    return outputs


def _properties(
    classifier: "ImageClassifier", contents: Contents, provenance: Mapping[str, Any]
) -> dict[str, str]:
    """Metadata of the file: each value is JSON."""
    metadata = classifier.metadata
    properties: dict[str, Any] = {
        "classes": metadata.classes,
        "reject_below": contents.reject_below,
        "unlike_training_from": STRANGE if classifier.novelty is not None else None,
        "accuracy": metadata.accuracy and metadata.accuracy.model_dump(),
        "accuracy_reason": metadata.accuracy_reason,
        "crops": contents.crops,
        "temperature": metadata.temperature,
        "networks": [
            one.model_dump(mode="json", include={"network", "weights", "head", "preprocessing"})
            for one in metadata.members
        ],
        "opset": OPSET,
        "provenance": {"tortie": __version__, "fitted_by": metadata.tortie, **provenance},
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in properties.items()}
