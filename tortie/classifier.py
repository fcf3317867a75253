"""A classifier of photographs, with scikit-learn's habits: fit, predict, score, save, load."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tortie.activations.feature_shards import is_feature_folder
from tortie.activations.store import ActivationStore
from tortie.errors import UsageError, short_traceback
from tortie.images.inputs import Images, Labels, labelled, with_split
from tortie.learning.training_weights import ClassWeight
from tortie.trained import TrainedClassifier
from tortie.watched import is_watched, progress_of, say, say_outcome, warn_left_out

if TYPE_CHECKING:
    from torch import nn

    from tortie.augment import ColourBasis, Policy
    from tortie.learning.job import Events
    from tortie.learning.plan import Plan
    from tortie.learning.result import FitResult
    from tortie.networks.own import OwnNetwork
    from tortie.training.recipe import Recipe


class ImageClassifier(TrainedClassifier):
    """Photographs to class names.

    Args:
        network: a module of PyTorch, or an :class:`~tortie.networks.own.OwnNetwork` that says more
            of it; or a name of the table of networks, with arguments where it has others than the
            table's: ``"lenet5(pooling=average)"``; several, with commas, make an ensemble.
        quality: a rung of the ladder of trained networks in place of ``network``: ``"embedded"``,
            ``"high"``, ``"small"``, ``"base"``, ``"best"``; ``None`` for ``network``.
        weights: where the network's parameters begin: ``"auto"`` for the published ones that it
            has; ``"imagenet"`` or another name of its row in the table, a file,
            ``"hf://OWNER/NAME"``, or ``None`` for fresh ones; several, with commas, make an
            ensemble.
        freeze: which stages are frozen: ``"all"`` trains the softmax layer alone; ``"none"``, a
            number of stages, a stage's name, ``"stages=A,B"``, ``"train=A,B"``, or ``"auto"`` to
            compare depths.
        head: ``"linear"``, ``"mlp:N"`` with N hidden units, ``"mlp:512,256"`` with several
            hidden layers, or a module or a list of layers that maps features ``(N, D)`` to logits.
        recipe: name of the training recipe, a JSON file, or a
            :class:`~tortie.training.recipe.Recipe`; ``None`` for the one that suits.
        epochs: number of epochs (overrides the recipe).
        batch: batch size (overrides the recipe).
        learning_rate: learning rate (overrides the recipe).
        class_weight: what a photograph of each class counts in training: ``"sqrt"`` (the inverse
            square root of its class's share), ``"balanced"`` (every class counts the same),
            ``None`` (every photograph does), or a dictionary of weights by label; ``"auto"`` is
            ``"sqrt"`` where the softmax layer is solved for, and the recipe's elsewhere.
        side_heads: weight of each side head's loss, in a network that has them (GoogLeNet).
        accumulate: gradient accumulation steps; more need less memory.
        track: also log each epoch to ``"tensorboard"``, ``"mlflow"``, ``"wandb"``.
        input: input size ``"HEIGHTxWIDTHxCHANNELS"``; ``None`` for the paper's.
        valid: validation set: a folder with one folder per class, or a fraction.
        test: test set: a folder with one folder per class, or a fraction.
        splits: which folders are splits: ``"auto"`` tells, ``"none"`` takes them for classes,
            ``"train=Training,test=Testing"`` names them.
        augment: name of the augmentation, a JSON file, or a :class:`~tortie.augment.Policy`;
            ``None`` for none where everything is frozen, and the recipe's elsewhere.
        colour_basis: of PCA colour: the principal colours of the training ``"photographs"``,
            ``"imagenet"``, or a :class:`~tortie.augment.ColourBasis`.
        mirror: whether a mirrored photograph keeps its class.
        views: number of augmented views of each training photograph, where stages are frozen.
        crops: number of crops of each photograph: 1, 10 or 144. A fit of more than one fits their
            temperature too; :func:`load` begins with 1.
        members: number of networks in an ensemble; their probabilities are averaged.
        seed: random seed.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        precision: of the frozen part and of the steps: ``"auto"``, ``"float32"``, ``"bfloat16"``.
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
        network: "str | nn.Module | OwnNetwork" = "efficientnet-lite0",
        *,
        quality: str | None = None,
        weights: str | None = "auto",
        freeze: str | int = "all",
        head: "str | nn.Module | Sequence[nn.Module]" = "linear",
        recipe: "str | Recipe | None" = None,
        epochs: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        class_weight: ClassWeight = "auto",
        side_heads: float | None = None,
        accumulate: int | None = None,
        track: str | None = None,
        input: str | None = None,
        valid: float | str | Path | None = None,
        test: float | str | Path | None = None,
        splits: str = "auto",
        augment: "str | Path | Policy | None" = None,
        colour_basis: "str | Path | ColourBasis" = "photographs",
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
        self.quality = quality
        self.weights = weights
        self.freeze = freeze
        self.head = head
        self.recipe = recipe
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.class_weight = class_weight
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

    @short_traceback
    def fit(
        self,
        images: Images,
        labels: Labels | None = None,
        sample_weight: Iterable[float] | None = None,
        *,
        events: "Events | None" = None,
    ) -> "ImageClassifier":
        """Learn from labelled photographs.

        Args:
            images: a folder ``IMAGES/class/*`` or ``IMAGES/{train,validation,test}/class/*``, a
                CSV of ``path,label[,split[,group]]``, or a sequence of paths, PIL images or uint8
                arrays ``(H, W, 3)`` with ``labels``.
            labels: of the images, where these are a sequence: text, whole numbers or booleans;
                predictions have the same type.
            sample_weight: what each image of a sequence counts in training, beside its class's
                weight; figures count each image the same.
            events: callbacks for the plan, the progress and the notes.

        Raises:
            UsageError: an invalid value, or photographs that cannot be learnt from.
            TortieError: no photograph can be read.
        """
        self._take(self._fit(images, labels, sample_weight, events, plan_only=False))
        return self

    @short_traceback
    def plan(
        self,
        images: Images,
        labels: Labels | None = None,
        sample_weight: Iterable[float] | None = None,
        *,
        events: "Events | None" = None,
    ) -> "Plan":
        """What :meth:`fit` of the same photographs would do and cost; nothing is trained.

        Raises:
            UsageError: an invalid value, or photographs that cannot be learnt from.
            TortieError: no photograph can be read.
        """
        from tortie.learning.job import PlanOnly

        try:
            self._fit(images, labels, sample_weight, events, plan_only=True)
        except PlanOnly as stopped:
            return stopped.plan
        raise AssertionError("every fit announces its plan")

    def _fit(
        self,
        images: Images,
        labels: Labels | None,
        sample_weight: Iterable[float] | None,
        events: "Events | None",
        plan_only: bool,
    ) -> "FitResult":
        from tortie.learning.fit import fit
        from tortie.learning.job import Events

        options = self._options
        if events is None and is_watched():
            return self._fit_watched(images, labels, sample_weight, plan_only)
        asked, events = events, events or Events()
        if is_feature_folder(images):
            if labels is not None or sample_weight is not None:
                raise UsageError("labels and sample_weight go with images: features have theirs")
            from tortie.learning.feature_fit import fit_features

            store = ActivationStore.default(events.note)
            return fit_features(Path(images), options, store, events, plan_only)  # type: ignore[arg-type]
        collection, sources = labelled(images, labels, sample_weight, splits=options.splits)
        if isinstance(options.valid, Path):
            collection, sources = with_split(collection, sources, options.valid, "validation")
        if isinstance(options.test, Path):
            collection, sources = with_split(collection, sources, options.test, "test")
        store = ActivationStore.default(events.note)
        found = fit(collection, sources, options, store, events, plan_only)
        if asked is None:
            warn_left_out(list(found.data.skipped))
        return found

    def _fit_watched(
        self,
        images: Images,
        labels: Labels | None,
        sample_weight: Iterable[float] | None,
        plan_only: bool,
    ) -> "FitResult":
        """The fit, with bars, and in the end what was left out and noted."""
        from tortie.learning.job import Events

        with progress_of("photographs", None) as images_done, progress_of("steps", None) as steps:
            events = Events(progress=images_done, steps=steps, note=say)
            found = self._fit(images, labels, sample_weight, events, plan_only)
        say_outcome(list(found.data.skipped), found.notes)
        return found

    def _take(self, fitted: "FitResult") -> None:
        from tortie.learning.metadata import describe, training_sha256

        metadata = describe(fitted, self._options)
        parts = [one.part for one in fitted.each]
        sha256 = None if self._options.private else training_sha256(fitted)
        with self._lock:
            self.fitted_, self._metadata, self._novelty = fitted, metadata, fitted.novelty
            self._parts, self._members = parts, None
            self._sets, self._training_sha256 = fitted.prediction_sets, sha256
