"""Networks as shapes alone, for what is counted, or is about to be given its parameters."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLS = {Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_} | {
    getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and name[0] != "_"
}


@contextmanager
def meta_device() -> Iterator[None]:
    """A block in which modules are built on the meta device: nothing is allocated or initialised.

    ``torch.device("meta")`` alone still calls the initialisers; to draw a normal distribution of
    no numbers, torch imports its compiler and sympy, most of a second. In this block they do
    nothing, in this thread alone.
    """
    with torch.device("meta"), _WithoutInitialisation():
        yield


class _WithoutInitialisation(TorchFunctionMode):
    """Takes the calls that fill a tensor, and leaves the tensor as it is."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
