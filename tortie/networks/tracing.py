"""Any network whose forward pass can be traced, as named stages and a head.

The pass is traced by ``torch.fx`` down to the modules that end a stage; every other module is taken
whole. The row of calls is then cut after each of these, where one tensor alone flows on. Where more
flow, as inside a block with a shortcut, the cut moves to the first place behind it where one does.
"""

import operator
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from tortie.errors import UsageError
from tortie.networks.recording import Recorder

LAST_STAGE = "pre_logits"
_WHOLE = "whole"


@dataclass(frozen=True)
class Traced:
    """A network in parts that share its parameters.

    Attributes:
        stages: in order, each named after the module that ends it, dots as underscores; what leads
            from the last of them to the head is ``pre_logits``, and ends in ``(N, D)``.
        head: linear, ``(N, D)`` to logits.
        aliases: the network's own name of each of its tensors, and the name among these parts;
            empty for one that inference does not read.
    """

    stages: "OrderedDict[str, nn.Module]"
    head: nn.Linear
    aliases: dict[str, str]


def trace_stages(network: nn.Module, ends: Sequence[str], classifier: str) -> Traced:
    """The network's forward pass as stages and a head.

    Args:
        network: takes images, and yields the logits of ``classifier``; it is given up to the parts.
        ends: names of the modules after which a stage ends; those that are never called by
            themselves are passed over.
        classifier: name of the last map, a linear layer, or a 1×1 convolution of one position.

    Raises:
        UsageError: the pass cannot be traced, or its end is not that map.
    """
    published = list(network.state_dict())
    for module in network.modules():  # so that a state holds all that the pass reads
        module._non_persistent_buffers_set.clear()
    graph = _trace(network, [*ends, classifier])
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    names = [_module_name(node) for node in nodes]
    head, flattened = _head(network, graph, nodes, classifier)
    calls = nodes[: names.index(classifier)]
    if _flowing(calls, len(calls)) != list(nodes[len(calls)].args):
        raise UsageError(f"its last map, {classifier}, sees more than one tensor")
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    start = 0
    for name, end in [*_cuts(calls, names, ends), (LAST_STAGE, len(calls))]:
        if end > start:
            flat = flattened and end == len(calls)
            stages[name] = _stage(network, calls[start:end], _flowing(calls, end)[0], flat)
            start = end
    return Traced(stages, head, _aliases(stages, published, classifier))


class _Tracer(Recorder):
    """Goes into what contains a module that ends a stage, and into nothing else."""

    # What is computed from a buffer must follow it when another is loaded.
    proxy_buffer_attributes = True

    def __init__(self, ends: Iterable[str]) -> None:
        super().__init__()
        self._ends = tuple(ends)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        name = module_qualified_name.removeprefix(_WHOLE).removeprefix(".")
        inside = (end for end in self._ends if not name or end.startswith(f"{name}."))
        return name in self._ends or not any(inside)


class _Whole(nn.Module):
    """A network given images alone, so that its other arguments keep their defaults."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.whole = network

    def forward(self, images: Any) -> Any:
        return self.whole(images)


def _trace(network: nn.Module, ends: Sequence[str]) -> fx.Graph:
    """The graph of inference, its targets named as in the network."""
    training, whole = network.training, _Whole(network)
    network.eval()  # a branch for training alone, such as that of side heads, is not followed
    try:
        graph = _Tracer(ends).trace(whole)
    except Exception as error:  # whatever a pass that looks at values raises
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0]
        raise UsageError(f"its forward pass cannot be traced ({reason})") from None
    finally:
        network.train(training)
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = str(node.target).removeprefix(f"{_WHOLE}.")
        if str(node.target).startswith("_tensor_constant"):  # made in the pass, kept by the tracer
            network.register_buffer(node.target, getattr(whole, node.target))
    return graph


def _module_name(node: fx.Node) -> str | None:
    return str(node.target) if node.op == "call_module" else None


def _head(
    network: nn.Module, graph: fx.Graph, nodes: Sequence[fx.Node], classifier: str
) -> tuple[nn.Linear, bool]:
    """The last map as a linear layer, and whether what it sees has still to be flattened."""
    names = [_module_name(node) for node in nodes]
    if names.count(classifier) != 1:
        raise UsageError(f"its last map, {classifier}, is not called once")
    after = [network.get_submodule(name) if name else None for name in names]
    after = after[names.index(classifier) + 1 :]
    found = network.get_submodule(classifier)
    if isinstance(found, nn.Linear) and all(isinstance(one, nn.Identity) for one in after):
        return found, False
    if (
        isinstance(found, nn.Conv2d)
        and found.kernel_size == (1, 1)
        and found.groups == 1
        and len(after) == 1
        and isinstance(after[0], nn.Flatten)
    ):
        place = found.weight.device
        head = nn.Linear(found.in_channels, found.out_channels, found.bias is not None, place)
        head.weight = nn.Parameter(found.weight.detach().flatten(1))
        if found.bias is not None:
            head.bias = nn.Parameter(found.bias.detach())
        return head, True
    kind = type(found).__name__
    raise UsageError(f"its logits are not those of one linear map ({classifier} is a {kind})")


def _cuts(
    calls: Sequence[fx.Node], names: Sequence[str | None], ends: Sequence[str]
) -> list[tuple[str, int]]:
    """The name of each stage, and the number of calls through its last."""
    found: dict[int, str] = {}
    for end in ends:
        if end not in names[: len(calls)]:
            continue
        last = len(calls) - 1 - names[: len(calls)][::-1].index(end)
        place = next((i for i in range(last + 1, len(calls)) if _one_tensor(calls, i)), None)
        if place is not None:
            found[place] = re.sub(r"\W", "_", end)
    return [(found[place], place) for place in sorted(found)]


def _flowing(calls: Sequence[fx.Node], place: int) -> list[fx.Node]:
    """What the first ``place`` calls yield and later ones see; parameters flow from nowhere."""
    before = {node for node in calls[:place] if node.op != "get_attr"}
    return [
        node
        for node in calls[:place]
        if node in before and any(user not in before for user in node.users)
    ]


def _one_tensor(calls: Sequence[fx.Node], place: int) -> bool:
    """Whether one value flows there, and is no list, of which items are taken by number."""
    flowing = _flowing(calls, place)
    images = any(arg.op == "placeholder" for node in calls[place:] for arg in node.all_input_nodes)
    return (
        len(flowing) == 1
        and not images
        and not any(
            user.target is operator.getitem and isinstance(user.args[1], int)
            for user in flowing[0].users
        )
    )


def _stage(
    network: nn.Module, calls: Sequence[fx.Node], out: fx.Node, flattened: bool
) -> fx.GraphModule:
    """Some calls in a row, as a module of one argument that yields what ``out`` does."""
    graph = fx.Graph()
    given = graph.placeholder("activations")
    own: dict[fx.Node, fx.Node] = {}
    root: dict[str, Any] = {}

    def taken(node: fx.Node) -> fx.Node:
        if node.op == "get_attr" and node not in own:
            path, _, leaf = str(node.target).rpartition(".")
            tensor = getattr(network.get_submodule(path), leaf)
            root[str(node.target)] = tensor if isinstance(tensor, nn.Parameter) else tensor.clone()
            own[node] = graph.node_copy(node)
        return own.get(node, given)

    for node in calls:
        if node.target is F.dropout:  # its argument says which mode it was traced in
            rate = node.kwargs.get("p", node.args[1] if len(node.args) > 1 else 0.5)
            root[f"_{node.name}"] = nn.Dropout(rate)  # type: ignore[arg-type]
            given_to = node.args[0]
            assert isinstance(given_to, fx.Node)
            own[node] = graph.call_module(f"_{node.name}", (taken(given_to),))
        elif node.op != "get_attr":
            own[node] = graph.node_copy(node, taken)
        if node.op == "call_module":
            root[str(node.target)] = network.get_submodule(str(node.target))
    last = own[out]
    graph.output(graph.call_function(torch.flatten, (last, 1)) if flattened else last)
    stage = fx.GraphModule(root, graph, "Stage")
    stage.train(network.training)
    return stage


def _aliases(
    stages: "OrderedDict[str, nn.Module]", published: Sequence[str], classifier: str
) -> dict[str, str]:
    """The name among the parts of each tensor of the network.

    Raises:
        UsageError: two of them have it.
    """
    aliases = {
        f"{classifier}.{leaf}": f"head.{leaf}"
        for leaf in ("weight", "bias")
        if f"{classifier}.{leaf}" in published
    }
    for stage, module in stages.items():
        for name in module.state_dict():
            if name in aliases:
                raise UsageError(f"two of its parts share a tensor, {name}")
            if name in published:
                aliases[name] = f"stages.{stage}.{name}"
    return {name: aliases.get(name, "") for name in published}
