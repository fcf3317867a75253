"""The only entry of a fit: listed photographs and options to a trained and measured classifier."""

from collections.abc import Sequence
from pathlib import Path

from tortie.activations.store import ActivationStore
from tortie.images import Collection, Source
from tortie.learning.ensemble import combine, given_split, member_jobs
from tortie.learning.job import Events, Job
from tortie.learning.options import FitOptions
from tortie.learning.result import FitResult
from tortie.learning.tracking import check_tracker
from tortie.networks.ladder import rung
from tortie.processes import Processes, join
from tortie.runs.folder import check_beginning, clear
from tortie.text import json_text

_OF_A_MACHINE = {"run", "resume", "threads", "device"}  # may differ between processes


def fit(
    collection: Collection,
    sources: Sequence[Source],
    options: FitOptions,
    store: ActivationStore,
    events: Events,
    plan_only: bool = False,
) -> FitResult:
    """Turn labelled photographs into a trained and measured classifier.

    Args:
        collection: the photographs' paths, labels, splits and groups.
        sources: what to read for each of them.
        options: the user's options; several networks or members make an ensemble.
        store: where activations are kept.
        events: callbacks; of several processes the first alone calls them.
        plan_only: whether to stop at the plan.

    Raises:
        PlanOnly: with the plan, where nothing else was asked for.
        UsageError: fewer than two classes, a class of one photograph, an invalid option.
        TortieError: no photograph can be read, or a training failed.
    """
    check_tracker(options)
    processes = join(options.device)
    shared = options.model_dump(mode="json", exclude=_OF_A_MACHINE)
    processes.check_equal("options", json_text(shared))
    heard = events if processes.first else Events()
    if options.quality and (size := rung(options.quality).fetched):
        heard.note(
            f"quality {options.quality} is {options.network}: {size / 1e6:,.0f} MB are fetched "
            "from Hugging Face unless they are there; --quality embedded needs no connection"
        )
    jobs = member_jobs(collection, sources, options, store, processes, heard, plan_only)
    replaced = _replaced_run(jobs, options, processes)
    results: list[FitResult] = []
    for number, job in enumerate(jobs):
        if len(jobs) > 1:
            heard.note(f"member {number + 1} of {len(jobs)}: {job.entry.title}")
        if results:
            job = given_split(job, results[0])
        results.append(fit_one(job))
    result = combine(results, options) if len(results) > 1 else results[0]
    if replaced:
        clear(replaced)
    return result


def fit_one(job: Job) -> FitResult:
    """Fit one network: the softmax layer solved for, stages trained by steps, or depths compared.

    Raises:
        UsageError: an invalid option, or photographs that cannot be learnt from.
        TortieError: no photograph can be read, or the training failed.
    """
    if not job.by_steps:
        from tortie.learning.frozen_fit import frozen_fit

        return frozen_fit(job)
    if job.freeze is None:
        from tortie.learning.depths import compare_depths

        return compare_depths(job)
    from tortie.learning.stepwise_fit import stepwise_fit

    return stepwise_fit(job)


def _replaced_run(jobs: Sequence[Job], options: FitOptions, processes: Processes) -> Path | None:
    """Folder of an older run that gives way to a fit without steps, checked; ``None`` for none.

    A training by steps clears it itself, as it begins.
    """
    by_steps = any(job.by_steps for job in jobs)
    if not options.force or options.run is None or by_steps or not processes.first:
        return None
    check_beginning(options.run, resume=False, replaces=options.run)
    return options.run
