"""Predictions of photographs that are in memory, on the thread that asks and without the store.

What a server needs: an answer soon, nothing kept. The decode,
the engine, the head, the temperature and the distance are those of every other prediction.
"""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tortie.activations.engine import BATCH
from tortie.evaluation.crops import Crops, crop_views
from tortie.evaluation.novelty import Novelty
from tortie.evaluation.predict import Member, MemberPredictions, Predictions, combined
from tortie.images import Decoded, Source, UnreadableImage, decode
from tortie.images.preprocess import Preprocessing
from tortie.images.unreadable import reason_of

_Seen = tuple[Preprocessing, bool]
"""What decides the pixels that a member sees: its preprocessing, and whether it is mirrored."""


class LivePredictor:
    """Predicts photographs in memory; any number of threads may call it at once.

    PyTorch's operators take as many threads as the calling thread lets them:
    :func:`tortie.activations.extract.multiply_alone` sets a thread of one's own up.

    Args:
        members: networks whose probabilities are averaged.
        temperature: that the logarithm of the mean is divided by.
        crops: of each photograph that are averaged.
        novelty: tells how far photographs are from the training photographs; ``None`` to say
            nothing.
        max_pixels: the largest image that is decoded.
    """

    def __init__(
        self,
        members: Sequence[Member],
        temperature: float,
        crops: Crops,
        novelty: Novelty | None,
        max_pixels: int,
    ) -> None:
        self._members = members
        self._temperature = temperature
        self._novelty = novelty
        self._max_pixels = max_pixels
        self._views = {seen: crop_views(seen[0], crops, seen[1]) for seen in map(_seen_by, members)}
        self._preparing = threading.Lock()

    def prepare(self) -> None:
        """Make the engines ready, and run each once; the first call does it otherwise."""
        with self._preparing:  # an engine that two threads make is made twice
            for member in self._members:
                assert member.extractor.engine
        wanted = self._members[0].extractor.preprocessing
        self([np.zeros((wanted.height, wanted.width, 3), np.uint8)])

    def __call__(self, sources: Sequence[Source]) -> Predictions:
        """Predictions of photographs, at best as many as a batch has, computed on this thread.

        One that cannot be read has a reason. At any moment one photograph alone is there in its
        full size.
        """
        inputs = [self._inputs(source) for source in sources]
        each = [self._predict_member(number, inputs) for number in range(len(self._members))]
        return combined(each, self._temperature, self._novelty)

    def _inputs(self, source: Source) -> dict[_Seen, NDArray[np.uint8] | str]:
        """The pixels ``(views, H, W, C)`` that the members see of a photograph, or why none."""
        inputs: dict[_Seen, NDArray[np.uint8] | str] = {}
        for at_least in {preprocessing.at_least for preprocessing, _ in self._views}:
            decoded = self._decode(source, at_least)
            for seen, views in self._views.items():
                if seen[0].at_least != at_least:
                    continue
                if isinstance(decoded, str):
                    inputs[seen] = decoded
                else:  # crops draw nothing, and need no hash of the photograph for it
                    inputs[seen] = np.array([view.pixels(decoded, "") for view in views])
            del decoded  # before the next one is made
        return inputs

    def _predict_member(
        self, number: int, inputs: Sequence[dict[_Seen, NDArray[np.uint8] | str]]
    ) -> MemberPredictions:
        """What one member says."""
        member = self._members[number]
        novelty = None if number else self._novelty
        predictions = MemberPredictions.empty(len(inputs), member.network.classes, novelty)
        pixels, rows = [], []
        for row, each in enumerate(inputs):
            seen = each[_seen_by(member)]
            if isinstance(seen, str):
                predictions.reasons[row] = seen
                continue
            pixels.append(seen)
            rows.append(row)
        if rows:
            features = self._features(member, np.array(pixels))
            predictions.keep(member.network, features, np.array(rows), novelty)
            predictions.computed = len(rows)
        return predictions

    def _decode(self, source: Source, at_least: int) -> Decoded | str:
        try:
            return decode(source, at_least=at_least, max_pixels=self._max_pixels)
        except (UnreadableImage, MemoryError) as error:
            return reason_of(error)

    def _features(self, member: Member, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Activations ``(n, views, ...)`` of pixels ``(n, views, H, W, C)``."""
        with self._preparing:
            engine = member.extractor.engine
        flat = pixels.reshape(-1, *pixels.shape[2:])
        parts = [engine(part) for part in np.split(flat, range(BATCH, len(flat), BATCH))]
        return np.concatenate(parts).reshape(*pixels.shape[:2], *parts[0].shape[1:])


def _seen_by(member: Member) -> _Seen:
    return member.extractor.preprocessing, member.mirror
