"""The contract every network keeps: named stages, then a head.

A network is ``stages``, an ordered sequence named as in its paper, followed by ``head``, the last
trainable map. The last stage yields one vector an image, ``(N, D)``; the head turns it into logits,
``(N, classes)``. Freezing, cutting, counting and drawing speak of stages and of nothing else.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor, nn

from tortie.errors import UsageError
from tortie.images.preprocess import Preprocessing
from tortie.networks.stage_names import stage_number


def check_images(images: Tensor, input_shape: tuple[int, int, int], fixed_size: bool) -> None:
    """Refuse what cannot be the input of a network.

    Args:
        images: ``(N, C, H, W)``.
        input_shape: ``(height, width, channels)`` that the network draws.
        fixed_size: whether height and width must be those.

    Raises:
        UsageError: what was given, and what was expected.
    """
    if torch.jit.is_tracing():  # the tracer would take each comparison for a branch
        return
    height, width, channels = input_shape
    given = tuple(images.shape)
    wrong = len(given) != 4 or given[1] != channels
    if wrong or (fixed_size and given[2:] != (height, width)):
        size = f"{height}, {width}" if fixed_size else "height, width"
        raise UsageError(
            f"images of shape {given}: the network takes (images, {channels}, {size})"
            + (", a size that its parameters fix" if fixed_size else "")
        )


torch.fx.wrap("check_images")  # a call in a traced graph, not a branch to follow


class TrainedPart(nn.Module):
    """Named stages and a head: what is left of a network after a cut.

    Args:
        stages: stages in order.
        head: maps what the last stage yields to logits, ``(N, classes)``.
        side_heads: heads that hang from the stages they are named after and are used in training
            only; each maps what its stage yields to logits.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: nn.Module,
        side_heads: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(OrderedDict(stages))
        self.head = head
        self.side_heads = nn.ModuleDict(side_heads or {})

    _frozen: frozenset[str] = frozenset()

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, from the input to the head."""
        return tuple(name for name, _ in self.stages.named_children())

    @property
    def frozen_stages(self) -> tuple[str, ...]:
        """Names of the frozen stages, from the input."""
        return tuple(name for name in self.stage_names if name in self._frozen)

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the frozen stages, which stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen_stages:
            self.stages.get_submodule(name).eval()
        return self

    def forward(self, activations: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of what the stage before the cut yields."""
        return self.head(self.stages(activations))

    def forward_with_sides(self, activations: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of the head, and those of each side head by the name of its stage."""
        sides = {}
        for name, stage in self.stages.named_children():
            activations = stage(activations)
            if name in self.side_heads:
                sides[name] = self.side_heads[name](activations)
        return self.head(activations), sides


class Network(TrainedPart):
    """A convolutional network as a sequence of named stages and a head.

    Args:
        stages: stages in order; the last one ends in ``(N, D)``.
        head: maps ``(N, D)`` to logits, ``(N, classes)``.
        input_shape: ``(height, width, channels)`` of the input that the paper draws.
        fixed_size: whether parameters, such as those of a linear layer, fix the height and width
            of ``input_shape``; images of another size are then refused.
        side_heads: heads that hang from the stages they are named after, used in training only.
        side_weight: the weight of each side head's loss beside the head's.

    Attributes:
        notes: what to know of where its parameters began; ``print`` shows them.
        head_is_new: whether the stages have trained parameters and the head has fresh ones.
        aliases: of a network taken from a library: the library's name of each of its tensors, and
            the name here, empty for one that inference does not read.
        channels_last: whether maps between its stages are ``(N, H, W, C)``.
        preprocessing: how an image becomes its input; ``None`` where it was built for another input
            than the table's.
    """

    notes: tuple[str, ...] = ()
    head_is_new: bool = False
    aliases: Mapping[str, str] = MappingProxyType({})
    channels_last: bool = False
    preprocessing: Preprocessing | None = None

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: nn.Module,
        input_shape: tuple[int, int, int],
        fixed_size: bool = False,
        side_heads: Mapping[str, nn.Module] | None = None,
        side_weight: float = 0.0,
    ) -> None:
        super().__init__(stages, head, side_heads)
        self.input_shape = input_shape
        self.fixed_size = fixed_size
        self.side_weight = side_weight

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of float images ``(N, C, H, W)``, preprocessed for the network.

        Raises:
            UsageError: images of other channels, or of another size where a linear layer fixes it.
        """
        check_images(images, self.input_shape, self.fixed_size)
        return super().forward(images)

    def forward_with_sides(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of the head, and those of each side head by the name of its stage.

        The loss of training is the head's plus ``side_weight`` times each side head's.
        """
        check_images(images, self.input_shape, self.fixed_size)
        return super().forward_with_sides(images)

    def extra_repr(self) -> str:
        """The notes, a line each."""
        return "\n".join(f"# {note}" for note in self.notes)

    def forward_features(self, images: Tensor) -> Tensor:
        """What the last stage yields, ``(N, D)``: one vector an image."""
        check_images(images, self.input_shape, self.fixed_size)
        return self.stages(images)

    def stage_index(self, cut: str | int) -> int:
        """Number of stages through ``cut``, a stage's name or a number of stages.

        Raises:
            UsageError: no such stage, or a number outside 0 to the number of stages.
        """
        return stage_number(cut, self.stage_names)

    def cut(self, after: str | int) -> tuple[nn.Sequential, TrainedPart]:
        """The network in two halves that share its parameters; joined, they equal the whole.

        Args:
            after: the last stage of the first half, by name, or the number of its stages.

        Returns:
            ``(prefix, rest)``: the stages through ``after``, and the other stages with the
            head and the side heads that hang after the cut (one that hangs from the cut itself
            could not train any stage). ``rest(prefix(images))`` equals ``network(images)``.
        """
        index = self.stage_index(after)
        named = list(self.stages.named_children())
        later = OrderedDict(named[index:])
        sides = {name: head for name, head in self.side_heads.items() if name in later}
        rest = TrainedPart(later, self.head, sides)
        rest._frozen = self._frozen
        return nn.Sequential(OrderedDict(named[:index])), rest

    def freeze(self, stages: str | int | Collection[str]) -> None:
        """Freeze stages: no gradient of their parameters, statistics and dropout at rest.

        The other stages become trainable again. :meth:`train` keeps frozen stages in evaluation
        mode, so that batch-norm statistics cannot move. A frozen stage takes its side head with it.

        Args:
            stages: the last of the frozen ones, by name, or their number, from the input; or the
                names of all of them, which need not be the first.

        Raises:
            UsageError: no such stage.
        """
        names = self.stage_names
        if isinstance(stages, str | int):
            frozen = names[: self.stage_index(stages)]
        else:
            frozen = tuple(names[self.stage_index(name) - 1] for name in stages)
        self._frozen = frozenset(frozen)
        for name, stage in self.stages.named_children():
            stage.requires_grad_(name not in frozen)
            if name in self.side_heads:
                self.side_heads[name].requires_grad_(name not in frozen)
        self.train(self.training)

    @property
    def frozen(self) -> int:
        """How many stages, counted from the input up to the first trained one, are frozen."""
        names = self.stage_names
        return next((i for i, name in enumerate(names) if name not in self._frozen), len(names))

    @property
    def classes(self) -> int:
        """Length of the logits."""
        return int(self._head_matrices()[-1].shape[0])

    @property
    def feature_count(self) -> int:
        """D, the length of the vector (or the channels of the maps) that the head sees."""
        return int(self._head_matrices()[0].shape[1])

    def _head_matrices(self) -> list[Tensor]:
        """What maps features to logits: linear layers' weights, a kernel, or fixed codes."""
        return [tensor for tensor in self.head.state_dict().values() if tensor.dim() > 1]

    @property
    def head_sees_maps(self) -> bool:
        """Whether the last stage yields maps, not a vector (Network in Network)."""
        return self._head_matrices()[0].dim() == 4

    def new_head(self, classes: int, hidden: Sequence[int] = ()) -> None:
        """Put a fresh head of ``classes`` logits in place of the head.

        Where the head saw maps (Network in Network), a last stage ``avgpool`` takes their means.
        Side heads, which speak of the old classes, are dropped.

        Args:
            classes: length of the logits.
            hidden: units of each hidden layer, with ReLU; none for a softmax layer alone.
        """
        features = self.feature_count
        if self.head_sees_maps:
            self.stages.add_module("avgpool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        layers: list[nn.Module] = []
        for units in hidden:
            layers += [nn.Linear(features, units), nn.ReLU(inplace=True)]
            features = units
        last = nn.Linear(features, classes)
        self.head = nn.Sequential(*layers, last) if layers else last
        self.side_heads = nn.ModuleDict()
