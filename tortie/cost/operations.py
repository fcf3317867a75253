"""How much arithmetic one operation of torch does, from the shapes of its arguments alone.

Convention. ``multiplications`` are those of convolutions and linear layers, padding counted, as
papers count, and of products of two matrices of activations, as in attention. What normalisation,
pooling and scaling multiply is ``other_multiplications``: a batch normalisation is one
multiplication and one addition a value, its scale folded from its statistics; a layer or group
normalisation first takes the mean of its values and that of their squared distances from it. A
convolution of K products a value adds K - 1 times, and once more for a bias. A pooling window of K
values compares or adds K - 1 times. A ReLU compares once, a ReLU6 twice; a softmax of K values
compares K - 1 times, takes the largest off, and divides by the sum. Powers, divisions by values and
transcendental functions are counted by name. Moving and reshaping data is free. An operation that
is none of these is named in ``uncounted`` with the values it yields, never left out silently.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Operations:
    """Arithmetic, counted.

    Attributes:
        multiplications: of convolutions and linear layers.
        other_multiplications: of normalisation, pooling, scaling.
        additions: accumulations, biases, sums.
        comparisons: of ReLU and maximum pooling.
        functions: powers, divisions and the like, by name.
        uncounted: values that operations without a rule yield, by the operation's name.
    """

    multiplications: int = 0
    other_multiplications: int = 0
    additions: int = 0
    comparisons: int = 0
    functions: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: "Operations") -> "Operations":
        self.multiplications += other.multiplications
        self.other_multiplications += other.other_multiplications
        self.additions += other.additions
        self.comparisons += other.comparisons
        self.functions.update(other.functions)
        self.uncounted.update(other.uncounted)
        return self


_Rule = Callable[[tuple[Any, ...], Any], Operations | None]


def _convolution(args: tuple[Any, ...], out: Any) -> Operations | None:
    _, weight, bias, *rest = args
    if rest[3]:  # transposed
        return None
    products = math.prod(weight.shape[1:])
    return Operations(
        multiplications=out.numel() * products,
        additions=out.numel() * (products - 1 + (bias is not None)),
    )


def _matrix_product(args: tuple[Any, ...], out: Any) -> Operations:
    *bias, left, _ = args[:3]
    inner = left.shape[-1]
    return Operations(
        multiplications=out.numel() * inner, additions=out.numel() * (inner - 1 + len(bias))
    )


def _batch_norm(args: tuple[Any, ...], out: Any) -> Operations | None:
    values = args[0].numel()
    return Operations(other_multiplications=values, additions=values)


def _group_norm(args: tuple[Any, ...], out: Any) -> Operations:
    values, groups = args[0].numel(), out[1].numel()  # out: the normalised, means, scales
    gains = sum(isinstance(arg, Tensor) for arg in args[1:])  # none, a gain, a gain and a shift
    return Operations(
        # squares, the scale, the gain; each of the two means is a sum times 1 / K
        other_multiplications=(3 if gains else 2) * values + 2 * groups,
        # K - 1 of each mean, K distances, the epsilon, K shifts
        additions=(4 if gains == 2 else 3) * values - groups,
        functions=Counter(rsqrt=groups),
    )


def _softmax(args: tuple[Any, ...], out: Any) -> Operations:
    values = out.numel()
    rows = values // out.shape[args[1]] if values else 0
    return Operations(
        additions=2 * values - rows,
        comparisons=values - rows,
        functions=Counter(exp=values, division=values),
    )


def _add(args: tuple[Any, ...], out: Any) -> Operations:
    return Operations(additions=out.numel())


def _multiply(args: tuple[Any, ...], out: Any) -> Operations:
    return Operations(other_multiplications=out.numel())


def _divide(args: tuple[Any, ...], out: Any) -> Operations:
    if isinstance(args[1], Tensor):
        return Operations(functions=Counter(division=out.numel()))
    return Operations(other_multiplications=out.numel())


def _power(args: tuple[Any, ...], out: Any) -> Operations:
    if not isinstance(args[1], Tensor) and args[1] == 2:
        return Operations(other_multiplications=out.numel())
    return Operations(functions=Counter(power=out.numel()))


def _window(kernel: Any, dimensions: int) -> int:
    """Values in a pooling window whose kernel may be given once for all directions."""
    return int(kernel[0] ** dimensions if len(kernel) == 1 else math.prod(kernel))


def _maximum_pooling(args: tuple[Any, ...], out: Any) -> Operations:
    values = out[0].numel()
    return Operations(comparisons=values * (_window(args[1], 2) - 1))


def _average_pooling(dimensions: int) -> _Rule:
    def rule(args: tuple[Any, ...], out: Any) -> Operations:
        window, values = _window(args[1], dimensions), out.numel()
        divisor = args[6] if len(args) > 6 and args[6] else window
        return Operations(
            other_multiplications=values if divisor != 1 else 0, additions=values * (window - 1)
        )

    return rule


def _adaptive_average_pooling(args: tuple[Any, ...], out: Any) -> Operations:
    images = args[0]
    windows = 1
    for size, parts in zip(images.shape[-2:], out.shape[-2:], strict=True):
        windows *= sum(-(-(i + 1) * size // parts) - i * size // parts for i in range(parts))
    additions = out.numel() // math.prod(out.shape[-2:]) * windows - out.numel()
    return Operations(other_multiplications=out.numel(), additions=additions)


def _mean(args: tuple[Any, ...], out: Any) -> Operations:
    return Operations(other_multiplications=out.numel(), additions=args[0].numel() - out.numel())


def _sum(args: tuple[Any, ...], out: Any) -> Operations:
    return Operations(additions=args[0].numel() - out.numel())


def _comparisons(each: int) -> _Rule:
    return lambda args, out: Operations(comparisons=each * out.numel())


def _function(name: str) -> _Rule:
    return lambda args, out: Operations(functions=Counter({name: out.numel()}))


_FUNCTIONS = (
    "elu", "erf", "exp", "gelu", "hardsigmoid", "hardswish", "log", "neg", "reciprocal", "rsqrt",
    "sigmoid", "silu", "sqrt", "tanh",
)  # fmt: skip

_RULES: dict[str, _Rule] = {
    "convolution": _convolution,
    "addmm": _matrix_product,
    "mm": _matrix_product,
    "bmm": _matrix_product,
    "baddbmm": _matrix_product,
    "native_batch_norm": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_layer_norm": _group_norm,
    "native_group_norm": _group_norm,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "add": _add,
    "sub": _add,
    "rsub": _add,
    "mul": _multiply,
    "div": _divide,
    "pow": _power,
    "max_pool2d_with_indices": _maximum_pooling,
    "avg_pool2d": _average_pooling(2),
    "avg_pool3d": _average_pooling(3),
    "_adaptive_avg_pool2d": _adaptive_average_pooling,
    "mean": _mean,
    "sum": _sum,
    "relu": _comparisons(1),
    "hardtanh": _comparisons(2),
    "clamp_min": _comparisons(1),
    "clamp": _comparisons(2),
    **{name: _function(name) for name in _FUNCTIONS},
}

_FREE = {
    "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "arange", "as_strided", "cat",
    "clone", "constant_pad_nd", "copy", "detach", "empty", "empty_like", "expand", "fill",
    "full", "index", "index_select", "lift_fresh", "new_empty", "new_zeros", "ones", "permute",
    "repeat", "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "stack", "t",
    "transpose", "unbind", "unsqueeze", "view", "zero", "zeros", "zeros_like",
}  # fmt: skip


def operations(name: str, args: tuple[Any, ...], out: Any) -> Operations:
    """Arithmetic of one operation.

    Args:
        name: of the operator in torch's ``aten`` library, without its overload.
        args: what it was given.
        out: what it yields, a tensor or a tuple of them.
    """
    name = name.removesuffix("_")
    if name in _FREE:
        return Operations()
    rule = _RULES.get(name)
    try:
        counted = rule(args, out) if rule else None
    except (TypeError, ValueError, IndexError, AttributeError):
        counted = None  # arguments that the rule was not made for: named below, no reason to fail
    if counted is not None:
        return counted
    tensors = out if isinstance(out, tuple | list) else (out,)
    values = sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))
    return Operations(uncounted=Counter({name: values}))
