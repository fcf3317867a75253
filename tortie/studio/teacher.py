"""What the studio has learnt: the softmax layer, solved anew whenever the folder changes."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tortie.activations.extract import multiply_alone
from tortie.activations.store import ActivationStore
from tortie.errors import UsageError
from tortie.evaluation.live import LivePredictor
from tortie.evaluation.novelty import Novelty
from tortie.evaluation.predict import Member
from tortie.evaluation.prediction import Prediction, to_predictions
from tortie.images.find import Collection
from tortie.images.walk import Strays, images
from tortie.learning.frozen_network import frozen_network
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.learning.softmax import LinearHead, Problem, few_threads, softmax
from tortie.processes import ALONE
from tortie.studio.feature_memory import FeatureMemory, Floats
from tortie.studio.label_next import worth_labelling
from tortie.studio.photograph_folder import FolderPhotograph, PhotographFolder, folder_photograph
from tortie.text import quoted

PENALTY = 0.1
"""λ until a fit has chosen one."""

_UNLABELLED = ""  # class of photographs that have none yet


@dataclass(frozen=True)
class Snapshot:
    """What is known at one moment; a new one takes its place when something changes.

    Attributes:
        version: grows by one.
        classes: names, of those without a photograph too.
        photographs: all of the classes'.
        digests: SHA-256 of each; ``None`` where it could not be opened.
        reasons: why a photograph cannot be read, by its key.
        head: the softmax layer; ``None`` with fewer than two classes of photographs.
        learnt: names of the classes that the head tells apart.
        features: of the photographs that it was solved on, ``(N, D)``.
        penalty: λ of the head, which a fit of an earlier snapshot chose; ``None`` where no fit has
            chosen one yet, and the head has 0.1.
        seconds: that solving took.
    """

    version: int = 0
    classes: tuple[str, ...] = ()
    photographs: tuple[FolderPhotograph, ...] = ()
    digests: tuple[str | None, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    head: LinearHead | None = None
    learnt: tuple[str, ...] = ()
    features: Floats = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    penalty: float | None = None
    seconds: float = 0.0

    def chosen(self, keys: Sequence[str]) -> list[FolderPhotograph]:
        """Photographs by their keys.

        Raises:
            UsageError: one that is not there.
        """
        known = {one.key: one for one in self.photographs}
        if missing := [key for key in keys if key not in known]:
            raise UsageError(
                f"no such photograph: {quoted(missing[0][:20])}; it was moved meanwhile"
            )
        return [known[key] for key in keys]


class Teacher:
    """Knows the folder, and what can be learnt from it.

    Args:
        folder: of the photographs.
        options: of the fit: network, device, precision, engine, threads.
        unlabelled: folder of photographs to label; ``None`` for none.

    Attributes:
        snapshot: what is known now.
        done: photographs that were looked at, of ``total``.
        ready: whether the network is, so that a photograph takes no time worth telling.
    """

    def __init__(
        self, folder: PhotographFolder, options: FitOptions, unlabelled: Path | None = None
    ) -> None:
        self.folder = folder
        self.options = options
        self.snapshot = Snapshot()
        self.done, self.total = 0, 0
        self.ready = False
        self._unlabelled_root = unlabelled
        self._unlabelled: tuple[FolderPhotograph, ...] = ()
        self._changing = threading.Lock()
        self._penalty: float | None = None
        self._temperature = 1.0
        self._novelty: tuple[tuple[str, ...], Novelty | None] = ((), None)
        collection = Collection(folder.root, (), ())
        self._job = make_job(collection, [], options, ActivationStore.default(), ALONE, Events())
        self._frozen = frozen_network(self._job, 2)
        self._memory = FeatureMemory(self._frozen.extractor)
        self._live: tuple[int, LivePredictor] | None = None

    def refresh(self) -> Snapshot:
        """Look at the folder again, and learn what changed."""
        with self._changing:
            listing = self.folder.listing()
            before = self.snapshot
            classes = tuple(listing.folders)
            if (classes, listing.photographs) == (before.classes, before.photographs):
                return before
            self._memory.take([(one.path, one.changed) for one in listing.photographs], self._told)
            self.snapshot = self._learnt(before.version + 1, classes, listing.photographs)
            return self.snapshot

    def prepare(self) -> None:
        """Make the network ready, so that the first photograph does not wait for it."""
        self._memory.prepare()
        self.ready = True

    def suggest(self, penalty: float | None, temperature: float) -> None:
        """Take a penalty and a temperature that a fit chose."""
        self._penalty, self._temperature = penalty, temperature

    def tell_novelty(self, classes: Sequence[str], novelty: Novelty | None) -> None:
        """Take what tells strangers, of a fit of these classes."""
        self._novelty = tuple(classes), novelty

    def predict(self, contents: Sequence[bytes]) -> list[Prediction]:
        """What the classifier says of photographs; nothing of them is kept.

        Raises:
            UsageError: it knows fewer than two classes.
        """
        snapshot = self.snapshot
        if snapshot.head is None:
            raise UsageError("two classes with a photograph each are needed before it can tell")
        self._memory.wait()
        multiply_alone()
        live = self._predictor(snapshot, snapshot.head)
        return to_predictions(contents, live(contents), snapshot.learnt)

    def to_label(self, count: int) -> tuple[list[FolderPhotograph], int]:
        """The unlabelled photographs to label first, and how many there are."""
        with self._changing:
            if self._unlabelled_root is None:
                return [], 0
            root = self._unlabelled_root
            found = [folder_photograph(path, root, _UNLABELLED) for path in images(root, Strays())]
            here = tuple(one for one in found if one is not None)
            self._memory.take([(one.path, one.changed) for one in here], self._told)
            snapshot, known = self.snapshot, set(self.snapshot.digests)
            left: dict[str, FolderPhotograph] = {}
            for one in here:
                digest = self._memory.digest(one.path, one.changed)
                if digest and digest not in known and self._memory.of(digest) is not None:
                    left.setdefault(digest, one)
            self._unlabelled = tuple(left.values())
            if not left:
                return [], 0
            rows = np.stack([row for d in left if (row := self._memory.of(d)) is not None])
            said = None if snapshot.head is None else softmax(snapshot.head.logits(rows))
            order = worth_labelling(rows, said, snapshot.features, count)
            return [self._unlabelled[i] for i in order], len(left)

    def left(self) -> int:
        """How many of the unlabelled photographs that were seen last have no class yet."""
        known = set(self.snapshot.digests)
        seen = self._unlabelled
        return sum(self._memory.digest(one.path, one.changed) not in known for one in seen)

    def unlabelled(self, key: str) -> FolderPhotograph:
        """An unlabelled photograph by its key.

        Raises:
            UsageError: it is not among those that were offered.
        """
        for one in self._unlabelled:
            if one.key == key:
                return one
        raise UsageError(f"no such photograph: {quoted(key[:20])}")

    def knows(self, one: FolderPhotograph) -> bool:
        """Whether a photograph of this content is in a class."""
        return self._memory.digest(one.path, one.changed) in self.snapshot.digests

    def _told(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    def _learnt(
        self, version: int, classes: tuple[str, ...], photographs: tuple[FolderPhotograph, ...]
    ) -> Snapshot:
        memory = self._memory
        digests = tuple(memory.digest(one.path, one.changed) for one in photographs)
        reasons = {
            one.key: memory.reasons.get(digest or "", "cannot be opened")
            for one, digest in zip(photographs, digests, strict=True)
            if memory.of(digest) is None
        }
        rows, labels = [], []
        for one, digest in zip(photographs, digests, strict=True):
            if (row := memory.of(digest)) is not None:
                rows.append(row)
                labels.append(one.label)
        known = tuple(sorted(set(labels)))
        features = np.stack(rows) if rows else np.zeros((0, 1), np.float32)
        begin, head, penalty = time.perf_counter(), None, self._penalty
        if len(known) > 1:
            with few_threads(features):
                begin = time.perf_counter()
                numbers = np.array([known.index(label) for label in labels], np.int64)
                head = Problem(features.copy(), numbers, len(known)).solve(penalty or PENALTY)
        return Snapshot(
            version=version, classes=classes, photographs=photographs, digests=digests,
            reasons=reasons, head=head, learnt=known, features=features, penalty=penalty,
            seconds=time.perf_counter() - begin,
        )  # fmt: skip

    def _predictor(self, snapshot: Snapshot, head: LinearHead) -> LivePredictor:
        """Of the newest snapshot; two threads may make it twice, which does no harm."""
        made = self._live
        if made is not None and made[0] == snapshot.version:
            return made[1]
        member = Member(
            self._frozen.with_head(head), self._frozen.extractor, self._job.entry.mirror
        )
        classes, novelty = self._novelty
        live = LivePredictor(
            [member], self._temperature, 1, novelty if classes == snapshot.learnt else None,
            self._job.max_pixels,
        )  # fmt: skip
        self._live = snapshot.version, live
        return live
