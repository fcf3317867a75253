"""The contract every network keeps: named stages, then a head.

A network is ``stages``, an ordered sequence named as in its paper, followed by ``head``, the last
trainable map. The last stage yields one vector an image, ``(N, D)``; the head turns it into logits,
``(N, classes)``. Freezing, cutting, counting and drawing speak of stages and of nothing else.
"""

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from tortie.errors import UsageError


class Network(nn.Module):
    """A convolutional network as a sequence of named stages and a head.

    Args:
        stages: stages in order; the last one ends in ``(N, D)``.
        head: maps ``(N, D)`` to logits, ``(N, classes)``.
        input_shape: ``(height, width, channels)`` of the input that the paper draws.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: nn.Module,
        input_shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(OrderedDict(stages))
        self.head = head
        self.input_shape = input_shape

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, from the input to the head."""
        return tuple(name for name, _ in self.stages.named_children())

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of float images ``(N, C, H, W)``, preprocessed for the network."""
        return self.head(self.stages(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """What the last stage yields, ``(N, D)``: one vector an image."""
        return self.stages(images)

    def stage_index(self, cut: str | int) -> int:
        """Number of stages up to and with ``cut``, a stage's name or a number of stages.

        Raises:
            UsageError: no such stage, or a number outside 0 to the number of stages.
        """
        names = self.stage_names
        if isinstance(cut, int):
            if 0 <= cut <= len(names):
                return cut
            raise UsageError(f"cannot cut after {cut} stages: the network has {len(names)}")
        if cut not in names:
            raise UsageError(f"no stage {cut!r}: the stages are {', '.join(names)}")
        return names.index(cut) + 1

    def cut(self, after: str | int) -> tuple[nn.Sequential, nn.Sequential]:
        """The network in two halves that share its parameters; joined, they equal the whole.

        Args:
            after: the last stage of the first half, by name, or the number of its stages.

        Returns:
            ``(prefix, rest)``: the stages up to and with ``after``, and the other stages with the
            head. ``rest(prefix(images))`` equals ``network(images)``.
        """
        index = self.stage_index(after)
        named = list(self.stages.named_children())
        rest = OrderedDict([*named[index:], ("head", self.head)])
        return nn.Sequential(OrderedDict(named[:index])), nn.Sequential(rest)

    def freeze(self, after: str | int) -> None:
        """Freeze the stages up to and with ``after``: no gradient, statistics and dropout at rest.

        Stages after the cut become trainable again. :meth:`train` keeps the frozen prefix in
        evaluation mode, so that batch-norm statistics cannot move.
        """
        self._frozen = self.stage_index(after)
        for position, stage in enumerate(self.stages):
            stage.requires_grad_(position >= self._frozen)
        self.train(self.training)

    _frozen: int = 0

    @property
    def frozen(self) -> int:
        """How many stages, counted from the input, are frozen."""
        return self._frozen

    def train(self, mode: bool = True) -> "Network":
        """Training mode for all but the frozen prefix, which stays in evaluation mode."""
        super().train(mode)
        for stage in list(self.stages)[: self._frozen]:
            stage.eval()
        return self

    @property
    def classes(self) -> int:
        """Length of the logits."""
        return int(self.head.get_parameter("weight").shape[0])

    @property
    def feature_count(self) -> int:
        """D, the length of the vector that the head sees."""
        return int(self.head.get_parameter("weight").shape[1])

    def new_head(self, classes: int) -> None:
        """Put a fresh linear head of ``classes`` logits in place of the head."""
        self.head = nn.Linear(self.feature_count, classes)
