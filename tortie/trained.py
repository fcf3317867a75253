"""A trained classifier: what is known of it, and what it says of photographs."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.activations.engine import choose, chosen_precision
from tortie.activations.store import ActivationStore
from tortie.classifier_description import DescribedClassifier
from tortie.errors import TortieError, UsageError, short_traceback
from tortie.evaluation import file_graphs
from tortie.evaluation.prediction import Evaluation, PredictionList, to_predictions
from tortie.evaluation.prediction_sets import arrays_of, check_confidence
from tortie.files import check_output, together
from tortie.images import Source, hash_all
from tortie.images.inputs import Images, Labels, labelled, named, unlabelled
from tortie.learning.options import FitOptions
from tortie.networks.arguments import network_of
from tortie.processes import core_count
from tortie.text import quoted
from tortie.watched import progress_of
from tortie.weights import classifier_file

if TYPE_CHECKING:
    from tortie.evaluation.activation_maps import ActivationMap
    from tortie.evaluation.live import LivePredictor
    from tortie.evaluation.predict import Member, Predictions

Progress = Callable[[int, int], None]


class TrainedClassifier(DescribedClassifier):
    """What an :class:`~tortie.ImageClassifier` does once it is fitted or loaded."""

    device: str
    precision: str
    engine: str
    threads: int | None
    max_megapixels: float
    splits: str

    fit: Callable[..., "TrainedClassifier"]
    _members: "list[Member] | None" = None

    @short_traceback
    def classify(
        self,
        images: Images,
        progress: Progress | None = None,
        *,
        reject_below: float = 0.0,
        confidence: float | None = None,
    ) -> PredictionList:
        """What the classifier says of each photograph; one that cannot be read has a reason.

        Args:
            images: files, folders, or images in memory.
            progress: told images done and images in all; by default a bar where somebody watches.
            reject_below: a photograph whose most probable class has less gets no label.
            confidence: percent of new photographs, of the same kind as those it was calibrated on,
                whose ``prediction_set`` holds the right class; ``None`` for no sets.

        Raises:
            UsageError: something that is no image, or no probability; a confidence for which too
                few photographs were held out of training.
        """
        if not 0 <= reject_below <= 1:
            raise UsageError(f"reject_below is {reject_below}: a probability is between 0 and 1")
        sets = self.prediction_sets
        if confidence is not None:
            check_confidence(sets, confidence, self.crops)
        sources = unlabelled(images)
        found = self._predict(sources, progress)
        held = None
        if sets is not None and confidence is not None:
            held = sets.of(found.uncalibrated, confidence)
        classes, kind = self.metadata.classes, self.metadata.label_type
        return to_predictions(sources, found, classes, reject_below, held, kind)

    @short_traceback
    def live(self) -> "LivePredictor":
        """A predictor for a server: on the calling thread, without the store, ready at once.

        Raises:
            UsageError: a device, precision or engine that is not there.
        """
        from tortie.evaluation.live import LivePredictor

        members, options = self._ready(), self._options
        predictor = LivePredictor(
            members, self.temperature, options.crops, self._novelty,
            int(self.max_megapixels * 1e6),
        )  # fmt: skip
        predictor.prepare()
        return predictor

    @short_traceback
    def check_arguments(self) -> None:
        """Check that it can predict as its arguments say, before anything is predicted.

        Raises:
            UsageError: an invalid value; a device, precision or engine that is not there.
        """
        self._ready()

    @short_traceback
    def activation_map(self, image: Source, label: object) -> "ActivationMap | None":
        """Where the first network saw in an image what speaks for a class.

        Args:
            image: a file, the bytes of one, or an image in memory.
            label: of the class, or its name.

        Returns:
            ``None`` where the image cannot be read, or the network does not end in global average
            pooling and a linear map.

        Raises:
            UsageError: no such class.
        """
        from tortie.evaluation.activation_maps import live_activation_map

        name = str(label)
        if name not in self.metadata.classes:
            raise UsageError(f"no class {quoted(name)}")
        last = self._parts[0].last_maps
        if last is None:
            return None
        extractor = self._ready()[0].extractor
        return live_activation_map(last, extractor, image, self.metadata.classes.index(name))

    @short_traceback
    def predict_proba(self, images: Images) -> NDArray[np.float32]:
        """Probabilities ``(N, K)``, float32, rows add to one, columns in the order of ``classes_``.

        Raises:
            TortieError: a photograph cannot be read; :meth:`classify` goes on past such.
        """
        sources = unlabelled(images) if self.metadata else []
        found = self._predict(sources)
        for position, reason in sorted(found.reasons.items()):
            raise TortieError(f"{named(sources[position], position)}: {reason}")
        return found.probabilities

    def predict_log_proba(self, images: Images) -> NDArray[np.float32]:
        """The logarithm of :meth:`predict_proba`, in nats ``(N, K)``, float32."""
        with np.errstate(divide="ignore"):  # of a probability too small for float32: minus infinity
            logarithms: NDArray[np.float32] = np.log(self.predict_proba(images))
        return logarithms

    @short_traceback
    def predict(self, images: Images) -> NDArray[Any]:
        """The most probable label of each photograph, ``(N,)``, of the type that was learnt.

        Raises:
            TortieError: a photograph cannot be read; :meth:`classify` goes on past such.
        """
        return self.classes_[self.predict_proba(images).argmax(axis=1)]

    @short_traceback
    def transform(self, images: Images) -> NDArray[np.float32]:
        """What the networks' last stages make of photographs, float32 ``(N, D)``.

        These vectors, which the softmax layer sees, come from the store or are computed. Of an
        ensemble, those of its networks stand side by side. After ``set_output`` they are a table.

        Raises:
            TortieError: a photograph cannot be read.
        """
        from tortie.feature_extraction import extract

        sources = unlabelled(images) if self.metadata else []
        with self._lock:
            members = self._ready()
        with progress_of("photographs", None) as told:
            found = [extract(one.extractor, sources, self._threads, told) for one in members]
        features = np.concatenate(
            [one.reshape(len(one), int(np.prod(one.shape[1:]))) for one in found], 1
        )
        return self._contained(features, self.get_feature_names_out().tolist())

    def fit_transform(self, images: Images, labels: Labels | None = None, **choices: Any) -> Any:
        """:meth:`fit`, and :meth:`transform` of the same photographs, as a pipeline calls it."""
        return self.fit(images, labels, **choices).transform(images)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """A name for each column of :meth:`transform`: the network's, and a number."""
        names = [
            f"{title}_{number}"
            for title, part in zip(self._titles, self._parts, strict=True)
            for number in range(int(np.prod(part.prefix.output)))
        ]
        return np.array(names, dtype=object)

    @short_traceback
    def score(
        self,
        images: Images,
        labels: Labels | None = None,
        sample_weight: Iterable[float] | None = None,
    ) -> float:
        """Share of right answers, 0 to 1, on photographs that were not trained on.

        Args:
            images: as :meth:`fit` takes them.
            labels: of the images, where these are a sequence.
            sample_weight: what each image of a sequence counts.

        Raises:
            TortieError: there is no such photograph; :meth:`evaluate` says more.
        """
        evaluation = self.evaluate(images, labels, sample_weight=sample_weight)
        if evaluation.scores is None:
            raise TortieError(f"no accuracy: {evaluation.reason}")
        return evaluation.scores.accuracy.value

    @short_traceback
    def evaluate(
        self,
        images: Images,
        labels: Labels | None = None,
        progress: Progress | None = None,
        *,
        sample_weight: Iterable[float] | None = None,
    ) -> Evaluation:
        """Every figure on labelled photographs; those that were trained on are not counted.

        Args:
            images: as :meth:`fit` takes them. Of a folder with splits, the test photographs are
                counted, or the validation photographs where it has no test.
            labels: of the images, where these are a sequence.
            progress: told images done and images in all; by default a bar where somebody watches.
            sample_weight: what each image of a sequence counts in every figure, beside its share
                of a group of copies.

        Raises:
            UsageError: no photograph of a class that the classifier knows.
        """
        from tortie.evaluation.evaluate import Evaluated, evaluate

        splits = self.splits if isinstance(images, str | Path) else "auto"
        known = self.metadata.classes
        collection, sources = labelled(images, labels, sample_weight, splits=splits, known=known)
        evaluated = Evaluated(
            predict=lambda found, sha256: self._predict(found, progress, sha256, True),
            classes=known,
            training_sha256=self._training_sha256,
            networks=self._titles,
            crops=self.crops,
            temperature=self.temperature,
            sets=self.prediction_sets,
        )
        evaluation = evaluate(evaluated, collection, sources, self._threads)
        extractor = self._ready()[0].extractor
        kind = self.metadata.label_type
        return replace(evaluation, network=self._parts[0], extractor=extractor, label_type=kind)

    @short_traceback
    def save(self, path: str | Path, force: bool = False) -> None:
        """Write the classifier as one ``.safetensors`` file; ``path`` is old or new, never half.

        Args:
            path: of the file; its name ends in ``.safetensors``.
            force: whether a file that is there gives way.

        Raises:
            UsageError: it is not fitted yet; another suffix; a file that is there, without
                ``force``.
            TortieError: the disk is full, or the folder cannot be written.
        """
        path, metadata = Path(path), self.metadata
        if path.suffix != ".safetensors":
            raise UsageError(f"{path} does not end in .safetensors, as a classifier's file does")
        check_output(path, force, replaces="save(..., force=True)")
        tensors: dict[str, NDArray[Any]] = {}
        for number, part in enumerate(self._parts):
            for name, tensor in part.tensors.items():
                tensors[f"members.{number}.{name}"] = tensor
        if self._training_sha256 is not None:
            tensors["training.sha256"] = self._training_sha256
        if self._novelty is not None:
            tensors |= self._novelty.arrays()
        tensors |= arrays_of(self._sets) | file_graphs.arrays_of(self._parts)
        with contextlib.nullcontext() if force else together(may_replace=False):
            digest = classifier_file.write(path, metadata, tensors)
        file_graphs.remember(digest, metadata, self._parts)

    def _changed(self) -> None:
        self._members = None  # made for another device, precision, engine or thread count

    def _transient(self) -> dict[str, Any]:
        return {"_members": None}

    @property
    def _options(self) -> FitOptions:
        """What the classifier was made with, checked."""
        return FitOptions.of(**self.get_params())

    @property
    def _threads(self) -> int:
        return self.threads or core_count()

    def _predict(
        self,
        sources: Sequence[Source],
        progress: Progress | None = None,
        sha256: Sequence[str | None] | None = None,
        with_features: bool = False,
    ) -> "Predictions":
        from tortie.evaluation.predict import predict

        digests = hash_all(sources, self._threads) if sha256 is None else sha256
        with self._lock:  # what belongs together, whatever other threads set meanwhile
            members, novelty = self._ready(), self._novelty
            crops, temperature = self._options.crops, self.temperature
        if with_features:
            members = [replace(members[0], keeps_features=True), *members[1:]]
        with progress_of("photographs", progress) as told:
            return predict(
                members, temperature, sources, digests, told, crops=crops, novelty=novelty
            )

    def _ready(self) -> "list[Member]":
        with self._lock:  # of threads that ask together, one makes them, and all get all of them
            if self._members is None:
                self._members = self._made()
            return self._members

    def _made(self) -> "list[Member]":
        from tortie.activations.device import device_name
        from tortie.activations.extract import Extractor
        from tortie.evaluation.predict import Member

        store, _ = ActivationStore.default(), self._options  # a module that is given is known then
        device = device_name(self.device)
        choice = choose(self.engine, device, chosen_precision(self.precision, device))
        members = []
        for part, described in zip(self._parts, self.metadata.members, strict=True):
            entry = network_of(described)
            extractor = Extractor(
                prefix=part.prefix, structure=entry.title, code=entry.code,
                store=store, device=device, choice=choice, threads=self._threads,
                max_pixels=int(self.max_megapixels * 1e6),
            )  # fmt: skip
            members.append(Member(part, extractor, entry.mirror))
        return members
