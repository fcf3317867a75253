"""Know the images before a fit: what is wrong with them, and which labels look wrong.

The files, their hashes and what they hold are examined by ``images/findings.py``; labels by
predictions of a softmax layer that each image had no part in, on the activations that a fit of the
same network keeps and takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tortie.activations.feature_duplicates import feature_duplicate_pairs
from tortie.activations.store import ActivationStore
from tortie.activations.stored_facts import stored_facts
from tortie.evaluation.frames import frame
from tortie.evaluation.notebook import NotebookCard
from tortie.images import Source, hash_all
from tortie.images.find import Collection
from tortie.images.finding import Finding, by_kind, ranked, summary
from tortie.images.findings import file_findings
from tortie.images.inputs import Images, labelled
from tortie.images.inspection import Inspection
from tortie.learning.check_labels import check_labels
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.learning.softmax import Floats, few_threads
from tortie.processes import ALONE, core_count

if TYPE_CHECKING:
    from pandas import DataFrame

    from tortie.learning.result import FitResult


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        collection: the images, as they were listed.
        inspection: what reading them told.
        findings: the worst first.
        computed: images that were decoded here; the others were known.
    """

    collection: Collection
    inspection: Inspection
    findings: list[Finding]
    computed: int

    def __repr__(self) -> str:
        """How many images, and how many findings of each severity."""
        count = len(self.collection.photographs)
        return f"CheckResult({count:,} images: {summary(self.findings)})"

    def to_frame(self) -> "DataFrame":
        """A row for each finding: severity, kind, detail and paths."""
        columns: dict[str, list[Any]] = {
            "severity": [one.severity for one in self.findings],
            "kind": [one.kind for one in self.findings],
            "detail": [one.detail for one in self.findings],
            "paths": [list(one.paths) for one in self.findings],
        }
        return frame(columns)

    def _repr_html_(self) -> str:
        rows = [
            (severity, f"{kind.title}: {len(own):,}", own[0].detail, ", ".join(own[0].paths[:2]))
            for kind, severity, own in by_kind(self.findings)
        ]
        count = len(self.collection.photographs)
        return NotebookCard(
            "Check",
            [f"{count:,} images: {summary(self.findings)}"],
            head=("severity", "finding", "the first", "files") if rows else (),
            rows=rows,
        ).html()

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
    collection, sources = labelled(images, image_labels, splits=options.splits)
    store = ActivationStore.default(note)
    threads = options.threads or core_count()
    return check(collection, sources, options, store, threads, labels, progress)


def findings_of(fitted: "FitResult") -> list[Finding] | None:
    """What a check of a fit's photographs finds, of what the fit knows already.

    ``None`` where it looked for no wrong labels.
    """
    if fitted.label_errors is None:
        return None
    return ranked([*file_findings(fitted.data.inspection), *fitted.label_errors])


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
    feature_pairs: list[tuple[int, int]] = []
    if labels and len(collection.classes) > 1:
        from tortie.activations.extract import Extraction
        from tortie.learning.frozen_network import frozen_network

        job = make_job(collection, sources, options, store, ALONE, Events())
        with Extraction(frozen_network(job, 2).extractor, sources, sha256) as extraction:
            features, _ = extraction.finish(progress)
        with few_threads(features):
            feature_pairs = feature_duplicate_pairs(features, extraction.facts, job.threads)
        facts, reasons, computed = extraction.facts, extraction.reasons, extraction.missing
    else:
        known = stored_facts(
            sources, sha256, store, threads=threads, max_pixels=max_pixels, progress=progress
        )
        facts, reasons, computed = known.facts, known.reasons, known.decoded
    inspection = Inspection(collection.photographs, sha256, facts, reasons, feature_pairs)
    findings = file_findings(inspection, collection.notes)
    if features is not None:
        findings += check_labels(inspection, features, options.seed)
    return CheckResult(collection, inspection, ranked(findings), computed)
