"""Know the images before a fit: what is wrong with them, and which labels look wrong.

The files, their hashes and what they hold are judged by ``images/findings.py``; labels by
predictions of a softmax layer that each image had no part in, on the activations that a fit of the
same network keeps and takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tortie.activations.feature_duplicates import feature_duplicate_pairs
from tortie.activations.store import ActivationStore
from tortie.activations.stored_facts import stored_facts
from tortie.evaluation.label_errors import label_error_findings, label_errors
from tortie.images import Source, hash_all
from tortie.images.find import Collection
from tortie.images.finding import Finding, ranked
from tortie.images.findings import file_findings
from tortie.images.inputs import Images, labelled
from tortie.images.inspection import Inspection
from tortie.learning.cross_fitting import LabelledFeatures, choose_among, train_on
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.learning.softmax import Floats, Integers, few_threads, held_out_parts, softmax
from tortie.processes import ALONE, core_count

_CHOOSE_ON = 2000  # images: the penalty for all is chosen on as many


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        collection: the images, as they were listed.
        examined: what reading them told.
        findings: the worst first.
        computed: images that were decoded here; the others were known.
    """

    collection: Collection
    examined: Inspection
    findings: list[Finding]
    computed: int

    @property
    def is_serious(self) -> bool:
        """Whether there is a serious finding."""
        return any(one.severity == "serious" for one in self.findings)


def check_images(
    images: Images,
    image_labels: Sequence[str] | None = None,
    *,
    network: str = "efficientnet-lite0",
    labels: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
    note: Callable[[str], None] = lambda line: None,
    **choices: object,
) -> CheckResult:
    """Check a folder, a CSV, or images in memory; the user's own store is used.

    Args:
        images: as :meth:`tortie.ImageClassifier.fit` takes them.
        image_labels: class names, for a sequence and for nothing else.
        network: judges the labels; ``none`` for none.
        labels: whether to look for wrong labels.
        progress: called with the number of images done and of all.
        note: called with a line that the user should know.
        choices: further fields of :class:`FitOptions`.

    Raises:
        UsageError: a choice that cannot be meant.
        TortieError: a folder or a CSV that cannot be read.
    """
    if network == "none":
        labels, network = False, "efficientnet-lite0"
    options = FitOptions.of(network=network, **choices)
    collection, sources = labelled(images, image_labels)
    store = ActivationStore.default(note)
    threads = options.threads or core_count()
    return check(collection, sources, options, store, threads, labels, progress)


def check(
    collection: Collection,
    sources: Sequence[Source],
    options: FitOptions,
    store: ActivationStore,
    threads: int,
    labels: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CheckResult:
    """Find what is wrong with images, and change nothing.

    Args:
        collection: the images' paths, labels, splits and groups.
        sources: what to read for each of them.
        options: network, device and precision, as of the fit; the rest plays no part.
        store: where facts and activations are kept.
        threads: that read, and multiply.
        labels: whether to look for wrong labels, which takes the network.
        progress: called with the number of images done and of all.

    Raises:
        UsageError: a network that is not there, or has no trained weights.
    """
    sha256 = hash_all(sources, threads)
    max_pixels = int(options.max_megapixels * 1e6)
    features: Floats | None = None
    alike: list[tuple[int, int]] = []
    if labels and len(collection.classes) > 1:
        from tortie.activations.extract import Extraction
        from tortie.learning.backbone import make_backbone

        job = make_job(collection, sources, options, store, ALONE, Events())
        with Extraction(make_backbone(job, 2).extractor, sources, sha256) as extraction:
            features, _ = extraction.finish(progress)
        with few_threads(features):
            alike = feature_duplicate_pairs(features, extraction.facts)
        facts, reasons, computed = extraction.facts, extraction.reasons, extraction.missing
    else:
        known = stored_facts(
            sources, sha256, store, threads=threads, max_pixels=max_pixels, progress=progress
        )
        facts, reasons, computed = known.facts, known.reasons, known.decoded
    examined = Inspection(collection.photographs, sha256, facts, reasons, alike)
    findings = file_findings(examined, collection.notes)
    if features is not None:
        findings += _doubts(examined, features, options.seed)
    return CheckResult(collection, examined, ranked(findings), computed)


def _doubts(examined: Inspection, features: Floats, seed: int) -> list[Finding]:
    """Findings about labels; none where no class can be held out and trained on."""
    classes = sorted(set(examined.labels))
    data = LabelledFeatures(
        features, np.array([classes.index(label) for label in examined.labels], np.int64),
        examined.keys, examined.groups, len(classes),
    )  # fmt: skip
    if len(classes) < 2:
        return []
    with few_threads(features):
        probabilities, count = out_of_fold(data, seed)
    return label_error_findings(
        examined, np.arange(len(data.labels)), probabilities, classes, count
    )


def out_of_fold(data: LabelledFeatures, seed: int) -> tuple[Floats, int]:
    """Each image judged by a head that neither it nor its group had a part in.

    Twice: what the first round doubts has no part in training the second, or wrong labels would
    vouch for one another. How many are wrong is counted in the first round: heads that saw no
    doubtful label are too sure of themselves for that.

    The penalty is chosen by cross-fitting too, on at most 2,000 of the images; that they had a
    part in this one number is of no consequence for their labels.

    Returns:
        probabilities ``(N, K)``, and how many labels are wrong.
    """
    everything = np.arange(len(data.labels))
    parts = held_out_parts(data.folds(seed, everything))
    by_content = sorted(everything.tolist(), key=lambda i: data.keys[i])
    penalty = choose_among(data, np.sort(np.array(by_content[:_CHOOSE_ON])), seed).penalty
    first = _judged(data, parts, everything, penalty)
    doubted = [doubt.index for doubt in label_errors(first, data.labels)]
    trusted = np.setdiff1d(everything, doubted)
    if not doubted or len(np.unique(data.labels[trusted])) < data.classes:
        return first, len(doubted)
    return _judged(data, parts, trusted, penalty), len(doubted)


def _judged(
    data: LabelledFeatures,
    parts: list[tuple[Integers, Integers]],
    trusted: Integers,
    penalty: float,
) -> Floats:
    """Probabilities of every image by heads trained on the trusted ones of the other folds."""
    probabilities = np.zeros((len(data.labels), data.classes), np.float32)
    for train, held in parts:
        head = train_on(data, np.intersect1d(train, trusted), penalty)
        probabilities[held] = softmax(head.logits(data.features[held]))
    return probabilities
