"""A classifier of photographs, with scikit-learn's habits: fit, predict, score, save, load."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.activations.engine import choose, chosen_precision
from tortie.activations.store import ActivationStore
from tortie.errors import TortieError, UsageError
from tortie.evaluation.evaluate import Evaluated, evaluate
from tortie.evaluation.member import MemberNetwork
from tortie.evaluation.novelty import Novelty
from tortie.evaluation.prediction import Evaluation, Prediction, to_predictions
from tortie.evaluation.prediction_sets import PredictionSets, arrays_of, check_confidence
from tortie.evaluation.remembered import remember
from tortie.forks import ForkSafeLock
from tortie.images import Source, hash_all
from tortie.images.inputs import Images, labelled, named, unlabelled, with_split
from tortie.learning.options import FitOptions
from tortie.networks.arguments import network_of
from tortie.processes import core_count
from tortie.weights import classifier_file
from tortie.weights.classifier_file import Accuracy, Metadata

if TYPE_CHECKING:
    from tortie.evaluation.activation_maps import ActivationMap
    from tortie.evaluation.live import LivePredictor
    from tortie.evaluation.predict import Member, Predictions
    from tortie.learning.job import Events
    from tortie.learning.plan import Plan
    from tortie.learning.result import FitResult
    from tortie.networks.network import Network

Progress = Callable[[int, int], None]

_PARAMETERS = list(FitOptions.model_fields)


def _silent(done: int, total: int) -> None:
    """Nobody is told of the progress."""


class ImageClassifier:
    """Photographs to class names.

    Args:
        network: a name of the table of networks, with arguments where it has others than the
            table's: ``"lenet5(pooling=average)"``; several, with commas, make an ensemble.
        weights: where the network's parameters begin: ``"auto"`` for the published ones that it
            has; ``"imagenet"`` or another name of its row in the table, a file,
            ``"hf://OWNER/NAME"``, or ``None`` for fresh ones; several, with commas, make an
            ensemble.
        freeze: which stages are frozen: ``"all"`` trains the softmax layer alone; ``"none"``, a
            number of stages, a stage's name, ``"stages=A,B"``, ``"train=A,B"``, or ``"auto"`` to
            compare depths.
        head: ``"linear"``, or ``"mlp:N"`` with N hidden units.
        recipe: name of the training recipe; ``None`` for the one that suits.
        epochs: number of epochs (overrides the recipe).
        batch: batch size (overrides the recipe).
        learning_rate: learning rate (overrides the recipe).
        side_heads: weight of each side head's loss, in a network that has them (GoogLeNet).
        accumulate: gradient accumulation steps; more need less memory.
        track: also log each epoch to ``"tensorboard"``, ``"mlflow"``, ``"wandb"``.
        input: input size ``"HEIGHTxWIDTHxCHANNELS"``; ``None`` for the paper's.
        valid: validation set: a folder with one folder per class, or a fraction.
        test: test set: a folder with one folder per class, or a fraction.
        splits: which folders are splits: ``"auto"`` tells, ``"none"`` takes them for classes,
            ``"train=Training,test=Testing"`` names them.
        augment: name of the augmentation; ``None`` for none where everything is
            frozen, and the recipe's elsewhere.
        colour_basis: of PCA colour: the principal colours of the training ``"photographs"``, or
            ``"imagenet"``.
        mirror: whether a mirrored photograph keeps its class.
        views: number of augmented views of each training photograph, where stages are frozen.
        crops: number of crops of each photograph: 1, 10 or 144. A fit of more than one fits their
            temperature too; :func:`load` begins with 1.
        members: number of networks in an ensemble; their probabilities are averaged.
        seed: random seed.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        precision: of the frozen part: ``"auto"``, ``"float32"``, ``"bfloat16"``.
        engine: that runs the frozen part: ``"auto"``, ``"onnxruntime"``, ``"onednn"``, ``"eager"``.
        private: whether :meth:`save` leaves hashes and paths of the training photographs out of
            the file; :meth:`evaluate` then cannot tell them from others.
        threads: number of threads; ``None`` for one per core.
        max_megapixels: photographs with more are skipped.
        budget: seconds that comparing depths may take, or ``"10m"``.
        run: folder of a training by steps, so that it can be resumed; ``None`` keeps none.
        resume: whether to go on with the run in ``run``.
        force: whether a run in ``run`` gives way to this one when it begins.

    Attributes:
        classes_: class names, in the order of the probabilities; after ``fit``.
        accuracy_: measured share of right answers with its interval, or ``None``; after ``fit``.
        fitted_: all that ``fit`` made and measured, the plan and the left-out photographs too.

    Example:
        >>> cats = ImageClassifier().fit("photos/")  # doctest: +SKIP
        >>> cats.predict(["new.jpg"])  # doctest: +SKIP
        array(['misty'], dtype='<U6')
    """

    def __init__(
        self,
        network: str = "efficientnet-lite0",
        *,
        weights: str | None = "auto",
        freeze: str | int = "all",
        head: str = "linear",
        recipe: str | None = None,
        epochs: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        side_heads: float | None = None,
        accumulate: int | None = None,
        track: str | None = None,
        input: str | None = None,
        valid: float | str | Path | None = None,
        test: float | str | Path | None = None,
        splits: str = "auto",
        augment: str | None = None,
        colour_basis: str = "photographs",
        mirror: bool = True,
        views: int = 4,
        crops: int = 1,
        members: int = 1,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        threads: int | None = None,
        private: bool = False,
        max_megapixels: float = 200,
        budget: float | str = 600.0,
        run: str | Path | None = None,
        resume: bool = False,
        force: bool = False,
    ) -> None:
        self.network = network
        self.weights = weights
        self.freeze = freeze
        self.head = head
        self.recipe = recipe
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.side_heads = side_heads
        self.accumulate = accumulate
        self.track = track
        self.input = input
        self.valid = valid
        self.test = test
        self.splits = splits
        self.augment = augment
        self.colour_basis = colour_basis
        self.mirror = mirror
        self.views = views
        self.crops = crops
        self.members = members
        self.seed = seed
        self.device = device
        self.precision = precision
        self.engine = engine
        self.threads = threads
        self.private = private
        self.max_megapixels = max_megapixels
        self.budget = budget
        self.run = run
        self.resume = resume
        self.force = force
        self._metadata: Metadata | None = None
        self._parts: list[MemberNetwork] = []
        self._novelty: Novelty | None = None
        self._sets: dict[str, PredictionSets] = {}
        self._training_sha256: NDArray[np.uint8] | None = np.zeros((0, 32), np.uint8)
        self._members: list[Member] | None = None
        self._lock = ForkSafeLock()
        self.fitted_: FitResult | None = None

    def fit(
        self, images: Images, labels: Sequence[str] | None = None, *, events: "Events | None" = None
    ) -> "ImageClassifier":
        """Learn from labelled photographs.

        Args:
            images: a folder ``IMAGES/class/*`` or ``IMAGES/{train,validation,test}/class/*``, a
                CSV of ``path,label[,split[,group]]``, or a sequence of paths, PIL images or uint8
                arrays ``(H, W, 3)`` with ``labels``.
            labels: class names, where ``images`` is a sequence.
            events: callbacks for the plan, the progress and the notes.

        Raises:
            UsageError: an invalid value, or photographs that cannot be learnt from.
            TortieError: no photograph can be read.
        """
        self._take(self._fit(images, labels, events, plan_only=False))
        return self

    def plan(
        self, images: Images, labels: Sequence[str] | None = None, *, events: "Events | None" = None
    ) -> "Plan":
        """What :meth:`fit` of the same photographs would do and cost; nothing is trained.

        Raises:
            UsageError: an invalid value, or photographs that cannot be learnt from.
            TortieError: no photograph can be read.
        """
        from tortie.learning.job import PlanOnly

        try:
            self._fit(images, labels, events, plan_only=True)
        except PlanOnly as stopped:
            return stopped.plan
        raise AssertionError("every fit announces its plan")

    def _fit(
        self, images: Images, labels: Sequence[str] | None, events: "Events | None", plan_only: bool
    ) -> "FitResult":
        from tortie.learning.fit import fit
        from tortie.learning.job import Events

        options, events = self._options, events or Events()
        collection, sources = labelled(images, labels, options.splits)
        if isinstance(options.valid, Path):
            collection, sources = with_split(collection, sources, options.valid, "validation")
        if isinstance(options.test, Path):
            collection, sources = with_split(collection, sources, options.test, "test")
        store = ActivationStore.default(events.note)
        return fit(collection, sources, options, store, events, plan_only)

    def _take(self, fitted: "FitResult") -> None:
        from tortie.learning.metadata import describe, training_sha256

        metadata = describe(fitted, self._options.private)
        parts = [one.part for one in fitted.each]
        sha256 = None if self._options.private else training_sha256(fitted)
        with self._lock:
            self.fitted_, self._metadata, self._novelty = fitted, metadata, fitted.novelty
            self._parts, self._members = parts, None
            self._sets, self._training_sha256 = fitted.prediction_sets, sha256

    @property
    def metadata(self) -> Metadata:
        """What the classifier's file says of it.

        Raises:
            UsageError: it is not fitted yet.
        """
        if self._metadata is None:
            raise UsageError("this classifier is not fitted yet: call fit, or tortie.load a file")
        return self._metadata

    @property
    def member_networks(self) -> Sequence[MemberNetwork]:
        """The trained networks, whose probabilities are averaged."""
        return self._parts

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
    def classes_(self) -> NDArray[np.str_]:
        """Class names, in the order of the probabilities."""
        return np.array(self.metadata.classes)

    @property
    def accuracy_(self) -> Accuracy | None:
        """Measured share of right answers with its 95% interval; ``None`` if too little to tell."""
        return self.metadata.accuracy

    def classify(
        self,
        images: Images,
        progress: Progress = _silent,
        *,
        reject_below: float = 0.0,
        confidence: float | None = None,
    ) -> list[Prediction]:
        """What the classifier says of each photograph; one that cannot be read has a reason.

        Args:
            images: files, folders, or images in memory.
            progress: told images done and images in all.
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
        return to_predictions(sources, found, self.metadata.classes, reject_below, held)

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

    def activation_map(self, image: Source, label: str) -> "ActivationMap | None":
        """Where the first network saw in an image what speaks for a class.

        Args:
            image: a file, the bytes of one, or an image in memory.
            label: a class name.

        Returns:
            ``None`` where the image cannot be read, or the network does not end in global average
            pooling and a linear map.

        Raises:
            UsageError: no such class.
        """
        from tortie.evaluation.activation_maps import live_activation_map

        if label not in self.metadata.classes:
            raise UsageError(f"no class {label!r}")
        last = self._parts[0].last_maps
        if last is None:
            return None
        extractor = self._ready()[0].extractor
        return live_activation_map(last, extractor, image, self.metadata.classes.index(label))

    def predict_proba(self, images: Images) -> NDArray[np.float32]:
        """Probabilities ``(N, K)``, float32, rows add to one, columns in the order of ``classes_``.

        Raises:
            TortieError: a photograph cannot be read; :meth:`classify` goes on past such.
        """
        sources = unlabelled(images)
        found = self._predict(sources)
        for position, reason in sorted(found.reasons.items()):
            raise TortieError(f"{named(sources[position], position)}: {reason}")
        return found.probabilities

    def predict(self, images: Images) -> NDArray[np.str_]:
        """The most probable class name of each photograph, ``(N,)``.

        Raises:
            TortieError: a photograph cannot be read; :meth:`classify` goes on past such.
        """
        return self.classes_[self.predict_proba(images).argmax(axis=1)]

    def score(self, images: Images, labels: Sequence[str] | None = None) -> float:
        """Share of right answers, 0 to 1, on photographs that were not trained on.

        Raises:
            TortieError: there is no such photograph; :meth:`evaluate` says more.
        """
        evaluation = self.evaluate(images, labels)
        if evaluation.scores is None:
            raise TortieError(f"no accuracy: {evaluation.reason}")
        return evaluation.scores.accuracy.value

    def evaluate(
        self,
        images: Images,
        labels: Sequence[str] | None = None,
        progress: Progress = _silent,
    ) -> Evaluation:
        """Every figure on labelled photographs; those that were trained on are not counted.

        Args:
            images: as :meth:`fit` takes them. Of a folder with splits, the test photographs are
                counted, or the validation photographs where it has no test.
            labels: class names, where ``images`` is a sequence.
            progress: told images done and images in all.

        Raises:
            UsageError: no photograph of a class that the classifier knows.
        """
        options = self._options
        splits = options.splits if isinstance(images, str | Path) else "auto"
        collection, sources = labelled(images, labels, splits, self.metadata.classes)
        evaluated = Evaluated(
            predict=lambda found, sha256: self._predict(found, progress, sha256),
            classes=self.metadata.classes,
            training_sha256=self._training_sha256,
            networks=[member.network for member in self.metadata.members],
            crops=self.crops,
            temperature=self.temperature,
            sets=self.prediction_sets,
        )
        return evaluate(evaluated, collection, sources, self._threads)

    def save(self, path: str | Path) -> None:
        """Write the classifier as one ``.safetensors`` file; ``path`` is old or new, never half.

        Raises:
            UsageError: it is not fitted yet.
            TortieError: the disk is full, or the folder cannot be written.
        """
        tensors: dict[str, NDArray[Any]] = {}
        for number, part in enumerate(self._parts):
            for name, tensor in part.tensors.items():
                tensors[f"members.{number}.{name}"] = tensor
        if self._training_sha256 is not None:
            tensors["training.sha256"] = self._training_sha256
        if self._novelty is not None:
            tensors |= self._novelty.arrays()
        tensors |= arrays_of(self._sets)
        digest = classifier_file.write(Path(path), self.metadata, tensors)
        if choose("auto", "cpu", None).engine == "onnxruntime":  # else torch predicts anyway
            remember(digest, self._parts)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that the classifier was made with, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> "ImageClassifier":
        """Change arguments by name, as scikit-learn does.

        Raises:
            UsageError: no such argument.
        """
        for name in params:
            if name not in _PARAMETERS:
                raise UsageError(f"no argument {name!r}: {', '.join(_PARAMETERS)}")
        with self._lock:
            for name, value in params.items():
                setattr(self, name, value)
            self._members = None  # made for another device, precision, engine or thread count
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes along: all but engines and locks, which are made anew."""
        with self._lock:
            return {**vars(self), "_members": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The classifier of a copy or a pickle."""
        vars(self).update(state, _lock=ForkSafeLock())

    def __repr__(self) -> str:
        """The arguments that are not the defaults, as scikit-learn shows them."""
        defaults = ImageClassifier().get_params()
        changed = {
            name: value for name, value in self.get_params().items() if value != defaults[name]
        }
        return (
            f"ImageClassifier({', '.join(f'{name}={value!r}' for name, value in changed.items())})"
        )

    @property
    def prediction_sets(self) -> PredictionSets | None:
        """What sets for this number of crops are made from; ``None`` where there is too little."""
        return self._sets.get(str(self.crops))

    @property
    def temperature(self) -> float:
        """What log-probabilities are divided by: that of ``crops``, or of one where it has none."""
        own = self.metadata.temperature
        return own.get(str(self.crops), own.get("1", 1.0))

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
        progress: Progress = _silent,
        sha256: Sequence[str | None] | None = None,
    ) -> "Predictions":
        from tortie.evaluation.predict import predict

        digests = hash_all(sources, self._threads) if sha256 is None else sha256
        with self._lock:  # what belongs together, whatever other threads set meanwhile
            members, novelty = self._ready(), self._novelty
            crops, temperature = self._options.crops, self.temperature
        return predict(
            members, temperature, sources, digests, progress, crops=crops, novelty=novelty
        )

    @property
    def _networks(self) -> "list[Network]":
        """The members as torch's modules."""
        return [part.network for part in self._parts]

    def _ready(self) -> "list[Member]":
        with self._lock:  # of threads that ask together, one makes them, and all get all of them
            if self._members is None:
                self._members = self._made()
            return self._members

    def _made(self) -> "list[Member]":
        from tortie.activations.device import device_name
        from tortie.activations.extract import Extractor
        from tortie.evaluation.predict import Member

        store = ActivationStore.default()
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
