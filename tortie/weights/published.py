"""A network with trained parameters: found by name, in a file, or in a hub's repository."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tortie.errors import TortieError, UsageError
from tortie.weights.checkpoint import SUFFIXES, Checkpoint, read_checkpoint
from tortie.weights.fetch import HubFile, fetch_address, fetch_configuration, fetch_from_hub
from tortie.weights.from_timm import pretrained_tensors
from tortie.weights.layouts import looks_like, published_head, translate
from tortie.weights.packaged import load_packaged

if TYPE_CHECKING:
    from torch import Tensor

    from tortie.networks.entry import Entry
    from tortie.networks.network import Network


def load_published(
    entry: "Entry", weights: str | Path, classes: int | None, arguments: Mapping[str, Any]
) -> "Network":
    """A network of the table with trained parameters.

    Where ``classes`` is given and differs from the published head's, the stages are the published
    ones and the head is new, of which the network's ``notes`` speak.

    Args:
        entry: the network's row of the table.
        weights: a name of its row (``imagenet``); a file (``.safetensors``, or tensors that torch
            saved); ``hf://OWNER/NAME[@REVISION][/FILE]``, a classifier of tortie or a repository of
            timm; or an address whose file name ends in the beginning of its SHA-256.
        classes: length of the logits; ``None`` for as many as were published.
        arguments: the builder's own named arguments.

    Raises:
        UsageError: there are no such weights, or they are another network's.
        TortieError: they cannot be fetched, or are damaged.
    """
    from tortie.weights.meta import meta_device

    weights = str(weights)
    checkpoint, notes = _obtain(entry, entry.weights.get(weights, weights))
    described = checkpoint.classifier and checkpoint.classifier.members[0]
    if described and described.network != entry.name:
        raise UsageError(f"{weights} is a classifier on {described.network}, not on {entry.name}")
    with meta_device():
        network = _outline(entry, arguments, checkpoint)
    state = _fitting(weights, entry, network, checkpoint.tensors)
    if any(
        tensor.is_meta for tensor in state.values()
    ):  # side heads or others that were not published
        network = _outline(entry, arguments, checkpoint)
        state = _fitting(weights, entry, network, checkpoint.tensors)
    _check_numbers(weights, state)
    network.load_state_dict(state, assign=True)
    notes = [*network.notes, *notes]
    notes += _about_arguments(weights, entry, arguments, checkpoint)
    notes += _about_classifier(weights, entry, checkpoint, classes == network.classes)
    if published_head(entry, network, checkpoint.tensors) is None:
        notes.append("the head is new and untrained: none was published; the stages are trained")
        network.new_head(classes or network.classes)
        network.head_is_new = True
    elif classes is not None and classes != network.classes:
        notes.append(
            f"the head of {classes} classes is new and untrained: the published one has "
            f"{network.classes}; the stages are trained"
        )
        network.new_head(classes)
        network.head_is_new = True
    network.notes = tuple(notes)
    return network


def _obtain(entry: "Entry", source: str) -> tuple[Checkpoint, list[str]]:
    """The tensors, wherever they are, and what the user should know of them."""
    if source.startswith("packaged:"):
        return Checkpoint(load_packaged(source.removeprefix("packaged:"))), []
    if source.startswith("timm:"):
        side = entry.arguments.get("img_size", 0)
        return Checkpoint(pretrained_tensors(source.removeprefix("timm:"), side)), []
    if source.startswith("own:"):
        from tortie.networks.own import own_tensors

        return Checkpoint(own_tensors(source)), []
    if source.startswith(("https://", "http://")):
        return read_checkpoint(fetch_address(source)), []
    if source.startswith("hf://"):
        wanted = HubFile.parse(source)
        checkpoint = read_checkpoint(fetch_from_hub(wanted))
        if checkpoint.classifier:
            return checkpoint, []
        return checkpoint, _about_repository(wanted, entry, fetch_configuration(wanted))
    path = Path(source).expanduser()
    if path.exists() or path.suffix in SUFFIXES:
        return read_checkpoint(path), []
    raise UsageError(f"{entry.name} has no weights {source!r}: {_instead(entry)}")


def _instead(entry: "Entry") -> str:
    if entry.weights:
        there = f"it has {', '.join(map(repr, entry.weights))}"
    elif entry.sibling:
        there = f"its sibling {entry.sibling} has them"
    else:
        there = "nobody published any; train it from scratch, or take efficientnet-lite0"
    return f"{there}; or give weights: a {', '.join(SUFFIXES[:-1])} file, or hf://OWNER/NAME"


def _outline(entry: "Entry", arguments: Mapping[str, Any], checkpoint: Checkpoint) -> "Network":
    """The network with a head of the form and the classes that the checkpoint's has."""
    network = entry.build(**arguments)
    head = published_head(entry, network, checkpoint.tensors)
    if head is None:
        return network
    classes = int(head.shape[0])
    if head.dim() == 2 and checkpoint.classifier:
        network.new_head(classes)
    elif classes != network.classes:
        network = entry.build(**{**arguments, "classes": classes})
    return network


def _fitting(
    weights: str, entry: "Entry", network: "Network", tensors: "Mapping[str, Tensor]"
) -> "dict[str, Tensor]":
    """The network's whole state.

    Raises:
        UsageError: the weights are another network's; the message says whose, where names tell.
    """
    try:
        return translate(entry, network, tensors)
    except UsageError as error:
        guess = looks_like(tensors)
        hint = f"; they look like {guess}" if guess and guess != entry.name else ""
        raise UsageError(f"the weights {weights} do not fit {entry.name}: {error}{hint}") from None


def _check_numbers(weights: str, state: "Mapping[str, Tensor]") -> None:
    """Refuse what could only compute NaN, before hours are spent on it."""
    for name, tensor in state.items():
        numbers = tensor.detach().numpy()
        with np.errstate(all="ignore"):
            total = (
                numbers.sum()
            )  # one pass of one thread: isfinite makes a copy and wakes them all
        if not np.isfinite(total):
            what = "numbers that are infinite or none"
        elif name.endswith(".running_var") and numbers.min() < 0:
            what = "a variance below zero"
        else:
            continue
        raise TortieError(
            f"the weights {weights} have {what} in {name}: damaged, or of a training that diverged"
        )


def _about_repository(
    wanted: HubFile, entry: "Entry", configuration: Mapping[str, Any]
) -> list[str]:
    """What timm's configuration says: refuse another architecture, note another normalisation.

    Names of tensors do not tell all: a ResNet with blurred strides has those of one without.

    Raises:
        UsageError: the repository's architecture is not the network.
    """
    architecture = configuration.get("architecture")
    name = entry.name.removeprefix("timm:").partition(".")[0].replace("-", "_")
    if isinstance(architecture, str) and architecture not in (name, f"tf_{name}", entry.timm):
        raise UsageError(f"{wanted} holds {architecture}, not {entry.name}")
    trained = configuration.get("pretrained_cfg")
    if not isinstance(trained, dict):
        return []
    own = entry.preprocessing
    for key, here in (("mean", own.mean), ("std", own.std)):
        there = trained.get(key)
        if isinstance(there, list) and not _same_levels([255 * part for part in there], here):
            levels = ", ".join(f"{level / 255:.3g}" for level in here)
            return [
                f"{wanted} was trained on images normalised with {key} {there}, {entry.name} "
                f"normalises with [{levels}]: expect worse"
            ]
    return []


def _same_levels(there: Sequence[float], here: Sequence[float]) -> bool:
    """Whether grey levels are the same to one in 256: 127 is 127.5 to any network."""
    return len(there) == len(here) and all(
        abs(one - other) <= 1 for one, other in zip(there, here, strict=True)
    )


def _about_arguments(
    weights: str, entry: "Entry", arguments: Mapping[str, Any], checkpoint: Checkpoint
) -> list[str]:
    """A note where weights fit in shape but were trained as another variant of the network."""
    there: Mapping[str, Any] = entry.arguments
    if checkpoint.classifier:
        there = checkpoint.classifier.members[0].arguments
    elif weights not in entry.weights:
        return []  # a file of tensors does not say
    here = {**entry.arguments, **arguments}
    differ = {
        key
        for key in {*here, *there} - {"classes", "in_channels", "side_heads"}
        if here.get(key) != there.get(key)
    }
    if not differ:
        return []
    own = ", ".join(f"{key}={here.get(key, 'the default')}" for key in sorted(differ))
    theirs = ", ".join(f"{key}={there.get(key, 'the default')}" for key in sorted(differ))
    return [f"{weights} was trained with {theirs}, this network has {own}: expect worse"]


def _about_classifier(
    weights: str, entry: "Entry", checkpoint: Checkpoint, kept: bool
) -> list[str]:
    """What the user should know of weights that come from a classifier of tortie."""
    classifier = checkpoint.classifier
    if classifier is None:
        return []
    notes = []
    if kept:
        notes.append(f"the head of {weights} is kept: {', '.join(classifier.classes)}")
    if len(classifier.members) > 1:
        notes.append(f"{weights} has {len(classifier.members)} networks: the first is taken")
    if classifier.members[0].preprocessing != entry.preprocessing:
        notes.append(f"{weights} was trained on images of other preprocessing: expect worse")
    return notes
