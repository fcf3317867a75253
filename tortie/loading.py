"""A classifier from its file, or a network of the table with its published head."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tortie import __version__
from tortie.activations.limit import default_root
from tortie.activations.onnxruntime_engine import checked
from tortie.classifier import ImageClassifier
from tortie.errors import TortieError, UsageError
from tortie.evaluation.member import EXPECTED, GRAPH, MemberNetwork
from tortie.evaluation.novelty import Novelty
from tortie.graphs.graph import Graph
from tortie.networks import table
from tortie.weights import classifier_file
from tortie.weights.classifier_file import Member, Metadata

if TYPE_CHECKING:
    from tortie.networks.network import Network


def load(path: str | Path) -> ImageClassifier:
    """A classifier from its file. Nothing in the file can run code.

    Raises:
        TortieError: the file is no classifier of tortie, is damaged, or does not fit.
    """
    path = Path(path)
    metadata, tensors = classifier_file.read_arrays(path)
    described = metadata.members[0]
    classifier = ImageClassifier(described.network, weights=described.weights)
    classifier._metadata = metadata
    classifier._parts = [
        _part(path, number, one, len(metadata.classes), tensors)
        for number, one in enumerate(metadata.members)
    ]
    classifier._training_sha256 = tensors.get("training.sha256", classifier._training_sha256)
    classifier._novelty = Novelty.of(path, tensors)
    return classifier


def _part(
    path: Path, number: int, described: Member, classes: int, tensors: dict[str, NDArray[Any]]
) -> MemberNetwork:
    """A network of a file, each tensor of the shape that it must have.

    Raises:
        TortieError: it does not fit.
    """
    prefix = f"members.{number}."
    own = {
        name.removeprefix(prefix): array
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
    content, expected = own.pop(GRAPH, None), own.pop(EXPECTED, None)

    def network() -> "Network":
        import torch

        from tortie.learning.metadata import restore

        found = {name: torch.from_numpy(array) for name, array in own.items()}
        return restore(path, described, classes, found)

    if content is None or expected is None or not described.stages:
        return MemberNetwork.of(network(), described.preprocessing)
    try:
        table.find(described.network)
    except UsageError as error:
        raise TortieError(f"{path} cannot be built: {error}") from None
    graph = Graph(content.tobytes(), expected)
    part = MemberNetwork.stored(
        own, described.preprocessing, described.stages[-1], graph, network
    )  # fmt: skip
    runnable = checked(graph, default_root().parent / "graphs")
    if reason := runnable.misfit(part.prefix.graph_tensors) or part.misfit(classes):
        raise TortieError(f"{path} does not fit {described.network}: {reason}")
    return part


def pretrained(name: str, weights: str = "imagenet") -> ImageClassifier:
    """A network with its published head, nothing trained here.

    Its classes are the 1,000 of ImageNet, or where there are not 1,000, their numbers.

    Raises:
        UsageError: no such network, or it has no published weights.
    """
    from tortie.learning.metadata import member
    from tortie.networks import build
    from tortie.weights import imagenet_classes

    entry = table.find(name)
    network, names = build(entry.name, weights=weights), imagenet_classes()
    classifier = ImageClassifier(entry.name, weights=weights)
    classifier._parts = [MemberNetwork.of(network, entry.preprocessing)]
    classifier._metadata = Metadata(
        tortie=__version__,
        classes=list(names if network.classes == len(names) else map(str, range(network.classes))),
        members=[
            member(
                entry,
                weights,
                "published",
                network.stage_names,
                len(network.stage_names),
                "float32",
            )
        ],
        accuracy_reason="a published network: its paper has its figures",
    )
    return classifier


def load_or_pretrained(model: str | Path) -> ImageClassifier:
    """A classifier's file, or a network of the table with its published head.

    Raises:
        UsageError: neither a file nor a network with published weights.
        TortieError: the file is no classifier of tortie, is damaged, or does not fit.
    """
    path = Path(model)
    named = str(model).startswith("timm:")  # whose tags look like suffixes
    if path.exists() or (path.suffix and not named):
        return load(path)
    try:
        return pretrained(str(model))
    except UsageError as error:
        raise UsageError(f"no file {str(model)!r}, and {error}") from None
