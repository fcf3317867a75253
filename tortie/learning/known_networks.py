"""Networks whose published tensors were loaded here before, so that torch need not build them.

What a fit needs of a network that it freezes as a whole is kept in the cache: the stages' tensors,
their graph, which the classifier's file has too, and what the plan counts. The key is the network,
its code, its input and the weights: the table or their address pins them, or the file's SHA-256.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.activations.graph_folder import graph_folder
from tortie.activations.key import hash_tensors
from tortie.activations.prefix import NAME, Prefix
from tortie.errors import TortieError
from tortie.files import replacing, sha256_of
from tortie.graphs.graph import Graph, UnknownOperator
from tortie.networks.entry import Entry
from tortie.weights.packaged import PACKAGED

if TYPE_CHECKING:
    from torch import nn

_FORMAT = 2  # raised where what is kept, or how weights become tensors, changes


@dataclass(frozen=True)
class Stages:
    """All stages of a network, as a fit takes them that freezes them.

    Attributes:
        prefix: the stages.
        maps: those before a last global average pooling; ``None`` where there is none.
        features: D, the length of the vector that the last of them yields.
        parameters: trained values.
        multiplications: of convolutions and linear layers for one image.
        notes: what to know of where the parameters come from.
    """

    prefix: Prefix
    maps: Prefix | None
    features: int
    parameters: int
    multiplications: int
    notes: tuple[str, ...]


def record_of(entry: Entry, weights: str | None) -> Path | None:
    """The file that is kept of a network; ``None`` where nothing pins what its weights are."""
    digest = pinned(entry, weights)
    return None if digest is None else graph_folder() / f"network-{digest}.safetensors"


def pinned(entry: Entry, weights: str | None) -> str | None:
    """A hash of a network, its input and its weights; ``None`` where nothing pins these."""
    source = entry.weights.get(weights or "", weights or "")
    kind, _, name = source.partition(":")
    if kind == "packaged" and name in PACKAGED:
        source = PACKAGED[name].sha256
    elif kind != "https":
        try:
            source = sha256_of(Path(source))
        except OSError:  # no file: whoever loads it says so
            return None
    parts = [
        _FORMAT, entry.title, entry.code, dict(entry.arguments), entry.preprocessing.key(), source
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def remember_stages(record: Path, stages: Stages, limit: int) -> None:
    """Keep what a network has; nothing where the cache is too small or cannot be written.

    Args:
        record: the file.
        stages: of the network.
        limit: bytes that the store of activations may take; a network may take a tenth of that.
    """
    from safetensors.numpy import save

    prefix, maps = stages.prefix, stages.maps
    if maps is not None and maps.tensors.keys() != prefix.tensors.keys():
        return
    if sum(one.nbytes for one in prefix.tensors.values()) > limit / 10:
        return
    arrays: dict[str, NDArray[Any]] = {
        f"{NAME}.{name}": np.ascontiguousarray(one).reshape(one.shape)
        for name, one in prefix.tensors.items()
    }
    document: dict[str, Any] = {
        "tensors": prefix.sha256,
        "cut": prefix.cut,
        "output": prefix.output,
        "maps": maps and [maps.cut, maps.output],
        "features": stages.features,
        "parameters": stages.parameters,
        "multiplications": stages.multiplications,
        "notes": stages.notes,
    }
    try:
        for name, one in (("all", prefix), ("maps", maps)):
            if one is not None and (graph := _graph_of(one)) is not None:
                arrays[f"{name}.graph"] = np.frombuffer(graph.content, np.uint8)
                arrays[f"{name}.expected"] = graph.expected
                document[f"{name}.checksum"] = graph.checksum
        record.parent.mkdir(parents=True, exist_ok=True)
        with replacing(record) as file:
            file.write(save(arrays, {"network": json.dumps(document)}))
    except (TortieError, OSError):
        return  # then torch builds it the next time too


def _graph_of(prefix: Prefix) -> Graph | None:
    """The graph of a prefix; ``None`` where it has an operator without a translation."""
    try:
        return prefix.graph
    except UnknownOperator:  # the engine says so
        return None


def recall_stages(
    record: Path, entry: Entry,
    module: "Callable[[], nn.Module]", before_pooling: "Callable[[], nn.Module]",
) -> Stages | None:  # fmt: skip
    """What was kept of a network; ``None`` where nothing is, or not all of it, or it is damaged.

    Args:
        record: the file.
        entry: the network's row in the table.
        module: gives the stages as torch's modules, for engines that need them.
        before_pooling: gives those before the pooling.
    """
    from safetensors import SafetensorError, safe_open

    if not record.is_file():
        return None
    try:
        with safe_open(record, "np") as file:
            document = json.loads(file.metadata()["network"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        tensors = {
            name.removeprefix(f"{NAME}."): one
            for name, one in arrays.items()
            if name.startswith(f"{NAME}.")
        }
        if hash_tensors(tensors.items()) != document["tensors"]:
            return None
        maps = document["maps"]

        def prefix(
            name: str, cut: str, output: list[int], module: "Callable[[], nn.Module]"
        ) -> Prefix:
            return Prefix(
                tensors=tensors, cut=cut, output=tuple(output), module=module,
                preprocessing=entry.preprocessing, graph=_graph(name, arrays, document),
                sha256=document["tensors"],
            )  # fmt: skip

        return Stages(
            prefix=prefix("all", document["cut"], document["output"], module),
            maps=prefix("maps", maps[0], maps[1], before_pooling) if maps else None,
            features=document["features"],
            parameters=document["parameters"],
            multiplications=document["multiplications"],
            notes=tuple(document["notes"]),
        )  # fmt: skip
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def _graph(name: str, arrays: dict[str, NDArray[Any]], document: dict[str, Any]) -> Graph | None:
    """A graph that was kept; ``None`` where there is none.

    Raises:
        ValueError: it is damaged.
    """
    if f"{name}.graph" not in arrays:
        return None
    found = Graph(arrays[f"{name}.graph"].tobytes(), arrays[f"{name}.expected"])
    if found.checksum != document[f"{name}.checksum"]:
        raise ValueError(f"the graph of {name} is damaged")
    return found
