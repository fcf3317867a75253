"""The frozen stages of a network: tensors and a graph, or torch's modules, as an engine asks."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tortie.activations.key import hash_tensors
from tortie.forks import computed_once
from tortie.graphs.graph import Graph
from tortie.images.preprocess import Preprocessing

if TYPE_CHECKING:
    from torch import nn

    from tortie.networks.network import Network

NAME = "stages"
"""What the stages are called in a network, and so in a graph."""


class Prefix:
    """Stages up to a cut. What it is not made of is made when it is first asked for.

    Args:
        tensors: of the stages, by name (``stem.conv.weight``).
        cut: the last of the stages.
        output: shape of one image's activations.
        preprocessing: how an image becomes its input.
        module: gives the stages as torch's modules, for engines that need them.
        graph: of the stages; ``None`` to write it of the modules.
        sha256: of the tensors, as :func:`tortie.activations.key.hash_tensors` has it; ``None`` to
            compute it.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        cut: str,
        output: tuple[int, ...],
        preprocessing: Preprocessing,
        module: "Callable[[], nn.Module]",
        graph: Graph | None = None,
        sha256: str | None = None,
    ) -> None:
        self.tensors = tensors
        self.cut = cut
        self.output = output
        self.preprocessing = preprocessing
        self._make_module = module
        self._graph = graph
        self._sha256 = sha256

    @classmethod
    def of(
        cls, network: "Network", preprocessing: Preprocessing, cut: str | None = None
    ) -> "Prefix":
        """A network's stages through ``cut``; by default all."""
        from tortie.activations.output_shape import output_shape

        last = cut or network.stage_names[-1]
        module = network.cut(last)[0]
        tensors = {name: one.detach().cpu().numpy() for name, one in module.state_dict().items()}
        output = (
            output_shape(module, preprocessing)
            if cut is not None or network.head_sees_maps
            else (network.feature_count,)
        )
        return cls(tensors, last, output, preprocessing, lambda: module)

    @computed_once
    def module(self) -> "nn.Module":
        """The stages as torch's modules, in evaluation mode."""
        return self._make_module()

    @computed_once
    def graph(self) -> Graph:
        """The stages as a graph.

        Raises:
            UnknownOperator: they compute something that has no translation.
        """
        if self._graph is not None:
            return self._graph
        from tortie.graphs.write import write_graph

        return write_graph(NAME, self.module, self.preprocessing)

    @computed_once
    def sha256(self) -> str:
        """Of the tensors: their names, types, shapes and values."""
        return self._sha256 or hash_tensors(self.tensors.items())

    @property
    def graph_tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors by their names in the graph."""
        return {f"{NAME}.{name}": tensor for name, tensor in self.tensors.items()}
