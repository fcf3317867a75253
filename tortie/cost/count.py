"""What a network costs, exactly, without weights or activations being allocated.

The network runs once on torch's meta device, where tensors have shapes and no values; every
operation is counted as :mod:`tortie.cost.operations` says and attributed to the layer that ran it.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from tortie.cost.memory import LiveBytes
from tortie.cost.operations import Operations, operations
from tortie.errors import TortieError, UsageError
from tortie.networks.network import Network

_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class Part:
    """The cost of a layer or a stage, for the whole batch.

    Attributes:
        name: ``conv2_x.block1.conv1`` of a layer, ``conv2_x`` of a stage, ``head``.
        kind: of a layer, the name of its class; of a stage, ``stage``.
        output: of one image, ``(height, width, channels)`` or ``(length,)``.
        parameters: trained values of its own.
        arithmetic: what it computes.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    arithmetic: Operations

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
            **arithmetic_row(self.arithmetic),
        }


@dataclass(frozen=True)
class Cost:
    """The cost of a network's inference for a batch of images.

    Attributes:
        input: ``(height, width, channels)`` of an image.
        batch: number of images.
        layers: in the order in which they first run.
        stages: in order, the head last.
        parameters: trained values that inference uses; those of side heads are not among them.
        side_parameters: trained values of side heads, which training alone uses.
        buffers: other values that inference reads: statistics, fixed codes and matrices.
        arithmetic: what the whole network computes.
        peak_activation_bytes: of inference in eager float32 PyTorch at the worst moment: images,
            activations and scratch, not the weights.
        peak_training_bytes: of a forward and a backward pass: the same, with the gradients of
            activations and of parameters; ``None`` where it was not asked for.
    """

    input: tuple[int, int, int]
    batch: int
    layers: tuple[Part, ...]
    stages: tuple[Part, ...]
    parameters: int
    side_parameters: int
    buffers: int
    arithmetic: Operations
    peak_activation_bytes: int
    peak_training_bytes: int | None

    @property
    def multiplications(self) -> int:
        """Of convolutions and linear layers, padding counted."""
        return self.arithmetic.multiplications

    @property
    def additions(self) -> int:
        """Accumulations, biases and sums."""
        return self.arithmetic.additions

    @property
    def weight_bytes(self) -> dict[str, int]:
        """Bytes of parameters and buffers by precision."""
        values = self.parameters + self.buffers
        return {precision: values * size for precision, size in _BYTES.items()}

    def document(self, name: str) -> dict[str, Any]:
        """As one JSON document for the network called ``name``."""
        return {
            "network": name,
            "input": list(self.input),
            "batch": self.batch,
            "parameters": self.parameters,
            "side_parameters": self.side_parameters,
            **arithmetic_row(self.arithmetic),
            "weight_bytes": self.weight_bytes,
            "peak_activation_bytes": self.peak_activation_bytes,
            "peak_training_bytes": self.peak_training_bytes,
            "stages": [stage.row() for stage in self.stages],
            "layers": [layer.row() for layer in self.layers],
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


def count(
    network: Network,
    input_shape: tuple[int, int, int] | None = None,
    batch: int = 1,
    training: bool = False,
) -> Cost:
    """The cost of a network's inference, and on demand the memory of its training.

    Args:
        network: on any device, the meta device too; it is left as it is.
        input_shape: ``(height, width, channels)`` of an image; by default the paper's.
        batch: number of images.
        training: whether to follow a training step for ``peak_training_bytes``.

    Raises:
        UsageError: the network cannot take such images.
    """
    if batch < 1:
        raise UsageError(f"a batch has at least one image, not {batch}")
    shape = input_shape or network.input_shape
    height, width, channels = shape
    try:
        record = _Record(_on_meta(network).eval())
        images = torch.empty(batch, channels, height, width, device="meta")
        record.run(images)
        peak_training = _training_bytes(network, images) if training else None
    except TortieError:
        raise
    except (RuntimeError, ValueError) as error:
        # torch's own: a pooling or convolution runs out of pixels; a batch-norm in training has one
        # value a channel.
        reason = str(error).splitlines()[0]
        raise UsageError(f"the network cannot take images of {height}×{width}: {reason}") from None
    layers = tuple(record.parts())
    stages = tuple(_stages(network, layers, record.outputs))
    total = Operations()
    for part in layers:
        total += part.arithmetic
    inference = [*network.stages.parameters(), *network.head.parameters()]
    buffers = [*network.stages.buffers(), *network.head.buffers()]
    return Cost(
        input=shape,
        batch=batch,
        layers=layers,
        stages=stages,
        parameters=sum(parameter.numel() for parameter in inference),
        side_parameters=sum(parameter.numel() for parameter in network.side_heads.parameters()),
        buffers=sum(buffer.numel() for buffer in buffers if buffer.is_floating_point()),
        arithmetic=total,
        peak_activation_bytes=record.live.peak,
        peak_training_bytes=peak_training,
    )


def _on_meta(network: Network) -> Network:
    """A copy that shares nothing and holds shapes alone."""
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


class _Counting(LiveBytes):
    """Live bytes, and each operation handed to a function that counts it."""

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        counted: Callable[[str, tuple[Any, ...], Any], None],
    ) -> None:
        super().__init__(_tensors(network), [images])
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
        self._counted(name, args, out)
        return out


class _Record:
    """One inference of a network on the meta device, operation by operation.

    Attributes:
        outputs: what each module yielded last, the shape of one image, by the module's name.
        live: the bytes alive.
    """

    live: LiveBytes

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
            alike = before is not None and before.shape == out.shape
            parameters = next(module.parameters(), None)
            last = alike and parameters is None and id(before) in self._last
        if last:
            self._last[id(out)] = out
        return last

    def _counted(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        self._arithmetic[self._running[-1]] += operations(name, args, out)

    def parts(self) -> list[Part]:
        """The layers: modules without modules of their own, and modules that compute themselves."""
        found = []
        for name, arithmetic in self._arithmetic.items():
            module = self._network.get_submodule(name)
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            if own or arithmetic != Operations() or not any(module.children()):
                short = name.removeprefix("stages.")
                kind = type(module).__name__
                found.append(Part(short, kind, self.outputs[name], own, arithmetic))
        return found


def _stages(
    network: Network, layers: tuple[Part, ...], outputs: Mapping[str, tuple[int, ...]]
) -> list[Part]:
    """The layers summed by stage, the head last."""
    parts = []
    for name in (*network.stage_names, "head"):
        arithmetic = Operations()
        parameters = 0
        for layer in layers:
            if layer.name == name or layer.name.startswith(f"{name}."):
                arithmetic += layer.arithmetic
                parameters += layer.parameters
        output = outputs[name if name == "head" else f"stages.{name}"]
        parts.append(Part(name, "stage", output, parameters, arithmetic))
    return parts


def _training_bytes(network: Network, images: Tensor) -> int:
    """Peak of a forward and a backward pass, side heads too."""
    own = _on_meta(network)
    own.train()
    live = LiveBytes(_tensors(own), [images])
    with live:
        logits, sides = own.forward_with_sides(images)
        loss = logits.sum()
        for side in sides.values():
            loss = loss + own.side_weight * side.sum()
        del logits, sides
        if loss.requires_grad:
            loss.backward()
    return live.peak
