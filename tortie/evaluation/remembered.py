"""Classifiers' files whose networks were checked here before, so that torch need not build them.

Of a file that was loaded, the graph of each network is kept in the cache under the file's SHA-256.
A file of the very same bytes holds the same networks, and runs by its graphs and its own tensors.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.activations.graph_folder import graph_folder
from tortie.activations.prefix import NAME, Prefix
from tortie.errors import TortieError
from tortie.evaluation.member import MemberNetwork
from tortie.files import replacing, together
from tortie.graphs.graph import Graph, UnknownOperator
from tortie.networks.own import PREFIX as OWN
from tortie.weights import classifier_file
from tortie.weights.classifier_metadata import Metadata, StoredMember

if TYPE_CHECKING:
    from tortie.networks.network import Network

Arrays = dict[str, NDArray[Any]]
Build = Callable[[Path, StoredMember, int, Arrays], "Network"]
"""Makes modules of a file's path, what it says of the network, the classes and the tensors."""


def _record(digest: str) -> Path:
    return graph_folder() / f"classifier-{digest[:64]}.safetensors"


def remember(digest: str, parts: Sequence[MemberNetwork]) -> None:
    """Keep the graphs of a file's networks, which were checked; nothing where one has none.

    Args:
        digest: the SHA-256 that the file says it has.
        parts: its networks.
    """
    from safetensors.numpy import save

    arrays: Arrays = {}
    try:
        for number, part in enumerate(parts):
            graph = part.prefix.graph
            arrays[f"{number}.graph"] = np.frombuffer(graph.content, np.uint8)
            arrays[f"{number}.expected"] = graph.expected
        record = _record(digest)
        record.parent.mkdir(parents=True, exist_ok=True)
        # Of its own: it is no output of the command, whose outputs may be refused together.
        with together(), replacing(record) as file:
            told = {
                "cuts": [part.prefix.cut for part in parts],
                "tensors": [part.prefix.sha256 for part in parts],
                "checksums": [part.prefix.graph.checksum for part in parts],
            }
            file.write(save(arrays, {"networks": json.dumps(told)}))
    except (UnknownOperator, TortieError, OSError):
        return  # then torch builds the networks the next time too


def recall(path: Path, build: Build) -> tuple[Metadata, list[MemberNetwork], Arrays] | None:
    """What :func:`remember` knows of a file of these bytes: its networks, and all of its tensors.

    Args:
        path: of the file.
        build: makes the modules of one of its networks, where they are asked for.

    Returns:
        ``None`` where nothing is known of it.

    Raises:
        TortieError: the file is damaged.
    """
    digest = classifier_file.stored_digest(path)
    if digest is None or (known := _known(_record(digest))) is None:
        return None
    found = classifier_file.read_arrays(path, digest)
    if found is None:
        return None
    metadata, tensors = found
    if any(described.head.startswith(OWN) for described in metadata.members):
        return None  # of a module that has to be given, which building it asks for
    if len(known) != len(metadata.members):
        return None
    parts = []
    for number, described in enumerate(metadata.members):
        own = _own(tensors, f"members.{number}.")
        cut, graph, sha256 = known[number]

        def network(described: StoredMember = described, own: Arrays = own) -> "Network":
            return build(path, described, len(metadata.classes), own)

        def stages(network: Callable[[], "Network"] = network) -> Any:
            return network().stages

        prefix = Prefix(
            tensors=_own(own, f"{NAME}."), cut=cut, output=graph.expected.shape[1:],
            preprocessing=described.preprocessing, module=stages, graph=graph, sha256=sha256,
        )  # fmt: skip
        parts.append(MemberNetwork(own, prefix, network))
    return metadata, parts, tensors


def _known(record: Path) -> list[tuple[str, Graph, str]] | None:
    """Cut, graph and hash of the tensors of each network; ``None`` where a record is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        if not record.is_file():
            return None
        with safe_open(record, "np") as file:
            told = json.loads(file.metadata()["networks"])
            graphs = [
                Graph(file.get_tensor(f"{n}.graph").tobytes(), file.get_tensor(f"{n}.expected"))
                for n in range(len(told["checksums"]))
            ]
        if [one.checksum for one in graphs] != told["checksums"]:
            return None
        return list(zip(told["cuts"], graphs, told["tensors"], strict=True))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def _own(tensors: Arrays, prefix: str) -> Arrays:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
