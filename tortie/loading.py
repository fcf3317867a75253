"""A classifier from its file, or a network of the table with its published head."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tortie import __version__
from tortie.activations.graph_folder import graph_folder
from tortie.activations.store import ActivationStore
from tortie.classifier import ImageClassifier
from tortie.errors import TortieError, UsageError, short_traceback
from tortie.evaluation import file_graphs
from tortie.evaluation.member import MemberNetwork
from tortie.evaluation.novelty import Novelty
from tortie.evaluation.prediction_sets import sets_in
from tortie.files import together
from tortie.learning.known_networks import pinned
from tortie.learning.recorded_options import restored
from tortie.networks.arguments import network_of, parse_network, varied
from tortie.networks.entry import Entry
from tortie.text import quoted
from tortie.weights.classifier_file import is_of_tortie, stored_digest
from tortie.weights.classifier_metadata import Metadata, StoredMember

if TYPE_CHECKING:
    from torch import nn

    from tortie.networks.network import Network
    from tortie.networks.own import OwnNetwork


def local_file(model: str | Path) -> Path:
    """A classifier's file on this disk: of ``hf://OWNER/NAME[@REVISION][/FILE]`` its copy.

    Raises:
        UsageError: no such repository or file, or no leave to read it.
        TortieError: it cannot be fetched, or is not the file that the hub names.
    """
    text = str(model)
    if not text.startswith("hf:/"):
        return Path(model)
    from tortie.weights.fetch import HubFile, fetch_from_hub

    # A Path keeps one of the two slashes.
    return fetch_from_hub(HubFile.parse(f"hf://{text.removeprefix('hf:').lstrip('/')}"))


@short_traceback
def load(
    path: str | Path,
    *,
    network: "nn.Module | OwnNetwork | None" = None,
    head: "nn.Module | Sequence[nn.Module] | None" = None,
) -> ImageClassifier:
    """A classifier from its file, or from a hub. Nothing in the file can run code.

    Args:
        path: of the file, or ``hf://OWNER/NAME[@REVISION][/FILE]``.
        network: the module that it was fitted on, where that was one of a user's own; its
            parameters come from the file.
        head: the head that it was fitted with, where that was one of a user's own.

    Raises:
        UsageError: no such repository; a network or a head of a user's own that is not given.
        TortieError: the file is no classifier of tortie, is damaged, or does not fit; or it cannot
            be fetched.
    """
    given: dict[str, str | None] = {"network": None, "head": None}
    if network is not None or head is not None:
        from tortie.networks.own import register, register_head

        given["network"] = None if network is None else register(network)
        given["head"] = None if head is None else register_head(head)
    if not isinstance(path, str | Path):
        raise UsageError(f"expected the name of a classifier's file, not {path!r}")
    path = local_file(path)
    found = file_graphs.read(path, _rebuilt)
    if found is None:
        found = _restored(path, lambda metadata: _check_given(path, given, metadata))
    else:
        _check_given(path, given, found[0])
    metadata, parts, tensors = found
    classifier = ImageClassifier(**_arguments(path, metadata))
    classifier._metadata = metadata
    classifier._parts = parts
    classifier._training_sha256 = tensors.get("training.sha256")
    classifier._novelty = Novelty.of(path, tensors)
    classifier._sets = sets_in(tensors)
    return classifier


def _check_given(path: Path, given: dict[str, str | None], metadata: Metadata) -> None:
    """Hold the modules that were given against those that the file names.

    What this process knows from a fit does not count: another process would not know it.
    """
    for kind, name in given.items():
        named = [getattr(one, kind) for one in metadata.members]
        wanted = [one for one in named if one.startswith("own:")]
        if name is not None and not wanted:
            raise UsageError(f"{path} has no {kind} of somebody's own: give no module for it")
        for one in wanted:
            if one != name:
                from tortie.networks.own import not_given

                raise UsageError(not_given(kind, one, name))


def _arguments(path: Path, metadata: Metadata) -> dict[str, Any]:
    """How the classifier was trained; of one network, its weights as they were found."""
    arguments = restored(path, metadata.options)
    if len(metadata.members) > 1 and "network" in arguments:
        return arguments
    described = metadata.members[0]
    return arguments | {"network": network_of(described).title, "weights": described.weights}


def _rebuilt(
    path: Path, described: StoredMember, classes: int, tensors: dict[str, NDArray[Any]]
) -> "Network":
    from tortie.networks.restore import rebuild

    return rebuild(path, described, classes, tensors)


def _restored(
    path: Path, agree: Callable[[Metadata], None]
) -> tuple[Metadata, list[MemberNetwork], dict[str, NDArray[Any]]]:
    """What a file says, its networks built by torch, and all of its tensors."""
    from tortie.networks.restore import restore

    metadata, networks, tensors = restore(path, agree)
    parts = [
        MemberNetwork.of(network, one.preprocessing)
        for network, one in zip(networks, metadata.members, strict=True)
    ]
    return metadata, parts, {name: tensor.numpy() for name, tensor in tensors.items()}


def pretrained(name: str, weights: str | None = None) -> ImageClassifier:
    """A network with its published head, nothing trained here.

    Args:
        name: of a network, with arguments where it has others than the table's.
        weights: a name of its row in the table of networks, a file or an address; by default those
            that it has, ``imagenet`` before others. Names of the classes come with them; the
            classes of a file that is not one of the table's go by numbers.

    Raises:
        UsageError: no such network, or it has no published weights, or these have no head.
    """
    from tortie.learning.metadata import member
    from tortie.networks import build
    from tortie.weights import class_names

    entry = varied(*parse_network(name))
    weights = weights or entry.default_weights or "imagenet"
    record = _kept_of(entry, weights)
    if record is not None and record.is_file():
        with contextlib.suppress(TortieError):  # damaged: torch builds it again
            return load(record)
    network = build(entry.name, weights=weights, **dict(entry.arguments))
    if network.head_is_new:
        raise UsageError(f"{weights} has no head of {entry.name}: fit one, --network {entry.name}")
    classifier = ImageClassifier(entry.title, weights=weights)
    classifier._parts = [MemberNetwork.of(network, entry.preprocessing)]
    classifier._metadata = Metadata(
        tortie=__version__,
        classes=list(class_names(entry.named_weights(weights), network.classes)),
        members=[member(entry, weights, "published", list(network.stage_names), "float32")],
        accuracy_reason="a published network: its paper has its figures",
    )
    if record is not None:
        _keep(classifier, record)
    return classifier


def _kept_of(entry: Entry, weights: str) -> Path | None:
    """Where a network with its published head is kept as a classifier's file, to need no torch.

    ``None`` where nothing pins what its weights are, which could become others.
    """
    digest = pinned(entry, weights)
    if digest is None:
        return None
    return graph_folder() / f"published-{__version__}-{digest}.safetensors"


def _keep(classifier: ImageClassifier, record: Path) -> None:
    """Write it; nothing where it is large for the cache, or that cannot be written."""
    tensors = (one for part in classifier.member_networks for one in part.tensors.values())
    if sum(one.nbytes for one in tensors) > ActivationStore.default().limit / 10:
        return
    with contextlib.suppress(TortieError, OSError), together():
        record.parent.mkdir(parents=True, exist_ok=True)
        classifier.save(record, force=True)


def load_or_pretrained(model: str | Path, weights: str | None = None) -> ImageClassifier:
    """A classifier's file, or a network of the table with its published head.

    Args:
        model: the file, or the name of the network.
        weights: of the network, as :func:`pretrained` takes them.

    Raises:
        UsageError: neither a file nor a network with published weights; a file of weights alone.
        TortieError: the file is no classifier of tortie, is damaged, or does not fit.
    """
    if weights is not None:
        if Path(model).is_file():
            raise UsageError(f"--weights are those of a network: {model} is a file, give a name")
        if stored_digest(Path(weights)):
            raise UsageError(f"{weights} is a classifier of tortie: give it in place of {model}")
        return pretrained(str(model), weights)
    path = local_file(model)
    named = str(model).startswith("timm:") or "(" in str(model)  # where a dot begins no suffix
    if path.exists() or (path.suffix and not named):
        try:
            return load(path)
        except TortieError:
            if path.is_file() and not is_of_tortie(path):
                _refuse_weights(path)
            raise
    try:
        return pretrained(str(model))
    except UsageError as error:
        raise UsageError(f"no file {quoted(model)}, and {error}") from None


def _refuse_weights(path: Path) -> None:
    """Say of a file of published weights what it is, and how it is used; of others nothing.

    Raises:
        UsageError: it is one.
        TortieError: it would be one, but is damaged or holds code.
    """
    from tortie.weights.checkpoint import SUFFIXES, read_checkpoint
    from tortie.weights.layouts import looks_like

    if path.suffix not in SUFFIXES:
        return
    guess = looks_like(read_checkpoint(path).tensors)
    network = guess if guess and " " not in guess else "NETWORK"
    known = f" (they look like {guess})" if guess else ""
    raise UsageError(
        f"{path} holds parameters of a network{known}, and is no classifier of tortie: give the "
        f"network, {network} --weights {path}"
    )
