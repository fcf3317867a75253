"""The main job: photographs to a trained and measured classifier, with everything frozen.

One function, :func:`fit`, read from top to bottom: hash the files, cut the network, plan, take or
compute the activations, split, choose the penalty, measure, train the softmax layer.
"""

import importlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tortie.activations.device import device_name
from tortie.activations.engine import choose, chosen_precision
from tortie.activations.feature_duplicates import feature_duplicate_pairs
from tortie.activations.store import ActivationStore
from tortie.errors import TortieError, UsageError
from tortie.evaluation.calibration import tempered
from tortie.evaluation.label_errors import label_error_findings
from tortie.evaluation.novelty import fit_novelty
from tortie.images import Collection, Source, hash_all, read
from tortie.images.finding import worst
from tortie.images.findings import file_findings
from tortie.images.inputs import Skipped
from tortie.images.inspection import Inspection
from tortie.images.split_rules import SplitRules, enough_to_score, split_rules_for
from tortie.learning.calibration import (
    Calibration,
    CropFeatures,
    calibrate,
    cropped_rows,
    crops_to_compute,
)
from tortie.learning.clock import Clock
from tortie.learning.cross_fitting import (
    HeldOut,
    LabelledFeatures,
    choose_among,
    choose_on,
    cross_fitted_parts,
    cross_validate,
    judge,
    train_on,
)
from tortie.learning.input_size import resized
from tortie.learning.options import FitOptions
from tortie.learning.plan import Plan
from tortie.learning.result import Events, FitResult
from tortie.learning.softmax import Floats, Integers, LinearHead, few_threads, softmax
from tortie.learning.tracking import check_tracker
from tortie.networks.table import Entry, find
from tortie.processes import contents, core_count, current, join
from tortie.text import json_text

if TYPE_CHECKING:
    from tortie.activations.extract import Extraction
    from tortie.activations.views import View
    from tortie.learning.backbone import Backbone
    from tortie.networks.network import Network


@contextmanager
def _imported_meanwhile(*modules: str) -> Iterator[None]:
    """Import what comes next, a second's work on one core, while the block uses the others."""
    thread = threading.Thread(target=lambda: [importlib.import_module(name) for name in modules])
    thread.start()
    try:
        yield
    finally:
        thread.join()


def fit(
    collection: Collection,
    sources: Sequence[Source],
    options: FitOptions,
    store: ActivationStore,
    events: Events,
) -> FitResult | Plan:
    """Turn labelled photographs into a trained and measured classifier.

    Args:
        collection: the photographs' paths, labels, splits and groups.
        sources: what to read for each of them.
        options: the user's choices.
        store: where activations are kept.
        events: whom to tell.

    Returns:
        the classifier; or the plan alone, where ``events.plan`` said to stop there.

    Raises:
        UsageError: fewer than two classes, a class of one photograph, a choice that cannot be met.
        TortieError: no photograph can be read.
    """
    check_tracker(options)
    if options.precision == "bfloat16" or options.engine != "auto":
        device = device_name(options.device)  # refused before a photograph is read
        choose(options.engine, device, chosen_precision(options.precision, device))
    processes = join(options.device)
    events = processes.heard(events)
    own = {"run", "resume", "threads", "device"}  # what may differ between machines
    processes.check_equal("choices", json_text(options.model_dump(mode="json", exclude=own)))
    if options.steps:
        from tortie.learning.stepwise_fit import fit_deep

        return fit_deep(collection, sources, options, store, events)
    clock = Clock()
    entry = resized(find(options.network), options.input)
    classes = enough_classes(photograph.label for photograph in collection.photographs)
    threads = options.threads or core_count()
    max_pixels = int(options.max_megapixels * 1e6)
    sha256 = hash_all(sources, threads)
    processes.check_equal("photographs", contents(collection, sha256))
    early = None
    if store.is_empty and processes.count == 1:
        # Everything is missing: decoding begins while torch is imported.
        early = read(
            sources, preprocessing=entry.preprocessing, threads=threads, max_pixels=max_pixels
        )
    clock.lap("find and hash")

    from tortie.activations.extract import Extraction
    from tortie.evaluation.crops import crop_views
    from tortie.learning.backbone import drawn_views, freeze_network
    from tortie.learning.sharing import share_out

    try:
        frozen = freeze_network(entry, options, store, threads, max_pixels)
    except BaseException:
        if early is not None:
            early.close()
        raise
    clock.lap("load the network")
    with ExitStack() as stack:
        extraction = stack.enter_context(Extraction(frozen.extractor, sources, sha256, early))
        if processes.first:
            extraction.sample()
        plan = _plan(collection, len(classes), options, entry, frozen, extraction)
        if not events.plan(plan):
            return plan
        if processes.count > 1:
            extraction.close()
            share_out(processes, frozen.extractor, sources, sha256, (), events.progress)
            extraction = stack.enter_context(Extraction(frozen.extractor, sources, sha256))
        with _imported_meanwhile("scipy.optimize"):
            features, rows = extraction.finish(events.progress)
    clock.lap("activations")

    skipped = [
        Skipped(str(collection.photographs[i].path), reason)
        for i, reason in sorted(extraction.reasons.items())
    ]
    if not len(rows):
        raise TortieError(
            f"none of the {len(sources)} photographs can be read; the first, "
            f"{skipped[0].path}: {skipped[0].reason}"
        )
    photographs = [collection.photographs[i] for i in rows]
    labels = [photograph.label for photograph in photographs]
    readable = enough_classes(labels)
    with few_threads(features):
        alike = feature_duplicate_pairs(features)
    examined = Inspection(
        collection.photographs, sha256, extraction.facts, extraction.reasons, alike
    )
    keys, groups = examined.keys, examined.groups
    protocol = split_rules_for(
        labels, [photograph.split for photograph in photographs], keys, groups, options.seed,
        fraction(options.valid), fraction(options.test),
    )  # fmt: skip
    clock.lap("duplicates and split")

    data = LabelledFeatures(
        features, np.array([readable.index(label) for label in labels]), keys, groups,
        len(readable),
    )  # fmt: skip
    views, drawn_notes = drawn_views(entry, options)
    if views:
        train = np.flatnonzero(np.array(protocol.splits) == "train")
        drawn, of = _of_views(frozen, views, [sources[i] for i in rows], keys, train, events)
        data = data.with_drawn(drawn, of)
        clock.lap("drawn views")
    cropped = None
    if options.crops > 1:
        some = cropped_rows(data, protocol, options.seed, options.crops)
        crops = crop_views(entry.preprocessing, options.crops, entry.mirror)
        seen, of = _of_views(frozen, crops, [sources[i] for i in rows], keys, some, events)
        cropped = CropFeatures(options.crops, seen, of)
        clock.lap("crops to calibrate")
    too_few = enough_to_score(
        [labels[i] for i in protocol.scored], [groups[i] for i in protocol.scored],
        crossed=protocol.on == "cross-validation",
    )  # fmt: skip
    with few_threads(features):
        learnt = learn(data, protocol, options.seed, too_few is None, cropped)
        held, calibration = learnt.held, learnt.calibration
        train = np.flatnonzero(np.array(protocol.splits) == "train")
        novelty = fit_novelty(features[train], data.labels[train], data.folds(options.seed, train))
    clock.lap("softmax layer")
    return FitResult(
        network=frozen.with_head(learnt.head),
        entry=entry,
        plan=plan,
        seed=options.seed,
        classes=readable,
        photographs=photographs,
        sources=[sources[i] for i in rows],
        sha256=keys,
        labels=data.labels,
        protocol=protocol,
        groups=groups,
        skipped=skipped,
        held=held.positions,
        probabilities=tempered(held.probabilities, learnt.temperatures),
        uncalibrated=held.probabilities,
        too_few=too_few,
        penalty=learnt.penalty,
        calibration=calibration,
        novelty=novelty,
        notes=[
            *collection.notes,
            *frozen.network.notes,
            *(
                f"class {name} has no readable photograph"
                for name in classes
                if name not in readable
            ),
            *examined.duplicates.notes,
            *protocol.notes,
            *drawn_notes,
            *calibration.notes,
            *named("not counted", [photographs[i].path for i in protocol.leaks]),
            *worst_found(examined, held, readable),
        ],
        seconds=clock.seconds,
    )


class Learnt(NamedTuple):
    """What was chosen, trained, measured and calibrated on the activations."""

    penalty: float
    head: LinearHead
    held: HeldOut
    calibration: Calibration

    @property
    def temperatures(self) -> float | Floats:
        """Of the photographs held out: each fitted without the photograph itself."""
        own = self.held.temperatures
        return self.calibration.temperature["1"] if own is None else own


def learn(
    data: LabelledFeatures,
    protocol: SplitRules,
    seed: int,
    measure: bool = True,
    cropped: CropFeatures | None = None,
) -> Learnt:
    """Choose the penalty, train the softmax layer, judge what was held out, fit the temperature.

    The penalty is chosen on the validation photographs where there are both these and a test, and
    by cross-fitting inside the training photographs otherwise.
    """
    scored = np.array(protocol.scored, np.int64)
    parts = np.array(protocol.splits)
    train, validation = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "validation")
    judged = None
    if protocol.on == "test" and len(validation):
        penalty = choose_on(data, train, validation).penalty
    else:
        choice = choose_among(data, train, seed)
        order = np.concatenate([held for _, held in cross_fitted_parts(data, train, seed)])
        penalty, judged = choice.penalty, HeldOut(order, softmax(choice.logits))
    head = train_on(data, train, penalty)
    if not measure:
        held = judge(data, head, scored[:0])
    elif protocol.on == "cross-validation":
        held = cross_validate(data, seed)
        judged = held
    else:
        held = judge(data, head, scored)
    calibration = calibrate(data, protocol, head, penalty, seed, judged, cropped)
    return Learnt(penalty, head, held, calibration)


def worst_found(examined: Inspection, held: HeldOut, classes: Sequence[str]) -> list[str]:
    """The three worst kinds of thing that ``tortie check`` would name, a line each.

    Files that cannot be read are said elsewhere. Labels are judged where this fit held them out.
    """
    findings = [
        one for one in file_findings(examined) if one.kind not in ("unreadable", "truncated")
    ]
    findings += label_error_findings(examined, held.positions, held.probabilities, classes)
    return [f"{line}; tortie check looks at all" for line in worst(findings)]


def _of_views(
    frozen: "Backbone", views: "Sequence[View]", sources: Sequence[Source], keys: Sequence[str],
    rows: Integers, events: Events,
) -> tuple[Floats, Integers]:  # fmt: skip
    """Activations ``(n, views, D)`` of the views of photographs, and which these are."""
    from tortie.activations.extract import Extraction
    from tortie.learning.sharing import share_out

    own, sha256 = [sources[i] for i in rows], [keys[i] for i in rows]
    share_out(current(), frozen.extractor, own, sha256, views, events.progress)
    with Extraction(frozen.extractor, own, sha256, views=views) as extraction:
        activations, of = extraction.finish(events.progress)
    return activations, rows[of]


def enough_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """The classes in the order of their names.

    Raises:
        UsageError: fewer than two classes, or a class of one photograph.
    """
    counts = Counter(labels)
    if len(counts) < 2:
        raise UsageError(
            f"only one class, {next(iter(counts))!r}: a classifier needs two or more, each a "
            "folder of photographs (a class of anything else will do)"
        )
    single = sorted(name for name, count in counts.items() if count < 2)
    if single:
        raise UsageError(
            f"only one readable photograph of {', '.join(single)}: every class needs at least two; "
            "add some, or take the folder away"
        )
    return tuple(sorted(counts))


def named(what: str, paths: Sequence[Path]) -> list[str]:
    """A note that names the first few of the paths; none where there are none."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return [f"{what}: {', '.join(map(str, paths[:3]))}{more}"] if paths else []


def fraction(part: float | Path | None) -> float | None:
    """The share that is asked for; ``None`` where a folder is, or nothing."""
    return part if isinstance(part, float) else None


def _multiplications(entry: Entry, network: "Network") -> int:
    """Of one image through all stages, the head not counted."""
    shape = entry.preprocessing.shape
    usual = entry.stages == network.stage_names and shape == network.input_shape
    whole = entry.multiplications if usual else None
    if whole is None:
        from tortie.cost.count import count

        whole = count(network, shape).multiplications
    return whole - network.feature_count * network.classes


def _plan(
    collection: Collection, classes: int, options: FitOptions, entry: Entry, frozen: "Backbone",
    extraction: "Extraction",
) -> Plan:  # fmt: skip
    """What is known before the work: the counts, the cut, and the time a photograph takes."""
    photographs, extractor = collection.photographs, frozen.extractor
    preview = split_rules_for(
        [photograph.label for photograph in photographs],
        [photograph.split for photograph in photographs],
        [str(photograph.path) for photograph in photographs],
        [photograph.group for photograph in photographs],
        options.seed, fraction(options.valid), fraction(options.test),
    )  # fmt: skip
    network = frozen.network
    features = network.feature_count
    each = _multiplications(entry, network)
    each_seconds = (extraction.read_seconds + extraction.forward_seconds) / extractor.threads
    trained_on = sum(one.split in (None, "train") for one in photographs)
    views = 0 if options.augment in (None, "none") else options.views * trained_on
    extra = views + crops_to_compute(preview, options.crops)
    splits: Counter[str] = Counter(one.split or "to split" for one in photographs)
    return Plan(
        network=extractor.structure,
        weights=options.weights,
        freeze=frozen.freeze,
        augment=options.augment or "none",
        views=1 + (views > 0) * options.views,
        classes=classes,
        images=len(photographs),
        splits=dict(splits),
        on=preview.on,
        rule=preview.rule,
        images_in_store=len(photographs) - extraction.missing,
        images_to_compute=extraction.missing,
        trained_parameters=(features + 1) * classes,
        frozen_parameters=sum(tensor.numel() for tensor in network.stages.parameters()),
        multiplications_per_image=each,
        multiplications=each * (extraction.missing + extra),
        seconds=(extraction.missing + extra) * each_seconds / current().count,
        memory_bytes=(len(photographs) + extra) * features * 4 * 3,
        disk_bytes=(extraction.missing + extra) * (features * 4 + 1200),
        device=str(extractor.device),
        precision=extractor.context.precision,
        threads=extractor.threads,
        processes=current().count,
    )
