"""One network of a classifier: what predicts with it needs, and torch's modules on demand."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.activations.prefix import Prefix
from tortie.forks import computed_once

if TYPE_CHECKING:
    from torch import nn

    from tortie.evaluation.activation_maps import LastMaps
    from tortie.images.preprocess import Preprocessing
    from tortie.networks.network import Network

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_HEAD = "head."


class MemberNetwork:
    """A trained network: its tensors, its graph where it has one, and its modules when asked for.

    Args:
        tensors: by name, ``stages.…`` and ``head.…``.
        prefix: all of its stages.
        network: gives torch's modules.
        last_maps: gives what comes before the pooling; by default the modules tell.
        by_torch: whether the head is computed by its modules: one that is not of linear maps with
            ReLU between them, as somebody's own may be, whose tensors do not tell.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        prefix: Prefix,
        network: "Callable[[], Network]",
        last_maps: "Callable[[], LastMaps | None] | None" = None,
        by_torch: bool = False,
    ) -> None:
        self.tensors = tensors
        self.prefix = prefix
        self._make_network = network
        self._make_last_maps = last_maps
        self._by_torch = by_torch

    @classmethod
    def of(cls, network: "Network", preprocessing: "Preprocessing") -> "MemberNetwork":
        """That of torch's modules."""
        network.eval()
        state = network.state_dict()
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        prefix = Prefix.of(network, preprocessing)
        return cls(tensors, prefix, lambda: network, by_torch=not _is_perceptron(network.head))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled as torch's modules; the engine that runs them is made anew."""
        return MemberNetwork.of, (self.network, self.prefix.preprocessing)

    @computed_once
    def network(self) -> "Network":
        """The network as torch's modules, in evaluation mode."""
        return self._make_network()

    @computed_once
    def last_maps(self) -> "LastMaps | None":
        """Its end, if that is global average pooling and a linear map."""
        if self._make_last_maps is not None:
            return self._make_last_maps()
        from tortie.evaluation.last_maps import last_maps

        return last_maps(self.network, self.prefix.preprocessing)

    @property
    def classes(self) -> int:
        """Length of the logits."""
        matrices = [one for name, one in self.tensors.items() if name.startswith(_HEAD)]
        return int(next(one for one in matrices[::-1] if one.ndim > 1).shape[0])

    @computed_once
    def head(self) -> "Callable[[Floats], Floats | Doubles]":
        """What maps activations ``(N, ...)`` to logits ``(N, K)``.

        A head of linear maps counts in float64: float32 sums depend on how many photographs are
        predicted together, by more than a millionth of a probability.
        """
        if self._by_torch:
            return self._published_head
        own = {
            name.removeprefix(_HEAD): tensor.astype(np.float64)
            for name, tensor in self.tensors.items()
            if name.startswith(_HEAD)
        }
        names = layer_names(len(own) // 2)
        if own.keys() == {f"{name}{kind}" for name in names for kind in ("weight", "bias")}:
            layers = [(own[f"{name}weight"], own[f"{name}bias"]) for name in names]
            if all(weight.ndim == 2 for weight, _ in layers):
                return lambda features: _perceptron(features.astype(np.float64), layers)
        return self._published_head

    def _published_head(self, features: Floats) -> Floats:
        """A paper's head, such as convolutions or fixed codes, or somebody's own, by torch."""
        import torch

        with torch.inference_mode():
            logits: Floats = self.network.head.float()(torch.from_numpy(features)).numpy()
        return logits

    def probabilities(self, activations: Floats) -> Floats:
        """The softmax of the head's logits ``(N, K)``, float32, of activations ``(N, ...)``."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dealt with later
            logits = self.head(activations)
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares = powers / powers.sum(axis=1, keepdims=True)
        return shares.astype(np.float32)


def layer_names(count: int) -> list[str]:
    """What the names of a head's linear maps begin with; between them, numbers 1, 3, … are ReLU."""
    return [""] if count == 1 else [f"{2 * number}." for number in range(count)]


def _is_perceptron(head: "nn.Module") -> bool:
    """Whether a head is linear maps, with ReLU between them."""
    from torch import nn

    steps = list(head) if type(head) is nn.Sequential else [head]
    kinds = [type(one) for one in steps if type(one) not in (nn.Dropout, nn.Identity)]
    return kinds == [nn.Linear, nn.ReLU] * (len(kinds) // 2) + [nn.Linear]


def _perceptron(features: Doubles, layers: Sequence[tuple[Doubles, Doubles]]) -> Doubles:
    """Linear maps, with ReLU between them."""
    for number, (weight, bias) in enumerate(layers):
        features = (np.maximum(features, 0) if number else features) @ weight.T + bias
    return features
