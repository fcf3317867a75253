"""What the table of networks says of each network, and how it is built from that."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tortie.errors import UsageError
from tortie.images.preprocess import Preprocessing
from tortie.networks.figures import FIGURES, Figures

if TYPE_CHECKING:
    from tortie.networks.network import Network


@dataclass(frozen=True)
class Published:
    """An error that a paper prints, with the protocol it was measured by.

    Attributes:
        top1: error in percent, or ``None`` where it is not printed.
        top5: error in percent, or ``None`` where it is not printed.
        protocol: data and crops.
        source: where it is printed.
    """

    top1: float | None
    top5: float | None
    protocol: str
    source: str


@dataclass(frozen=True)
class Entry:
    """A network of the table, or of a library.

    Attributes:
        name: its name on the command line, hyphenated.
        builder: ``module:function`` of the function that builds it; it takes ``classes``.
        paper: authors, title, venue.
        year: of the paper; ``None`` where it is not known.
        preprocessing: how an image becomes its input.
        preprocessing_source: whose preprocessing that is, and why.
        code: revision of the code of its stages; raised when what they compute changes, so that
            stored activations of the old code are not taken for those of the new.
        arguments: named arguments that make this variant of the builder.
        published: errors that papers print.
        weights: where its trained parameters are, by name (``imagenet``).
        timm: what timm calls it, where that is another name.
        sibling: the variant that has trained parameters, where this one has none.
        mirror: whether a mirrored image keeps its class (not so for digits and letters).
        given: those of ``arguments`` that a user gave in place of the table's.
    """

    name: str
    builder: str
    paper: str
    year: int | None
    preprocessing: Preprocessing
    preprocessing_source: str
    code: int = 1
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    published: tuple[Published, ...] = ()
    weights: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    timm: str | None = None
    sibling: str | None = None
    mirror: bool = True
    given: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def title(self) -> str:
        """Its name with the arguments that were given: ``lenet5(pooling=average)``."""
        return titled(self.name, self.given)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which take no mapping that is read-only."""
        return {
            name: dict(value) if isinstance(value, MappingProxyType) else value
            for name, value in vars(self).items()
        }

    @property
    def default_weights(self) -> str | None:
        """The name of its trained parameters: ``imagenet`` where it has those, else the first."""
        return "imagenet" if "imagenet" in self.weights else next(iter(self.weights), None)

    def named_weights(self, weights: str) -> str:
        """The name of weights of the table that somebody has as a file; others as they are."""
        file = PurePath(weights).name
        same = (name for name, source in self.weights.items() if PurePath(source).name == file)
        return next(same, weights)

    @property
    def parameters(self) -> int | None:
        """Trained values that inference uses; ``None`` for a network that has no figures."""
        return self._figures.parameters if self._figures else None

    @property
    def multiplications(self) -> int | None:
        """Of convolutions and linear layers for one image of the paper's size."""
        return self._figures.multiplications if self._figures else None

    @property
    def stages(self) -> tuple[str, ...] | None:
        """Names of the stages, from the input; ``None`` for a network that has no figures."""
        return self._figures.stages if self._figures else None

    @property
    def _figures(self) -> Figures | None:
        """Figures of the table's network; with other arguments it is another network."""
        return None if self.given else FIGURES.get(self.name)

    def document(self) -> dict[str, Any]:
        """What the table says, JSON's types only."""
        return {
            "name": self.name,
            "paper": self.paper,
            "year": self.year,
            "input": list(self.preprocessing.shape),
            "preprocessing": self.preprocessing.model_dump(mode="json")
            | {"source": self.preprocessing_source},
            "parameters": self.parameters,
            "multiplications": self.multiplications,
            "published": [asdict(error) for error in self.published],
            "weights": list(self.weights),
            "sibling": self.sibling,
            "stages": list(self.stages) if self.stages else None,
        }

    def build(self, **arguments: Any) -> "Network":
        """The network with fresh parameters, drawn from torch's generator.

        Raises:
            UsageError: a number of classes that is none.
        """
        classes = arguments.get("classes", 1)
        if not isinstance(classes, Integral) or classes < 1:
            raise UsageError(f"classes is {classes!r}: expected a whole number from 1 on")
        module, function = self.builder.split(":")
        builder: Callable[..., Network] = getattr(importlib.import_module(module), function)
        network = builder(**{**self.arguments, **arguments})
        if network.input_shape == self.preprocessing.shape:
            network.preprocessing = self.preprocessing
        return network


def titled(name: str, given: Mapping[str, Any]) -> str:
    """The text of a network and its arguments, as ``--network`` takes it."""
    listed = ", ".join(f"{key}={value}" for key, value in given.items())
    return f"{name}({listed})" if given else name
