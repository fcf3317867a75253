"""One inference of a network, operation by operation, attributed to the layers that ran it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from tortie.cost.geometry import Geometry, Join, ReceptiveFields
from tortie.cost.memory import LiveBytes
from tortie.cost.operations import Operations, operations
from tortie.networks.layers import SameConv2d
from tortie.networks.network import Network


@dataclass(frozen=True)
class Part:
    """The cost of a layer or a stage, for the whole batch.

    Attributes:
        name: ``conv2_x.block1.conv1`` of a layer, ``conv2_x`` of a stage, ``head``.
        kind: of a layer, the name of its class; of a stage, ``stage``.
        output: of one image, ``(height, width, channels)`` or ``(length,)``.
        parameters: trained values of its own.
        arithmetic: what it computes.
        geometry: what it sees of the maps before it.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    arithmetic: Operations
    geometry: Geometry = field(default_factory=Geometry)

    @property
    def multiplications(self) -> int:
        """Of convolutions and linear layers, padding counted."""
        return self.arithmetic.multiplications

    def row(self) -> dict[str, Any]:
        """As one row of a table, JSON's types only."""
        return {
            "name": self.name,
            "kind": self.kind,
            "output": list(self.output),
            "parameters": self.parameters,
            **self.geometry.row(),
            **arithmetic_row(self.arithmetic),
        }


def arithmetic_row(arithmetic: Operations) -> dict[str, Any]:
    """Counts as JSON's types."""
    return {
        "multiplications": arithmetic.multiplications,
        "other_multiplications": arithmetic.other_multiplications,
        "additions": arithmetic.additions,
        "comparisons": arithmetic.comparisons,
        "functions": dict(arithmetic.functions),
        "uncounted": dict(arithmetic.uncounted),
    }


def tensors(network: nn.Module) -> list[Tensor]:
    """Parameters and buffers."""
    return [*network.parameters(), *network.buffers()]


class _Counting(LiveBytes):
    """Live bytes, and each operation handed to a function that counts it."""

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        counted: Callable[[str, tuple[Any, ...], Any], None],
    ) -> None:
        super().__init__(tensors(network), [images])
        self._counted = counted

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        out = super().__torch_dispatch__(func, types, args, kwargs)
        self._counted(name, (*args, *(kwargs or {}).values()), out)
        return out


class Record:
    """One inference of a network on the meta device, operation by operation.

    Attributes:
        outputs: what each module yielded last, the shape of one image, by the module's name.
        live: the bytes alive.
    """

    live: LiveBytes
    _fields: ReceptiveFields

    def __init__(self, network: Network) -> None:
        self._network = network
        self._running: list[str] = []
        self._arithmetic: dict[str, Operations] = {}
        self._last: WeakValueDictionary[int, Tensor] = WeakValueDictionary()
        self.outputs: dict[str, tuple[int, ...]] = {}

    def run(self, images: Tensor) -> None:
        """Count an inference of ``images``, with nothing hooked when it ends."""
        hooks = []
        for name, module in self._network.named_modules():
            hooks.append(module.register_forward_pre_hook(self._enter(name)))
            hooks.append(module.register_forward_hook(self._leave(name)))
        self._fields = ReceptiveFields(images)
        self.live = _Counting(self._network, images, self._counted)
        with torch.no_grad(), self.live:
            self._network(images)

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self._running.append(name)
            self._arithmetic.setdefault(name, Operations())

        return hook

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, out: Any) -> None:
            self._running.pop()
            while isinstance(out, tuple | list):  # of several branches, the widest
                out = out[0]
            self._fields.of_output(name, out)
            _, *shape = out.shape
            last = self._channels_last(name, module, args, out)
            whole = len(shape) == 3 and not last
            self.outputs[name] = (*shape[1:], shape[0]) if whole else tuple(shape)

        return hook

    def _channels_last(self, name: str, module: nn.Module, args: Any, out: Tensor) -> bool:
        """Whether what a module yields is ``(N, H, W, C)``, which is remembered while it lives.

        A linear layer or a layer normalisation tells by its length; what has no parameters, such as
        an activation, by what it was given; a stage by its network.
        """
        if isinstance(module, nn.Linear):
            last = out.dim() == 4 and out.shape[1] != module.out_features
        elif isinstance(module, nn.LayerNorm):
            last = out.dim() == 4 and out.shape[1] != module.normalized_shape[-1]
        elif name.removeprefix("stages.") in self._network.stage_names:
            last = self._network.channels_last and out.dim() == 4
        else:
            before = args[0] if args and isinstance(args[0], Tensor) else None
            keeps_shape = before is not None and before.shape == out.shape
            parameters = next(module.parameters(), None)
            last = keeps_shape and parameters is None and id(before) in self._last
        if last:
            self._last[id(out)] = out
        return last

    def _counted(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        layer = self._running[-1]
        self._arithmetic[layer] += operations(name, args, out)
        self._fields.follow(layer, name, args, out)

    def joins(self) -> dict[str, Join]:
        """Where branches meet, names as those of parts."""
        return {
            name.removeprefix("stages."): Join(
                join.kind,
                tuple(
                    tuple(layer.removeprefix("stages.") for layer in branch)
                    for branch in join.branches
                ),
                join.activation,
            )
            for name, join in self._fields.joins().items()
        }

    def geometry(self, name: str) -> Geometry:
        """Of a layer or a stage, by the module's name."""
        same = isinstance(self._network.get_submodule(name), SameConv2d)
        return self._fields.geometry(name, "same" if same else None)

    def parts(self) -> list[Part]:
        """The layers: modules without modules of their own, and modules that compute themselves."""
        found = []
        for name, arithmetic in self._arithmetic.items():
            module = self._network.get_submodule(name)
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            if own or arithmetic != Operations() or not any(module.children()):
                short = name.removeprefix("stages.")
                kind = type(module).__name__
                found.append(
                    Part(
                        short,
                        kind,
                        self.outputs[name],
                        own,
                        arithmetic=arithmetic,
                        geometry=self.geometry(name),
                    )
                )
        return found
