"""What is known of a classifier that is fitted or loaded, and how it is shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.estimator import Estimator
from tortie.evaluation.member import MemberNetwork
from tortie.evaluation.novelty import Novelty
from tortie.evaluation.prediction_sets import PredictionSets
from tortie.images.class_names import names_in_line
from tortie.images.labels import labels_of
from tortie.images.preprocess import Preprocessing
from tortie.networks.arguments import network_of
from tortie.weights.classifier_metadata import Accuracy, Metadata

if TYPE_CHECKING:
    from tortie.learning.result import FitResult
    from tortie.networks.network import Network


class DescribedClassifier(Estimator):
    """Classes, accuracy, networks: what a classifier's file says, read by its properties.

    Attributes:
        fitted_: all that ``fit`` made and measured; ``None`` where the classifier was loaded.
    """

    crops: int

    fitted_: "FitResult | None" = None
    _metadata: Metadata | None = None
    _parts: Sequence[MemberNetwork] = ()
    _novelty: Novelty | None = None
    _sets: dict[str, PredictionSets] = {}  # noqa: RUF012 (replaced, never changed)
    _training_sha256: NDArray[np.uint8] | None = np.zeros((0, 32), np.uint8)

    @property
    def metadata(self) -> Metadata:
        """What the classifier's file says of it.

        Raises:
            UsageError: it is not fitted yet.
        """
        if self._metadata is None:
            raise self._not_fitted()
        return self._metadata

    @property
    def member_networks(self) -> Sequence[MemberNetwork]:
        """The trained networks, whose probabilities are averaged."""
        return self._parts

    @property
    def network_(self) -> "Network":
        """The trained network, an ``nn.Module`` in evaluation mode.

        Raises:
            UsageError: it is not fitted yet, or is an ensemble, whose networks ``networks_`` has.
        """
        found = self.networks_
        if len(found) > 1:
            raise UsageError(f"an ensemble of {len(found)} networks: networks_ has all of them")
        return found[0]

    @property
    def networks_(self) -> "list[Network]":
        """The trained networks, whose probabilities are averaged; each an ``nn.Module``.

        Raises:
            UsageError: it is not fitted yet.
        """
        return [part.network for part in self._parts] if self.metadata else []

    @property
    def preprocessing_(self) -> Preprocessing:
        """How an image becomes the input of the first network; ``.transform()`` is for loaders.

        Raises:
            UsageError: it is not fitted yet.
        """
        return self.metadata.members[0].preprocessing

    @property
    def novelty(self) -> Novelty | None:
        """What tells how far a photograph is from the training photographs, where it was fitted."""
        return self._novelty

    @property
    def training_sha256(self) -> NDArray[np.uint8]:
        """SHA-256 of the training photographs ``(n, 32)``; none where the file does not say."""
        told = self._training_sha256
        return np.zeros((0, 32), np.uint8) if told is None else told

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, of the type that was learnt, in the order of the probabilities."""
        return labels_of(self.metadata.classes, self.metadata.label_type)

    @property
    def accuracy_(self) -> Accuracy | None:
        """Measured share of right answers with its 95% interval; ``None`` if too little to tell."""
        return self.metadata.accuracy

    def __repr__(self) -> str:
        """What it knows, once it is fitted; until then its arguments."""
        if self._metadata is None:
            return super().__repr__()
        from tortie.evaluation.notebook import stored_accuracy_line

        line = stored_accuracy_line(self._metadata)
        names = names_in_line(self._metadata.classes)
        return f"<{type(self).__name__}: {names}; {line}; {', '.join(self._titles)}>"

    def _repr_html_(self) -> str:
        from tortie.evaluation.notebook import NotebookCard, classifier_card

        if self._metadata is None:
            return NotebookCard(super().__repr__(), ["not fitted yet"]).html()
        return classifier_card(self._metadata, self._titles).html()

    @property
    def _titles(self) -> list[str]:
        """The networks, each with its arguments."""
        return [network_of(member).title for member in self.metadata.members]

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it is fitted, as scikit-learn's ``check_is_fitted`` asks."""
        return self._metadata is not None

    @property
    def prediction_sets(self) -> PredictionSets | None:
        """What sets for this number of crops are made from; ``None`` where there is too little."""
        return self._sets.get(str(self.crops))

    @property
    def temperature(self) -> float:
        """What log-probabilities are divided by: that of ``crops``, or of one where it has none."""
        own = self.metadata.temperature
        return own.get(str(self.crops), own.get("1", 1.0))
