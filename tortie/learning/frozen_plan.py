"""The plan of a fit with everything frozen: what is known before the work, and its cost."""

from collections import Counter

from tortie.images.split_rules import SplitRules, split_rules_for
from tortie.learning.calibration import crops_to_compute
from tortie.learning.chosen_policy import said_colours
from tortie.learning.dataset import fraction
from tortie.learning.frozen_network import FrozenNetwork
from tortie.learning.job import Job
from tortie.learning.plan import Plan
from tortie.learning.training_weights import said


def plan_frozen(
    job: Job,
    frozen: FrozenNetwork,
    split: SplitRules,
    to_compute: int = 0,
    seconds: float = 0.0,
    unreadable: int = 0,
) -> Plan:
    """The counts, the cut, and the time that the activations take.

    Args:
        job: the fit.
        frozen: the network.
        split: what each photograph is for.
        to_compute: photographs whose activations are not in the store.
        seconds: that one of them takes, with all threads at work.
        unreadable: photographs that are known to be so: nothing is computed of these.
    """
    listed, options, stages = job.collection.photographs, job.options, frozen.stages
    classes = len(job.collection.classes)
    features, each = stages.features, stages.multiplications
    assert job.freeze is not None
    trained_on = sum(one.split in (None, "train") for one in listed)
    views = 0 if options.augment in (None, "none") else options.views * trained_on
    extra = views + crops_to_compute(split, options.crops)
    splits: Counter[str] = Counter(one.split or "to split" for one in listed)
    extractor = frozen.extractor
    return Plan(
        network=job.entry.title,
        weights=options.weights,
        freeze=job.freeze,
        class_weight=said(options.class_weight, any(one.weight != 1 for one in listed)),
        augment=options.augment or "none",
        colours=said_colours(options, options.augment or "none"),
        views=1 + (views > 0) * options.views,
        classes=classes,
        images=len(listed),
        splits=dict(splits),
        on=split.on,
        rule=split.rule,
        images_in_store=len(listed) - to_compute - unreadable,
        images_to_compute=to_compute,
        views_to_compute=extra,
        trained_parameters=(features + 1) * classes,
        frozen_parameters=stages.parameters,
        multiplications_per_image=each,
        multiplications=each * (to_compute + extra),
        seconds=(to_compute + extra) * seconds / job.processes.count,
        memory_bytes=(len(listed) + extra) * features * 4 * 3,
        disk_bytes=(to_compute + extra) * (features * 4 + 1200),
        device=str(extractor.device),
        precision=extractor.context.precision,
        threads=job.threads,
        processes=job.processes.count,
    )


def preview_split(job: Job) -> SplitRules:
    """The split as the list of photographs tells it, before any is read.

    Raises:
        UsageError: a class without a photograph to train on, or fractions that leave none.
    """
    listed, options = job.collection.photographs, job.options
    return split_rules_for(
        [photograph.label for photograph in listed],
        [photograph.split for photograph in listed],
        [str(photograph.path) for photograph in listed],
        [photograph.group for photograph in listed],
        options.seed, fraction(options.valid), fraction(options.test),
    )  # fmt: skip
