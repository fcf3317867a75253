"""Networks of a user's own: a module of PyTorch as named stages and a head, for this process.

A classifier's file names such a network, ``own:NAME``, and holds its tensors, and no code: whoever
loads it gives the module. The name ends in a digest of the module's structure, so that another
module is refused.
"""

import copy
import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tortie.errors import UsageError
from tortie.images.preprocess import Preprocessing
from tortie.networks.entry import Entry

if TYPE_CHECKING:
    from torch import nn

    from tortie.networks.network import Network

PREFIX = "own:"
WEIGHTS = "own"
"""What the parameters that the module brings are called."""

_IMAGENET = Preprocessing(
    resize=256,
    height=224,
    width=224,
    interpolation="bilinear",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
)


@dataclass(frozen=True)
class OwnNetwork:
    """A module of PyTorch that a classifier is fitted on.

    Attributes:
        module: takes normalised images ``(N, C, H, W)`` and yields logits; it is copied, never
            changed.
        stages: names of the modules after which a stage ends, in order (``layer1``,
            ``features.3``); ``None`` for the module's named children.
        head: name of the last linear layer; ``None`` for the last one that there is.
        preprocessing: how an image becomes its input; by default that of a network of tortie's
            table, and else that of torchvision's networks, 224×224.
    """

    module: "nn.Module"
    stages: Sequence[str] | None = None
    head: str | None = None
    preprocessing: Preprocessing | None = None

    @property
    def input(self) -> Preprocessing:
        """How an image becomes its input."""
        return self.preprocessing or getattr(self.module, "preprocessing", None) or _IMAGENET

    @property
    def name(self) -> str:
        """``own:CLASS-DIGEST``, what a classifier's file calls it."""
        parts = [repr(self.module), *map(str, self.stages or ()), self.head or ""]
        parts += [f"{name} {tuple(one.shape)}" for name, one in self.module.state_dict().items()]
        parts.append(self.input.key())
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
        return f"{PREFIX}{type(self.module).__name__}-{digest}"


_known: dict[str, OwnNetwork] = {}


def register(given: "nn.Module | OwnNetwork") -> str:
    """Make a module known by its name to this process, as it is now; the name."""
    from torch import nn

    own = given if isinstance(given, OwnNetwork) else OwnNetwork(given)
    if not isinstance(own.module, nn.Module):
        raise UsageError(f"network: expected an nn.Module, such as MODULE(), not {own.module!r}")
    name = own.name
    if name not in _known or _known[name].module is not own.module:
        _check(own)
    _known[name] = own
    return name


_heads: "dict[str, nn.Module]" = {}


def not_given(kind: str, name: str, given: str | None) -> str:
    """That a network or a head of a user's own is missing, or that another was given.

    Args:
        kind: ``network`` or ``head``.
        name: what the file calls it.
        given: the name of what was given; ``None`` where nothing was.
    """
    if given is not None:
        return (
            f"the {kind} is {name}, and the module given is {given}: its layers, their sizes or "
            "its preprocessing differ from those that it was fitted with"
        )
    return (
        f"{name} is a {kind} of somebody's own, which no file holds: give its module, as in "
        f"tortie.load(FILE, {kind}=MODULE); the command line cannot"
    )


def register_head(given: "nn.Module | Sequence[nn.Module]") -> str:
    """Make a head, or a list of layers, known by its name to this process; the name."""
    from torch import nn

    layers = [given] if isinstance(given, nn.Module) else given
    if isinstance(layers, str) or not all(isinstance(one, nn.Module) for one in layers):
        raise UsageError(f"head: expected an nn.Module or a list of them, not {given!r}")
    head = given if isinstance(given, nn.Module) else nn.Sequential(*given)
    parts = [repr(head), *(f"{name} {tuple(one.shape)}" for name, one in head.state_dict().items())]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
    name = f"{PREFIX}{type(head).__name__}-{digest}"
    _heads[name] = head
    return name


def put_own_head(network: "Network", name: str, classes: int) -> None:
    """Put a copy of a head that was given in place of a network's.

    Raises:
        UsageError: none of that name was given to this process, or it yields something else than a
            logit for each class.
    """
    import torch

    if name not in _heads:
        raise UsageError(not_given("head", name, None))
    network.new_head(classes)
    head, features = copy.deepcopy(_heads[name]), network.feature_count
    try:
        with torch.inference_mode():
            found = tuple(head.to("cpu").eval()(torch.zeros(2, features, device="cpu")).shape)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the head does not take features (2, {features}): {reason}") from None
    if found != (2, classes):
        raise UsageError(
            f"the head yields {found} of features (2, {features}): expected (2, {classes}), a "
            "logit for each class"
        )
    meta = torch.get_default_device().type == "meta"
    network.head = head.to("meta") if meta else head.train(network.training)


def find_own(name: str) -> Entry:
    """What the table of networks would say of a module that was given.

    Raises:
        UsageError: none of that name was given to this process.
    """
    if name not in _known:
        raise UsageError(not_given("network", name, None))
    return Entry(
        name=name,
        builder="tortie.networks.own:build_own",
        paper="a module that was given",
        year=None,
        preprocessing=_known[name].input,
        preprocessing_source="as it was given",
        arguments={"model": name},
        weights={WEIGHTS: name},
    )


def build_own(model: str, classes: int | None = None) -> "Network":
    """A copy of a module that was given, as stages and a head.

    Args:
        model: its name.
        classes: length of the logits; by default the module's. Another gives fresh parameters of
            all layers, as where a fit begins without weights.

    Raises:
        UsageError: it cannot be cut into stages and a linear head.
    """
    import torch

    network = _cut(_known[model])
    if classes is not None:
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        network.new_head(classes)
    if torch.get_default_device().type == "meta":
        network = network.to("meta")
    return network


def own_tensors(name: str) -> dict[str, Any]:
    """The parameters that the module brought, by the names of its stages."""
    return _cut(_known[name]).state_dict()


def _cut(own: OwnNetwork) -> "Network":
    from tortie.networks.network import Network
    from tortie.networks.tracing import trace_stages

    if isinstance(own.module, Network):
        return copy.deepcopy(own.module)
    module = copy.deepcopy(own.module).to("cpu")
    head = own.head or _last_linear(module)
    ends = own.stages or [name for name, _ in module.named_children()]
    known = dict(module.named_modules())
    if missing := [name for name in ends if name not in known]:
        names = list(filter(None, known))
        close = difflib.get_close_matches(missing[0], names, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names[:20])}"
        raise UsageError(f"{type(module).__name__} has no module {missing[0]!r}: {hint}")
    try:
        traced = trace_stages(module, [name for name in ends if name != head], head)
    except UsageError as error:
        reason = " ".join(str(error).split())
        name_them = "; name them, as in OwnNetwork(module, stages=['layer1', 'layer2'], head='fc')"
        raise UsageError(
            f"{type(module).__name__} cannot be cut into stages and a head: {reason}"
            + ("" if own.stages else name_them)
        ) from None
    wanted = own.input
    return Network(traced.stages, traced.head, wanted.shape, fixed_size=True)


def _last_linear(module: "nn.Module") -> str:
    from torch import nn

    names = [name for name, one in module.named_modules() if isinstance(one, nn.Linear)]
    if not names:
        raise UsageError(f"{type(module).__name__} has no linear layer, which its head would be")
    return names[-1]


def _check(own: OwnNetwork) -> None:
    """Refuse a module whose parts do not compute what it computes."""
    import torch

    network, whole = _cut(own).eval(), copy.deepcopy(own.module).to("cpu").eval()
    height, width, channels = own.input.shape
    images = torch.linspace(-1, 1, 2 * channels * height * width).view(2, channels, height, width)
    try:
        with torch.inference_mode():
            expected, found = whole(images), network(images)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{type(whole).__name__} does not take images {tuple(images.shape)}: give its size, as "
            f"in OwnNetwork(module, preprocessing=Preprocessing(...)) ({reason})"
        ) from None
    if not torch.allclose(expected, found, atol=1e-3, rtol=1e-3):
        raise UsageError(f"{type(whole).__name__}: its stages and head compute something else")
