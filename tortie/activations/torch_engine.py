"""A frozen prefix run by PyTorch: fused for oneDNN, and eagerly where that fails or is asked for.

On a processor, each convolution is fused with the batch normalisation, the addition and the ReLU
that follow it, its weights are laid out once for oneDNN, and activations are channels-last. This
rewrites the graph that ``torch.fx`` records; no compiler and no trial run is needed. In bfloat16
everything up to the last convolution or linear layer runs in bfloat16 with float32 accumulation,
but for local response normalisation, for which torch has no such kernel, and what follows, usually
the pooling, in float32.
"""

import copy
import logging
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional as F

from tortie.activations.engine import BATCH, Precision
from tortie.images.preprocess import Preprocessing
from tortie.networks.layers import SameConv2d
from tortie.networks.recording import Recorder

_log = logging.getLogger(__name__)
_EAGERLY = "the frozen part runs layer by layer, slower than fused: %s"

_RELU: dict[Any, str] = {nn.ReLU: "relu", nn.ReLU6: "hardtanh", F.relu: "relu", torch.relu: "relu"}
_ADD = (operator.add, operator.iadd, torch.add)
_BOUNDS: dict[str, list[float]] = {"relu": [], "hardtanh": [0.0, 6.0], "none": []}
_NORM = nn.BatchNorm2d


class TorchEngine:
    """A frozen prefix, ready to run by PyTorch: fused for oneDNN, or eagerly.

    Attributes:
        fused: whether it runs fused; otherwise eagerly, which is said in the log.
        graph: what runs fused, from prepared images; ``None`` where it runs eagerly.
        precision: of the multiplications.
        device: where it runs.
    """

    def __init__(
        self,
        prefix: nn.Module,
        preprocessing: Preprocessing,
        device: torch.device,
        precision: Precision,
        fuse: bool = True,
    ) -> None:
        """Prepare ``prefix``, which is left as it is; ``fuse`` asks for oneDNN on a processor."""
        self.device = device
        self.precision: Precision = precision
        self._dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        self._mean = torch.tensor(preprocessing.mean, device=device).view(1, -1, 1, 1)
        self._scale = 1 / torch.tensor(preprocessing.std, device=device).view(1, -1, 1, 1)
        eager = self._eager(prefix)
        shape = (1, preprocessing.channels, preprocessing.height, preprocessing.width)
        fusible = fuse and device.type == "cpu" and torch.backends.mkldnn.is_available()
        self.graph = self._fused(prefix, eager, shape) if fusible else None
        self.fused = self.graph is not None
        self._run: Callable[[Tensor], Tensor] = self.graph or eager

    @torch.inference_mode()
    def _fused(
        self, prefix: nn.Module, eager: Callable[[Tensor], Tensor], shape: tuple[int, ...]
    ) -> fx.GraphModule | None:
        """The fused prefix where it agrees with the eager one on a random image, else ``None``."""
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        noise = noise.contiguous(memory_format=torch.channels_last)
        try:
            fused = _fuse(prefix, self._dtype)
            got, wanted = fused(noise.to(self._dtype)).float(), eager(noise).float()
        except Exception as error:  # whatever a graph that cannot be traced or fused raises
            _log.warning(_EAGERLY, (str(error).splitlines() or [type(error).__name__])[0])
            return None
        off = (got - wanted).norm() / wanted.norm().clamp_min(1e-12)
        if off < (0.2 if self._dtype == torch.bfloat16 else 1e-3):
            return fused
        _log.warning(_EAGERLY, f"fused, it is off by {off:.2g} of its outputs")
        return None

    def _eager(self, prefix: nn.Module) -> Callable[[Tensor], Tensor]:
        own = copy.deepcopy(prefix).eval().to(self.device)
        own = own.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        enabled = self._dtype == torch.bfloat16

        def run(images: Tensor) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
                return own(images.float())

        return run

    @torch.inference_mode()
    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Activations at the cut of uint8 images ``(N, H, W, C)``: float32, ``(N, ...)``."""
        activations = self._run(self.prepare(torch.from_numpy(pixels)))
        found: NDArray[np.float32] = activations.float().contiguous().cpu().numpy()
        return found

    def prepare(self, pixels: Tensor) -> Tensor:
        """uint8 images ``(N, H, W, C)`` as ``(N, C, H, W)``, preprocessed, in the precision."""
        images = pixels.to(self.device).permute(0, 3, 1, 2).float()  # channels-last in memory
        return images.sub_(self._mean).mul_(self._scale).to(self._dtype)


class FusedConv2d(nn.Module):
    """A convolution with its normalisation folded in, and its addition and ReLU in the same pass.

    TensorFlow's "same" padding of an even side at stride 2 puts one more on the far side. A kernel
    with a leading zero and symmetric padding computes the same sums, without a padded copy of the
    activations.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, dtype: torch.dtype) -> None:
        super().__init__()
        weight, bias = _fold(conv, norm)
        self.weight, self.bias = weight.to(dtype), bias.to(dtype)
        self.same = isinstance(conv, SameConv2d) and conv.stride[0] == 2
        self.padding = [k // 2 for k in conv.kernel_size] if _is_same(conv) else _padding(conv)
        self.stride, self.dilation = list(conv.stride), list(conv.dilation)
        self.groups = conv.groups
        self.activation = "none"
        self._packed: dict[tuple[int, int], Tensor] = {}

    def forward(self, images: Tensor, other: Tensor | None = None) -> Tensor:
        """``(N, C, H, W)`` to the convolution's output, plus ``other`` where given, activated."""
        weight = self._laid_out(images)
        where = (weight, self.bias, self.padding, self.stride, self.dilation, self.groups)
        bounds = _BOUNDS[self.activation]
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(
                images, *where, self.activation, bounds, ""
            )
        activation = None if self.activation == "none" else self.activation
        return torch.ops.mkldnn._convolution_pointwise.binary(
            images, other, *where, "add", None, activation, bounds, None
        )

    def _laid_out(self, images: Tensor) -> Tensor:
        """The kernel in oneDNN's layout for these images; the shape of a batch is a hint to it."""
        height, width = images.shape[2:]
        leading = (1 - height % 2, 1 - width % 2) if self.same else (0, 0)
        if leading not in self._packed:
            weight = F.pad(self.weight, (leading[1], 0, leading[0], 0))
            self._packed[leading] = torch.ops.mkldnn._reorder_convolution_weight(
                weight, self.padding, self.stride, self.dilation, self.groups,
                [BATCH, *images.shape[1:]],
            )  # fmt: skip
        return self._packed[leading]


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution followed by the normalisation, in float32."""
    weight = conv.weight.detach().float()
    bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach().float()
    if norm is None:
        return weight, bias
    assert norm.running_mean is not None and norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = scale * norm.weight.detach()
    bias = (bias - norm.running_mean) * scale
    if norm.affine:
        bias = bias + norm.bias.detach()
    return weight * scale[:, None, None, None], bias


def _is_same(conv: nn.Conv2d) -> bool:
    return isinstance(conv, SameConv2d) or conv.padding == "same"


def _padding(conv: nn.Conv2d) -> list[int]:
    return [0, 0] if isinstance(conv.padding, str) else list(conv.padding)


def _fusible(conv: nn.Module) -> bool:
    """Whether :class:`FusedConv2d` computes this convolution."""
    if not isinstance(conv, nn.Conv2d) or conv.padding_mode != "zeros":
        return False
    if _is_same(conv):
        odd = all(kernel % 2 for kernel in conv.kernel_size)
        return odd and conv.stride in ((1, 1), (2, 2)) and conv.dilation == (1, 1)
    return True


_HEAVY = (FusedConv2d, nn.Conv2d, nn.Linear)


class _Tracer(Recorder):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = super().is_leaf_module(m, module_qualified_name)
        return leaf or isinstance(m, SameConv2d)


def _fuse(prefix: nn.Module, dtype: torch.dtype) -> fx.GraphModule:
    """The prefix as a graph of fused convolutions in ``dtype``, its last steps in float32."""
    own = copy.deepcopy(prefix).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    graph = _Tracer().trace(own)
    modules = dict(own.named_modules())
    for node in list(graph.nodes):
        conv = _module(node, modules)
        if isinstance(conv, nn.Conv2d) and _fusible(conv):
            chain, other = _chain(node, modules)
            norm = next((m for n in chain if isinstance(m := _module(n, modules), _NORM)), None)
            fused = FusedConv2d(conv, norm, dtype)
            fused.activation = _activation(chain[-1], modules) or "none"
            name = f"fused_{node.name}"
            own.add_module(name, fused)
            modules[name] = fused
            with graph.inserting_before(chain[-1]):
                replacement = graph.call_module(name, (node.args[0], *other))
            chain[-1].replace_all_uses_with(replacement)
            for done in reversed(chain):
                graph.erase_node(done)
    _normalise_in_float32(graph, modules, dtype)
    _finish_in_float32(graph, modules, dtype)
    return fx.GraphModule(own, graph)


def _chain(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[list[fx.Node], list[fx.Node]]:
    """The convolution's node with those that fuse into it, and what is added to it."""
    chain: list[fx.Node] = [node]
    other: list[fx.Node] = []
    after = _only_user(chain[-1])
    norm = _module(after, modules)
    if after is not None and isinstance(norm, _NORM) and norm.track_running_stats:
        chain.append(after)
        after = _only_user(after)
    if after is not None and after.target in _ADD and len(after.args) == 2 and not after.kwargs:
        added = [arg for arg in after.args if arg is not chain[-1]]
        if len(added) == 1 and isinstance(added[0], fx.Node):
            other = [added[0]]
            chain.append(after)
            after = _only_user(after)
    if after is not None and _activation(after, modules):
        chain.append(after)
    return chain, other


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _module(node: fx.Node | None, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules[str(node.target)] if node is not None and node.op == "call_module" else None


def _activation(node: fx.Node, modules: dict[str, nn.Module]) -> str | None:
    module = _module(node, modules)
    return _RELU.get(type(module)) if module is not None else _RELU.get(node.target)


def _normalise_in_float32(
    graph: fx.Graph, modules: dict[str, nn.Module], dtype: torch.dtype
) -> None:
    """Local response normalisation in float32, between layers in ``dtype``."""
    for node in list(graph.nodes):
        if isinstance(_module(node, modules), nn.LocalResponseNorm) and dtype != torch.float32:
            with graph.inserting_before(node):
                node.args = (graph.call_method("float", node.args),)
            with graph.inserting_after(node):
                after = graph.call_method("to", (node, dtype))
            node.replace_all_uses_with(
                after, delete_user_cb=lambda user, own=after: user is not own
            )


def _finish_in_float32(graph: fx.Graph, modules: dict[str, nn.Module], dtype: torch.dtype) -> None:
    """Layers up to the last that multiplies matrices in ``dtype``, those after it in float32."""
    heavy = [node for node in graph.nodes if isinstance(_module(node, modules), _HEAVY)]
    if not heavy:
        return
    for node in graph.nodes:
        module = _module(node, modules)
        if module is not None and not isinstance(module, FusedConv2d):
            module.to(dtype)
        if node is heavy[-1]:
            break
    with graph.inserting_after(heavy[-1]):
        final = graph.call_method("float", (heavy[-1],))
    heavy[-1].replace_all_uses_with(final, delete_user_cb=lambda user: user is not final)
