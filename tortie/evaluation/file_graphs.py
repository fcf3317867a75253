"""The graphs in a classifier's file, by which it predicts without torch.

Beside its tensors, a file has for each network the graph of the stages, and of what comes before
a last global average pooling: ``graphs.0.stages``, ``graphs.0.maps``, and what is expected of each.
They are data of somebody's: bounded, of operators from a list, and held against the tensors, the
classes and the preprocessing. Where anything does not fit, or a network has no graph, torch builds
the networks and says what is wrong.

A graph that is somebody's may compute anything. So its activations have keys of their own in the
store, by its hash, unless the file was written here: such files are known by their SHA-256.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tortie.activations.graph_folder import graph_folder
from tortie.activations.key import hash_tensors
from tortie.activations.onnxruntime_engine import checked
from tortie.activations.prefix import NAME, Prefix
from tortie.errors import TortieError, UsageError
from tortie.evaluation.activation_maps import LastMaps, cut_before_pooling
from tortie.evaluation.member import MemberNetwork, layer_names
from tortie.files import replacing, together
from tortie.graphs.graph import Graph, RefusedGraph, TensorKind, UnknownOperator
from tortie.networks.arguments import network_of
from tortie.networks.entry import Entry
from tortie.networks.own import PREFIX as OWN
from tortie.weights import classifier_file
from tortie.weights.classifier_file import GRAPH_DIMENSIONS, LONGEST_GRAPH, Said
from tortie.weights.classifier_metadata import Metadata, StoredMember
from tortie.weights.header import TensorInfo

if TYPE_CHECKING:
    from torch import nn

    from tortie.networks.network import Network

Arrays = dict[str, NDArray[Any]]
Build = Callable[[Path, StoredMember, int, Arrays], "Network"]
"""Makes modules of a file's path, what it says of the network, the classes and the tensors."""

T = TypeVar("T")

_TYPES = {"F32": "float32", "I64": "int64", "U8": "uint8"}
_COUNTER = ".num_batches_tracked"  # of batch normalisation: no result depends on it


class _Misfit(Exception):
    """Torch has to build the networks, and to say what is wrong with them."""


def arrays_of(parts: Sequence[MemberNetwork]) -> Arrays:
    """What a file keeps of the graphs of its networks; nothing where one of them has none."""
    arrays: Arrays = {}
    try:
        for number, part in enumerate(parts):
            last = part.last_maps
            graphs = {"stages": part.prefix.graph}
            # Otherwise the pooling is part of the head, and that is torch's.
            if last and last.prefix.tensors.keys() == part.prefix.tensors.keys():
                graphs["maps"] = last.prefix.graph
            for name, graph in graphs.items():
                if not _can_be_read(graph):
                    return {}
                arrays[f"graphs.{number}.{name}"] = np.frombuffer(graph.content, np.uint8)
                arrays[f"graphs.{number}.{name}.expected"] = graph.expected
    except (UnknownOperator, ImportError):  # then torch builds the networks
        return {}
    return arrays


def _can_be_read(graph: Graph) -> bool:
    """Whether a file with this graph is one that :func:`read` takes."""
    expected = graph.expected
    if not np.isfinite(expected).all() or expected.ndim not in GRAPH_DIMENSIONS:
        return False
    if max(expected.nbytes, len(graph.content)) > LONGEST_GRAPH:
        return False
    try:
        checked(graph, graph_folder())
    except RefusedGraph:
        return False
    return True


def remember(digest: str, metadata: Metadata, parts: Sequence[MemberNetwork]) -> None:
    """Note that a file was written here; nothing where the cache cannot be written.

    Args:
        digest: the SHA-256 that the file says it has.
        metadata: what it says of its networks.
        parts: its networks.
    """
    record = _record(digest)
    try:
        told = [
            (part.prefix.cut, part.prefix.sha256, network_of(described).code)
            for part, described in zip(parts, metadata.members, strict=True)
        ]
        record.parent.mkdir(parents=True, exist_ok=True)
        # Of its own: it is no output of the command, whose outputs may be refused together.
        with together(), replacing(record) as file:
            file.write(json.dumps(told).encode())
    except (TortieError, OSError):
        return  # then its activations have the keys of somebody's file


def read(path: Path, build: Build) -> tuple[Metadata, list[MemberNetwork], Arrays] | None:
    """A classifier's file by its graphs: what it says, its networks, and all of its tensors.

    Args:
        path: of the file.
        build: makes the modules of one of its networks, where they are asked for.

    Returns:
        ``None`` where torch has to build the networks, or to say what is wrong with them.

    Raises:
        TortieError: the file is damaged, or no classifier of tortie, or has a graph that is none.
    """
    known: list[tuple[str, str]] = []

    def check(said: Said) -> bool:
        known[:] = _known(said.sha256, said.metadata)
        if any(one.dtype not in _TYPES for one in said.infos.values()):
            raise _Misfit
        for number, described in enumerate(said.metadata.members):
            if OWN in (described.network[: len(OWN)], described.head[: len(OWN)]):
                raise _Misfit  # a module that has to be given, which building it asks for
            if f"graphs.{number}.stages.expected" not in said.infos:
                raise _Misfit
            if not known:
                _hold(path, said, number)
        return bool(known)

    try:
        metadata, tensors = classifier_file.read_arrays(path, check)
    except _Misfit:
        return None
    parts = []
    for number, described in enumerate(metadata.members):
        own = _under(tensors, f"members.{number}.")
        graphs = _under(tensors, f"graphs.{number}.")
        cut, sha256 = known[number] if known else (_last_stage(described), _hash_of(own, graphs))
        parts.append(_member(path, metadata, described, (own, graphs), (cut, sha256), build))
    return metadata, parts, tensors


def _record(digest: str) -> Path:
    return graph_folder() / f"classifier-{digest[:64]}.json"


def _known(digest: str, metadata: Metadata) -> list[tuple[str, str]]:
    """Cut and hash of the tensors of each network of a file written here; empty for others.

    Also where a network's code is another by now: the graph is of the code that wrote it, so its
    activations are not those that the code of today has in the store.
    """
    try:
        told = json.loads(_record(digest).read_bytes())
        known = [(str(cut), str(sha256)) for cut, sha256, _ in told]
        codes = [code for _, _, code in told]
    except (OSError, ValueError, TypeError):
        return []
    return known if codes == [_entry(one).code for one in metadata.members] else []


def _hold(path: Path, said: Said, number: int) -> None:
    """Hold a network's graphs against what a file says of its tensors, before these are read.

    Raises:
        _Misfit: they are not of one network.
        TortieError: a graph that tortie does not write.
    """
    described = said.metadata.members[number]
    entry = _entry(described)
    if described.frozen != [name for name in entry.stages or () if name in described.frozen]:
        raise _Misfit
    expected = _hold_graph(path, said, number, "stages")
    _hold_head(said, number, expected)
    if f"graphs.{number}.maps" in said.infos:
        maps = _hold_graph(path, said, number, "maps")
        if len(maps) != 4 or maps[:2] != expected or described.hidden_layers:
            raise _Misfit
    for name in ("novelty.means", "novelty.directions") if number == 0 else ():
        if name in said.infos and said.infos[name].shape[1:] != expected[1:]:
            raise _Misfit


def _entry(described: StoredMember) -> Entry:
    try:
        return network_of(described)
    except UsageError:
        raise _Misfit from None


def _hold_graph(path: Path, said: Said, number: int, name: str) -> tuple[int, ...]:
    """The shape of what one graph yields, which takes the file's tensors and its images."""
    content, expected = f"graphs.{number}.{name}", f"graphs.{number}.{name}.expected"
    if not {content, expected} <= said.infos.keys():
        raise _Misfit
    graph = Graph(said.tensor(content).tobytes(), said.tensor(expected))
    try:
        runnable = checked(graph, graph_folder())
    except ImportError:  # of a package onnx that is broken
        raise _Misfit from None
    except TortieError as error:
        raise TortieError(f"{path}: {error}") from None
    images = said.metadata.members[number].preprocessing.shape
    own = _kinds(_under(said.infos, f"members.{number}."), f"{NAME}.")
    counters = {one for one in own if one.endswith(_COUNTER)}
    if runnable.images != TensorKind("uint8", images) or runnable.tensors != {
        one: kind for one, kind in own.items() if one not in counters
    }:
        raise _Misfit
    if any(own[one] != TensorKind("int64", ()) for one in counters):
        raise _Misfit
    return graph.expected.shape


def _hold_head(said: Said, number: int, activations: tuple[int, ...]) -> None:
    """See that the head is of linear maps, from the activations to the classes."""
    described, classes = said.metadata.members[number], len(said.metadata.classes)
    widths = [*activations[1:], *described.hidden_layers, classes]
    if len(activations) != 2:
        raise _Misfit
    wanted = {}
    for name, (before, after) in zip(layer_names(len(widths) - 1), pairwise(widths), strict=True):
        wanted[f"head.{name}weight"] = TensorKind("float32", (after, before))
        wanted[f"head.{name}bias"] = TensorKind("float32", (after,))
    if _kinds(_under(said.infos, f"members.{number}."), "head.") != wanted:
        raise _Misfit


def _kinds(infos: Mapping[str, TensorInfo], prefix: str) -> dict[str, TensorKind]:
    return {
        name: TensorKind(_TYPES[one.dtype], one.shape)
        for name, one in infos.items()
        if name.startswith(prefix)
    }


def _last_stage(described: StoredMember) -> str:
    return (_entry(described).stages or (NAME,))[-1]


def _hash_of(own: Arrays, graphs: Arrays) -> str:
    """Of a network's stages and graphs, so that nobody's graph is taken for another."""
    named = _under(own, f"{NAME}.") | {f"graphs.{name}": one for name, one in graphs.items()}
    return hash_tensors(named.items())


def _member(
    path: Path, metadata: Metadata, described: StoredMember, arrays: tuple[Arrays, Arrays],
    key: tuple[str, str], build: Build,
) -> MemberNetwork:  # fmt: skip
    """A network of a file: its tensors and graphs, and its modules where they are asked for."""
    own, graphs = arrays
    cut, sha256 = key

    @cache
    def network() -> "Network":
        return build(path, described, len(metadata.classes), own)

    def before_pooling() -> "nn.Module":
        from tortie.evaluation.last_maps import last_maps

        found = last_maps(network(), described.preprocessing)
        assert found is not None  # or the file would have no graph of it
        return found.prefix.module

    def prefix(name: str, cut: str, module: "Callable[[], nn.Module]") -> Prefix:
        graph = Graph(graphs[name].tobytes(), graphs[f"{name}.expected"])
        return Prefix(
            tensors=_under(own, f"{NAME}."), cut=cut, output=graph.expected.shape[1:],
            preprocessing=described.preprocessing, module=module, graph=graph, sha256=sha256,
        )  # fmt: skip

    stages = prefix("stages", cut, lambda: network().stages)
    if described.head == "published" and not _under(own, "head.").keys() <= {"weight", "bias"}:
        return MemberNetwork(own, stages, network)  # such as convolutions, which the maps may be of
    last = None
    if "maps" in graphs:
        maps = prefix("maps", cut_before_pooling(cut), before_pooling)
        last = LastMaps(maps, own.get("head.weight"), own.get("head.bias"))
    return MemberNetwork(own, stages, network, lambda: last)


def _under(named: Mapping[str, T], prefix: str) -> dict[str, T]:
    """What has names that begin so, by the rest of its name."""
    return {
        name.removeprefix(prefix): one for name, one in named.items() if name.startswith(prefix)
    }
