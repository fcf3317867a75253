"""What a network costs, exactly, without weights or activations being allocated.

The network runs once on torch's meta device, where tensors have shapes and no values; every
operation is counted as :mod:`tortie.cost.operations` says and attributed to the layer that ran it.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from tortie.cost.geometry import Join
from tortie.cost.memory import LiveBytes
from tortie.cost.operations import Operations
from tortie.cost.record import Part, Record, arithmetic_row, tensors
from tortie.errors import TortieError, UsageError
from tortie.networks.network import Network

_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


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
        looks_at_values: whether its pass depends on values (a branch, a selection): the counts are
            then those of an image of random values, with fresh weights.
        joins: where branches meet, by the module that joins them.
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
    looks_at_values: bool = False
    joins: Mapping[str, Join] = field(default_factory=dict)

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
            "looks_at_values": self.looks_at_values,
            "stages": [stage.row() for stage in self.stages],
            "layers": [layer.row() for layer in self.layers],
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
    images = torch.empty(batch, channels, height, width, device="meta")
    looks_at_values = False
    try:
        record, peak_training = _run(network, images, training)
    except TortieError:
        raise
    except Exception:  # of torch, or of a network of any library
        # Either the network looks at values, which the meta device does not have, or it fails on
        # such images: real values tell.
        looks_at_values = True
        images = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
        try:
            record, peak_training = _run(network, images, training)
        except TortieError:
            raise
        except Exception as error:
            # A pooling or convolution runs out of pixels; a batch-norm in training has one value a
            # channel.
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"the network cannot take images of {height}×{width}: {reason}"
            ) from None
    layers = tuple(record.parts())
    stages = tuple(_stages(network, layers, record))
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
        looks_at_values=looks_at_values,
        joins=record.joins(),
    )


def _run(network: Network, images: Tensor, training: bool) -> tuple[Record, int | None]:
    """One inference, and the peak of a training step where it is asked for."""
    record = Record(_without_values(network, images).eval())
    record.run(images)
    return record, _training_bytes(network, images) if training else None


def _without_values(network: Network, images: Tensor) -> Network:
    """A copy on the images' device that shares nothing; off the meta device, of small values."""
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(_like(parameter, images), parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = _like(buffer, images)
    return copy.deepcopy(network, memo)


def _like(tensor: Tensor, images: Tensor) -> Tensor:
    """Of a tensor's shape, on the images' device: its values there, or small ones; in float32."""
    kind = images.dtype if tensor.is_floating_point() else tensor.dtype
    if images.is_meta or not tensor.is_meta:
        return tensor.detach().to(images.device, kind, copy=True)
    empty = torch.empty_like(tensor, device=images.device, dtype=kind)
    return empty.uniform_(0.01, 0.02) if empty.is_floating_point() else empty.zero_()


def _stages(network: Network, layers: tuple[Part, ...], record: Record) -> list[Part]:
    """The layers summed by stage, the head last."""
    parts = []
    for name in (*network.stage_names, "head"):
        arithmetic = Operations()
        parameters = 0
        for layer in layers:
            if layer.name == name or layer.name.startswith(f"{name}."):
                arithmetic += layer.arithmetic
                parameters += layer.parameters
        whole = name if name == "head" else f"stages.{name}"
        geometry = record.geometry(whole)
        inside = [layer for layer in layers if layer.name.startswith(f"{name}.")]
        seen = [one.geometry for one in inside if one.geometry.kernel or one.multiplications]
        if len(seen) == 1:  # of one window or one linear layer alone the stage is that
            geometry = replace(seen[0], receptive_field=geometry.receptive_field)
        part = Part(
            name, "stage", record.outputs[whole], parameters,
            arithmetic=arithmetic, geometry=geometry,
        )  # fmt: skip
        parts.append(part)
    return parts


def _training_bytes(network: Network, images: Tensor) -> int:
    """Peak of a forward and a backward pass, side heads too."""
    own = _without_values(network, images)
    own.train()
    live = LiveBytes(tensors(own), [images])
    with live:
        logits, sides = own.forward_with_sides(images)
        loss = logits.sum()
        for side in sides.values():
            loss = loss + own.side_weight * side.sum()
        del logits, sides
        if loss.requires_grad:
            loss.backward()
    return live.peak
