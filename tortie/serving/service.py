"""The classifier behind the server: loaded and warmed beside the first requests, then asked."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from tortie.evaluation.novelty import STRANGE
from tortie.evaluation.prediction import Prediction, to_predictions
from tortie.processes import core_count
from tortie.serving.batcher import Batcher
from tortie.serving.limits import Limits, busy
from tortie.serving.metrics import ServerMetrics

if TYPE_CHECKING:
    from tortie.classifier import ImageClassifier
    from tortie.evaluation.activation_maps import ActivationMap
    from tortie.evaluation.live import LivePredictor


@dataclass(frozen=True)
class Question:
    """A photograph, and what is asked of it.

    Attributes:
        content: the bytes of its file.
        activation_map: whether a class activation map is wanted.
    """

    content: bytes
    activation_map: bool = False


@dataclass(frozen=True)
class Answer:
    """What the classifier says of a photograph.

    Attributes:
        prediction: without rejection.
        activation_map: where it was asked for and the network has one.
    """

    prediction: Prediction
    activation_map: "ActivationMap | None" = None


_TOLD = ("seed", "splits", "penalty", "calibration")
"""What ``/model`` tells of the record of the fit: nothing that names a file, as its notes do."""


class Service:
    """A classifier that is loaded in a thread, and then predicts in batches.

    Args:
        name: of the classifier, for a person.
        load: gives the classifier, in that thread.
        limits: of the queue.
        threads: that predict; ``None`` for one per core.
        failed: called in the loading thread where loading fails; the error is in ``error``.
    """

    def __init__(
        self,
        name: str,
        load: "Callable[[], ImageClassifier]",
        limits: Limits,
        threads: int | None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.metrics = ServerMetrics(lambda: self.waiting, lambda: self.ready)
        self.error: BaseException | None = None
        self._load = load
        self._seconds = limits.seconds
        self._failed = failed
        self._live: LivePredictor | None = None
        self._classifier: ImageClassifier | None = None
        self._maps = threading.Lock()
        self._batcher: Batcher[Question, Answer] = Batcher(
            self._predict, threads or core_count(), limits.queue, self.metrics.batch
        )
        self._loader = threading.Thread(target=self._begin, name="tortie-load", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._loader.start()

    def close(self) -> None:
        """Answer what waits, and stop.

        What is being loaded is waited for, as long as a client would be: a process that ends
        while an engine is made ends in an abort.
        """
        self._batcher.close()
        if self._loader.is_alive() and threading.current_thread() is not self._loader:
            self._loader.join(self._seconds)

    @property
    def ready(self) -> bool:
        """Whether the classifier is loaded and has predicted once."""
        return self._live is not None

    @property
    def classifier(self) -> "ImageClassifier":
        """The classifier.

        Raises:
            Refusal: it is not ready.
        """
        if self._classifier is None or self._live is None:
            raise busy("the classifier is being loaded")
        return self._classifier

    def check_room(self) -> None:
        """Check that a photograph could wait now.

        Raises:
            Refusal: the classifier is not ready, or the queue is full.
        """
        assert self.classifier
        self._batcher.check_room()

    @property
    def waiting(self) -> int:
        """Photographs that wait for their turn."""
        return self._batcher.waiting

    def ask(self, questions: Sequence[Question]) -> "Sequence[Any]":
        """Futures of the :class:`Answer` of each photograph.

        Raises:
            Refusal: the queue is full.
        """
        return self._batcher.submit(questions)

    def model(self) -> dict[str, Any]:
        """What the classifier is, and how good: no path, no photograph's name.

        Raises:
            Refusal: it is not ready.
        """
        metadata = self.classifier.metadata
        training = metadata.training
        members = [
            one.model_dump(mode="json", include={"network", "head", "frozen", "precision"})
            | {
                "weights": one.weights and _named(one.weights),
                "input": [one.preprocessing.height, one.preprocessing.width],
            }
            for one in metadata.members
        ]
        return {
            "name": self.name,
            "tortie": metadata.tortie,
            "classes": list(metadata.classes),
            "accuracy": metadata.accuracy and metadata.accuracy.model_dump(mode="json"),
            "accuracy_reason": metadata.accuracy_reason,
            "temperature": self.classifier.temperature,
            "crops": self.classifier.crops,
            "strange_percentile": STRANGE,
            "networks": members,
            "training": {name: training[name] for name in _TOLD if name in training},
        }

    def _begin(self) -> None:
        try:
            self._classifier = self._load()
            self._live = self._classifier.live()
        except BaseException as error:  # whatever it is, the main thread raises it
            self.error = error
            self._failed()

    def _predict(self, questions: Sequence[Question]) -> list[Answer]:
        """One batch, in one of the threads."""
        assert self._live is not None and self._classifier is not None
        contents = [one.content for one in questions]
        classes = self._classifier.metadata.classes
        predictions = to_predictions(contents, self._live(contents), classes)
        return [
            Answer(
                replace(prediction, source=b""),  # the photograph is not needed any more
                self._map(question, prediction) if question.activation_map else None,
            )
            for question, prediction in zip(questions, predictions, strict=True)
        ]

    def _map(self, question: Question, prediction: Prediction) -> "ActivationMap | None":
        """Where the network saw what speaks for the most probable class."""
        assert self._classifier is not None
        if prediction.class_name is None:
            return None
        with self._maps:  # torch's modules are made at the first of them
            return self._classifier.activation_map(question.content, prediction.class_name)


def _named(weights: str) -> str:
    """Where a network's parameters began: published weights by their name, a file as a file."""
    plain = PurePath(weights).name == weights and not PurePath(weights).suffix
    return weights if plain and "\\" not in weights else "a file"
