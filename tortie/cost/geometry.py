"""What each layer sees: its kernel, stride, padding, activation, and receptive field.

A receptive field is the part of the image on which one value depends. Each operation that runs is
followed from tensor to tensor: a window of K positions, S pixels apart, widens the field by
(K - 1) · S. What takes means of whole maps, or mixes all positions, sees the whole image.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_ACTIVATIONS = {
    "relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid", "silu": "SiLU", "gelu": "GELU",
    "elu": "ELU", "leaky_relu": "leaky ReLU", "hardswish": "hard swish",
    "hardsigmoid": "hard sigmoid",
}  # fmt: skip
_MIXING = {"bmm", "baddbmm", "_softmax", "_safe_softmax", "scaled_dot_product_attention"}
_FLATTENING = {"view", "_unsafe_view", "_reshape_alias", "reshape", "flatten"}


@dataclass(frozen=True)
class Geometry:
    """How a layer looks at the maps before it.

    Attributes:
        kernel: ``(height, width)`` of its window; ``None`` where it has none.
        stride: of that window; of a stage, input positions a step of its output takes.
        padding: zeros on each side of a direction; ``"same"`` for TensorFlow's, ``"ceil"`` where
            windows run off the far side without padding.
        groups: parts of the channels, each seen by its own filters.
        activation: non-linearity that follows it.
        preactivation: non-linearity that comes before it, after a normalisation of its own.
        receptive_field: ``(height, width)`` of what one output value depends on, in pixels;
            ``None`` for the whole image.
    """

    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    padding: tuple[int, int] | str | None = None
    groups: int = 1
    activation: str | None = None
    preactivation: str | None = None
    receptive_field: tuple[int, int] | None = None

    def row(self) -> dict[str, Any]:
        """JSON's types only."""
        return {
            "kernel": list(self.kernel) if self.kernel else None,
            "stride": list(self.stride) if self.stride else None,
            "padding": list(self.padding) if isinstance(self.padding, tuple) else self.padding,
            "groups": self.groups,
            "activation": self.activation,
            "preactivation": self.preactivation,
            "receptive_field": list(self.receptive_field) if self.receptive_field else None,
        }


@dataclass(frozen=True)
class Join:
    """Where branches of a module meet.

    Attributes:
        kind: ``add``, or ``cat`` where they are set side by side.
        branches: the names of each one's layers in order; none of what goes around them.
        activation: non-linearity that follows.
    """

    kind: str
    branches: tuple[tuple[str, ...], ...]
    activation: str | None = None


@dataclass(frozen=True)
class _Field:
    """Of one tensor: side of what a value sees, distance of neighbours, where it comes from."""

    sides: tuple[int, int] | None
    steps: tuple[int, int]
    origin: str | None  # the last layer
    joined: str | None = None  # the module that added it up, where nothing came after
    tail: str = ""  # "pool", "join" or, where it was normalised after one of these, "norm"
    before: str | None = None  # an activation after such a normalisation


@dataclass(frozen=True)
class _Window:
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    dilation: tuple[int, int]
    groups: int = 1


class ReceptiveFields:
    """Follows the operations of one inference.

    Args:
        images: what the network is given.
    """

    def __init__(self, images: Tensor) -> None:
        self._of = WeakIdKeyDictionary()
        self._of[images] = _Field((1, 1), (1, 1), None)
        self._windows: dict[str, _Window] = {}
        self._activations: dict[str, str] = {}
        self._seen: dict[str, tuple[int, int] | None] = {}
        self._before: dict[str, str | None] = {}  # the layer whose output each layer is given
        self._joins: dict[str, tuple[str, list[str | None]]] = {}
        self._preactivations: dict[str, str] = {}
        self._after_join: dict[str, str] = {}

    def follow(self, layer: str, name: str, args: tuple[Any, ...], out: Any) -> None:
        """One operation of torch's ``aten`` library that a layer ran.

        Args:
            layer: name of the module that ran it.
            name: of the operator, without its overload.
            args: what it was given.
            out: what it yields.
        """
        fields = [self._of[tensor] for tensor in _tensors(args) if tensor in self._of]
        if not fields:
            return
        name = name.removesuffix("_")
        whole = any(field.sides is None for field in fields)
        sides = None if whole else _largest(field.sides for field in fields if field.sides)
        steps = _largest(field.steps for field in fields)
        origin = self._origin(layer, [field.origin for field in fields])
        window = _window(name, args, out)
        joined, tail, before = fields[0].joined, fields[0].tail, fields[0].before
        if len(fields) > 1 and name in ("add", "cat"):
            self._joins.setdefault(layer, (name, [field.origin for field in fields]))
            joined, tail, before = layer, "join", None
        elif "batch_norm" in name:
            joined, tail = None, "norm" if tail else ""
        elif window or name in ("addmm", "mm"):
            if before:
                self._preactivations.setdefault(layer, before)
            joined, tail, before = None, "pool" if "pool" in name else "", None
        if window:
            self._windows.setdefault(layer, window)
            self._before.setdefault(layer, origin)
            origin = layer
            if sides:
                grown = [
                    side + window.dilation[i] * (window.kernel[i] - 1) * steps[i]
                    for i, side in enumerate(sides)
                ]
                sides = (grown[0], grown[1])
            steps = (steps[0] * window.stride[0], steps[1] * window.stride[1])
        elif name in ("addmm", "mm"):
            self._before.setdefault(layer, origin)
            origin = layer
        elif name in _MIXING or _means_maps(name, args, out) or _flattens(name, args, out):
            sides = None
        activation = _activation(name, args)
        if activation and tail == "norm":
            before = activation
        elif activation and tail == "join" and joined:
            self._after_join.setdefault(joined, activation)
        elif activation and origin:
            self._activations.setdefault(origin, activation)
        for tensor in _tensors((out,)):
            self._of[tensor] = _Field(sides, steps, origin, joined=joined, tail=tail, before=before)
        self._seen[layer] = sides

    def _origin(self, layer: str, origins: list[str | None]) -> str | None:
        """The layer that a result comes from: of several, one inside the module that joins them."""
        inside = [one for one in origins if one and one.startswith(f"{layer}.")]
        if origins[0] in inside or not inside:
            return origins[0]
        return max(inside, key=list(self._before).index)

    def joins(self) -> dict[str, Join]:
        """Where branches of two layers and more meet, by the name of the module that joins them."""
        found = {}
        for module, (kind, origins) in self._joins.items():
            branches = []
            for origin in origins:
                chain: list[str] = []
                while origin and origin.startswith(f"{module}.") and origin not in chain:
                    chain.insert(0, origin)
                    origin = self._before.get(origin)
                branches.append(tuple(chain))
            if any(branches):
                found[module] = Join(kind, tuple(branches), self._after_join.get(module))
        return found

    def of_output(self, name: str, out: Tensor) -> None:
        """Remember what a module that ends with ``out`` sees."""
        if out in self._of:
            self._seen[name] = self._of[out].sides

    def geometry(self, name: str, padding: str | None = None) -> Geometry:
        """Of a layer, by its name.

        Args:
            name: of the module.
            padding: a word for its padding, where the operation does not show it.
        """
        window = self._windows.get(name)
        return Geometry(
            kernel=window.kernel if window else None,
            stride=window.stride if window else None,
            padding=(padding or window.padding) if window else None,
            groups=window.groups if window else 1,
            activation=self._activations.get(name),
            preactivation=self._preactivations.get(name),
            receptive_field=self._seen.get(name),
        )


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += _tensors(value)
    return found


def _largest(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    first, second = zip(*pairs, strict=True)
    return max(first), max(second)


def _pair(values: Any, default: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """The last two of a list, one for both, or the default of an empty one."""
    values = list(values)[-2:]
    if not values:
        return default
    return values[0], values[-1]


def _window(name: str, args: tuple[Any, ...], out: Any) -> _Window | None:
    if name == "convolution" and args[1].dim() == 4 and not args[6]:
        kernel = _pair(args[1].shape)
        return _Window(kernel, _pair(args[3]), _pair(args[4]), _pair(args[5]), args[8])
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        kernel = _pair(args[1])
        stride = _pair(args[2] if len(args) > 2 else (), kernel)
        padding = _pair(args[3] if len(args) > 3 else ())
        # dilation and ceil_mode of the one, ceil_mode of the other
        ceil = args[5 if name.startswith("max") else 4 :][:1]
        off = bool(ceil and ceil[0]) and padding == (0, 0)
        return _Window(kernel, stride, "ceil" if off else padding, (1, 1))
    if name == "_adaptive_avg_pool2d" and max(out.shape[-2:]) > 1:
        sizes = list(zip(args[0].shape[-2:], out.shape[-2:], strict=True))
        kernel = _pair([-(-size // parts) for size, parts in sizes])
        return _Window(kernel, _pair([size // parts for size, parts in sizes]), (0, 0), (1, 1))
    return None


def _means_maps(name: str, args: tuple[Any, ...], out: Any) -> bool:
    """Whether an operation takes a mean or sum over the positions of maps."""
    if name == "_adaptive_avg_pool2d":
        return max(args[0].shape[-2:]) > 1
    if name not in ("mean", "sum", "amax", "max"):
        return False
    before = args[0]
    dims = args[1] if len(args) > 1 and isinstance(args[1], tuple | list) else range(before.dim())
    return any(dim % before.dim() >= 2 and before.shape[dim] > 1 for dim in dims)


def _flattens(name: str, args: tuple[Any, ...], out: Any) -> bool:
    """Whether maps become one vector an image."""
    return (
        name in _FLATTENING
        and args[0].dim() == 4
        and out.dim() == 2
        and out.shape[0] == args[0].shape[0]
        and max(args[0].shape[-2:]) > 1
    )


def _activation(name: str, args: tuple[Any, ...]) -> str | None:
    if name == "hardtanh":
        return "ReLU6" if tuple(args[1:3]) == (0.0, 6.0) else "hard tanh"
    return _ACTIVATIONS.get(name)
