"""The networks of a classifier's file: built from the table, and compared with what the file says.

The table alone decides what is built. What a file says of a network must be what the table says,
and each of its tensors of the type and shape that this network has, before any tensor is read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tortie.errors import TortieError, UsageError
from tortie.networks.arguments import network_of
from tortie.networks.own import put_own_head
from tortie.text import shown
from tortie.weights import classifier_file
from tortie.weights.classifier_metadata import Metadata, StoredMember
from tortie.weights.header import TensorInfo
from tortie.weights.tensors import torch_type

if TYPE_CHECKING:
    from torch import Tensor

    from tortie.networks.network import Network


def restore(
    path: Path, agree: Callable[[Metadata], None] = lambda metadata: None
) -> "tuple[Metadata, list[Network], dict[str, Tensor]]":
    """What a classifier's file says, its networks, and all of its tensors by name.

    Args:
        path: of the file.
        agree: told what the file says before anything is built; it may raise.

    Raises:
        TortieError: it is no classifier of tortie, is damaged, or describes what cannot be.
    """
    networks: list[Network] = []

    def check(said: classifier_file.Said) -> None:
        metadata, infos = said.metadata, said.infos
        agree(metadata)
        for number, described in enumerate(metadata.members):
            network = _build(path, described, len(metadata.classes))
            _check_tensors(path, described, network, f"members.{number}.", infos)
            networks.append(network)
        _check_novelty(path, networks[0], infos)

    metadata, tensors = classifier_file.read(path, check)
    for number, network in enumerate(networks):
        prefix = f"members.{number}."
        own = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        network.load_state_dict(own, assign=True)
        network.eval()
    return metadata, networks, tensors


def rebuild(
    path: Path, described: StoredMember, classes: int, tensors: "Mapping[str, NDArray[Any]]"
) -> "Network":
    """The network of a file that was read by its graph, of tensors that are in memory.

    Args:
        path: of the file, for errors; it is not read again, as another may lie there by now.
        described: what the file said of the network.
        classes: number of classes.
        tensors: by their names in the network.

    Raises:
        TortieError: the table has no such network any more, or it has other tensors.
    """
    import torch

    network = _build(path, described, classes)
    state = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise TortieError(
            f"{path} does not fit {described.network}: {shown(reason[:200])}"
        ) from None
    network.eval()
    return network


def _build(path: Path, described: StoredMember, classes: int) -> "Network":
    """The network that a file describes, without memory for its tensors."""
    from tortie.weights.meta import meta_device

    try:
        entry = network_of(described)
    except UsageError as error:
        raise TortieError(f"{path} cannot be built: {error}") from None
    own = dict(entry.arguments)
    try:
        with meta_device():
            if described.head == "published":
                network = entry.build(**own, classes=classes)
            else:
                network = entry.build(**own)
                if described.head.startswith("own:"):
                    put_own_head(network, described.head, classes)
                else:
                    network.new_head(classes, described.hidden_layers)
    except (UsageError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise TortieError(f"{path} cannot be built: {shown(str(error)[:200])}") from None
    if described.frozen != [name for name in network.stage_names if name in described.frozen]:
        raise TortieError(f"{path} does not fit {entry.name}: it has not these frozen stages")
    if described.preprocessing.shape[:2] != network.input_shape[:2]:
        _check_size(path, network, described)
    return network


def _check_size(path: Path, network: "Network", described: StoredMember) -> None:
    """Refuse another size of input than the table's where the network cannot take it."""
    import torch

    height, width, channels = described.preprocessing.shape
    message = f"{path} does not fit {described.network}: it cannot see {height}×{width} pixels"
    if network.fixed_size and (height, width) != network.input_shape[:2]:
        raise TortieError(message)
    try:
        network(torch.empty(2, channels, height, width, device="meta"))
    except (RuntimeError, ValueError):
        raise TortieError(message) from None


def _check_tensors(
    path: Path,
    described: StoredMember,
    network: "Network",
    prefix: str,
    infos: Mapping[str, TensorInfo],
) -> None:
    """Refuse tensors that are not those of the network, in name, shape and type."""
    expected = network.state_dict()
    own = {name.removeprefix(prefix): one for name, one in infos.items() if name.startswith(prefix)}
    for name in sorted(own.keys() | expected.keys()):
        wanted = tuple(expected[name].shape) if name in expected else "not there"
        given = own[name].shape if name in own else "not there"
        if wanted != given:
            raise TortieError(
                f"{path} does not fit {described.network}: {ascii(name)[1:-1][:80]} is {given}, "
                f"expected {wanted}"
            )
        if torch_type(own[name].dtype) != expected[name].dtype:
            raise TortieError(
                f"{path} does not fit {described.network}: {name} is {own[name].dtype}, expected "
                f"{str(expected[name].dtype).removeprefix('torch.')}"
            )


def _check_novelty(path: Path, network: "Network", infos: Mapping[str, TensorInfo]) -> None:
    """Refuse distances of other activations than the first network's."""
    for name in ("novelty.means", "novelty.directions"):
        if name in infos and infos[name].shape[1] != network.feature_count:
            raise TortieError(
                f"{path} does not fit: {name} is of {infos[name].shape[1]:,} dimensions, expected "
                f"{network.feature_count:,}"
            )
