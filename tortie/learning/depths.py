"""``--freeze auto``: how deep to freeze, by the rule of the trade and by a comparison.

Little data, freeze more; much data, freeze less; enough, train everything. The rule says which
depths are worth comparing; photographs that are not trained on say which of them is best. All
depths have one dataset, one split and one decode, and the best is measured on the same photographs
whichever it is.
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tortie import __version__
from tortie.learning.backbone import Backbone, make_backbone
from tortie.learning.candidate import (
    Candidate,
    Trained,
    listed,
    make_candidate,
    train_candidate,
)
from tortie.learning.clock import Clock
from tortie.learning.dataset import Dataset
from tortie.learning.features import features
from tortie.learning.freeze import middle_stage
from tortie.learning.frozen_fit import frozen_fit, solve
from tortie.learning.frozen_network import frozen_as_built
from tortie.learning.frozen_plan import plan_frozen
from tortie.learning.job import Job
from tortie.learning.plan import Plan, duration
from tortie.learning.probe import probe
from tortie.learning.result import FitResult
from tortie.learning.short_comparison import (
    Countdown,
    Round,
    Score,
    best_of,
    fewer,
    not_behind,
    plan_of_rounds,
    plan_rounds,
    said_rounds,
    short_candidate,
)
from tortie.learning.stepwise_fit import (
    check_stepwise,
    measure,
    open_run,
    read_dataset,
    torch_threads,
)
from tortie.networks.stage_names import stage_names
from tortie.runs.folder import document_of
from tortie.runs.resume import check_freeze
from tortie.runs.run import Run
from tortie.training.decoded import DecodedPhotographs

FEW, _ENOUGH = 20, 1000
"""Training photographs of the smallest class: under the first, nothing but the softmax layer learns
without learning them by heart; from the second on, freezing everything is not among the best."""


@dataclass
class DepthComparison:
    """The depths to compare beside freezing everything, and why these.

    Attributes:
        candidates: those that freeze more first.
        rounds: of short trainings; none where each depth is trained whole.
        seconds: that are left of the budget.
        rule: why these, in words.
    """

    candidates: list[Candidate] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    seconds: float = 0.0
    rule: str = ""

    @property
    def names(self) -> list[str]:
        """Of the depths, as ``--freeze`` takes them."""
        return [str(one.job.options.freeze) for one in self.candidates]


def compare_depths(job: Job) -> FitResult:
    """Fit at the depths that the rule names and the budget allows, and keep the best.

    Where whole trainings of all of them do not fit the budget, short ones compare them, and the
    best is then trained whole. Of equals, the one of the lower log loss is kept.

    Raises:
        UsageError: an invalid option, or a run that cannot be resumed with these options.
        TortieError: no photograph can be read, or a training failed.
    """
    clock = Clock()
    check_stepwise(job)
    data, listed_photographs = read_dataset(job)
    photographs = listed_photographs.only(data.inspection.rows)
    clock.lap("read")
    all_frozen = job.with_freeze("all")
    with torch_threads(job.threads), open_run(job) as run:
        check_freeze(run.folder, run.document(), job.options.freeze)
        comparison = _to_compare(job, data, photographs, run)
        if not comparison.candidates:
            run.clear_replaced()
            job.events.note(f"depth: {comparison.rule}: everything is frozen")
            return frozen_fit(all_frozen, listed_photographs, clock)
        job.announce(_plan(comparison))
        clock.lap("plan")
        document: dict[str, Any] = {"tortie": __version__, "freeze": "auto"}
        document |= {"compared": comparison.names, "rounds": [list(r) for r in comparison.rounds]}
        run.begin(document, listed(data))
        frozen = make_backbone(all_frozen, len(data.classes))
        trained, verdict = _best(frozen, photographs, comparison, run)
        job.events.note(f"depth: {verdict}")
        clock.lap("training")
        if trained is None:
            rows = np.arange(len(data))
            whole = frozen_as_built(frozen)
            table = features(all_frozen, whole.extractor, data, rows, photographs=photographs)
            plan = _with_rule(plan_frozen(all_frozen, whole, data.split), verdict)
            return solve(whole, data, table.activations[:, 0], plan, clock)
        return measure(replace(trained, plan=_with_rule(trained.plan, verdict)), clock)


def _to_compare(
    job: Job, data: Dataset, photographs: DecodedPhotographs, run: Run
) -> DepthComparison:  # fmt: skip
    """The depths that the rule names and the budget allows; what is left out, and why."""
    smallest = int(np.bincount(data.labels[data.train], minlength=len(data.classes)).min())
    asked, rule = worth_comparing(smallest, stage_names(job.entry))
    if not len(data.chosen_on):
        asked, rule = [], f"{rule}, and there are too few photographs to compare depths on"
    before = run.document()
    if before is not None:  # go on with the comparison that was begun
        asked = before["compared"]
    budget, comparison = job.options.budget, DepthComparison()
    for name in asked:
        began = time.monotonic()
        comparison.candidates.append(
            make_candidate(job.with_freeze(name), data, photographs, document_of(run.folder / name))
        )
        budget -= time.monotonic() - began  # its steps were timed
    comparison.seconds = budget
    if before is not None:
        comparison.rounds = [Round(*one) for one in before.get("rounds", ())]
    elif sum(one.plan.seconds for one in comparison.candidates) > budget:
        comparison.rounds = plan_rounds(comparison.candidates, budget)
        if not comparison.rounds:
            rule += _drop_dear(comparison, job.options.budget)
    if comparison.candidates:
        names = ", ".join(["all", *comparison.names])
        rule += f"; compared on {len(data.chosen_on)} held-out photographs: {names}"
    if comparison.rounds:
        rule += f", {said_rounds(comparison.rounds, comparison.candidates)}"
    comparison.rule = rule
    return comparison


def _drop_dear(comparison: DepthComparison, allowed: float) -> str:
    """Leave out the depths for which the budget has no time, even shortly; which, in words."""
    left, dropped = comparison.seconds, []
    for one in list(comparison.candidates):
        estimate = one.plan.seconds
        if estimate <= left:
            left -= estimate
        else:
            comparison.candidates.remove(one)
            dropped.append(f"{one.job.options.freeze} would take {duration(estimate)}")
    return f"; left out within {duration(allowed)}: {', '.join(dropped)} (--budget)"


def worth_comparing(smallest: int, names: tuple[str, ...]) -> tuple[list[str], str]:
    """Depths beside ``all``, those that freeze more first, and the rule that says so.

    Args:
        smallest: training photographs of the smallest class.
        names: of the network's stages.
    """
    middle = middle_stage(names)
    if smallest < FEW:
        return [], f"{smallest} photographs of the smallest class, under {FEW}: too few to move it"
    if smallest < _ENOUGH:
        return [middle, "none"], f"{smallest} photographs of the smallest class: any depth may win"
    return ["none", middle], f"{smallest} photographs of the smallest class: enough to train all"


def _plan(comparison: DepthComparison) -> Plan:
    """The plan of all depths: that of the last, with the cost of them all."""
    if comparison.rounds:
        plan = plan_of_rounds(comparison.rounds, comparison.candidates)
        return _with_rule(plan, comparison.rule)
    plans = [one.plan for one in comparison.candidates]
    together = {
        name: sum(getattr(plan, name) for plan in plans)
        for name in ("seconds", "multiplications", "disk_bytes")
    }
    return _with_rule(plans[-1].model_copy(update=together), comparison.rule)


def _with_rule(plan: Plan, rule: str) -> Plan:
    return plan.model_copy(update={"depth_rule": rule})


def _best(
    frozen: Backbone, photographs: DecodedPhotographs, comparison: DepthComparison, run: Run
) -> tuple[Trained | None, str]:
    """The best depth, ``None`` where that is freezing everything, and the verdict in words."""
    if comparison.rounds:
        scores = _by_rounds(frozen, photographs, comparison, run)
    else:
        data = comparison.candidates[0].data
        scores = {"all": _told("all", _softmax_alone(frozen, data, photographs), frozen, data)}
    found: dict[str, Trained] = {}
    for name, candidate in zip(comparison.names, comparison.candidates, strict=True):
        if not comparison.rounds or name == best_of(scores):
            plan = _with_rule(candidate.plan, comparison.rule)
            found[name] = _train(candidate, plan, run.folder / name)
        if not comparison.rounds:
            scores[name] = _told(name, _score(found[name]), frozen, candidate.data)
    best = best_of(scores)
    each = ", ".join(f"{name} {score.accuracy:.1%}" for name, score in scores.items())
    verdict = f"{comparison.rule}; on photographs that none was trained on: {each}; {best} is kept"
    return found.get(best), verdict


def _by_rounds(
    frozen: Backbone, photographs: DecodedPhotographs, comparison: DepthComparison, run: Run
) -> dict[str, Score]:
    """The scores of the last round that there was time for."""
    left, scores = Countdown(comparison.seconds), dict[str, Score]()
    kept = ["all", *comparison.names]
    for number, round_ in enumerate(comparison.rounds, 1):
        shorts = {
            str(one.job.options.freeze): short_candidate(one, round_)
            for one in comparison.candidates
            if str(one.job.options.freeze) in kept
        }
        if number > 1 and not left.fits(sum(one.plan.seconds for one in shorts.values())):
            frozen.job.events.note(f"depth: no time for round {number}: the last one decides")
            break
        scores = {}
        if "all" in kept:
            data = fewer(comparison.candidates[0].data, round_.share)
            scores["all"] = _told("all", _softmax_alone(frozen, data, photographs), frozen, data)
        for name, short in shorts.items():
            plan = _with_rule(short.plan, comparison.rule)
            trained = _train(short, plan, run.folder / f"round {number} {name}")
            scores[name] = _told(name, _score(trained), frozen, short.data)
            left.done(short.plan.seconds)
        kept = not_behind(scores, len(comparison.candidates[0].data.chosen_on))
        if len(kept) == 1:
            break
    return scores


def _train(candidate: Candidate, plan: Plan, folder: Path) -> Trained:
    own = Run(folder, resume=(folder / "run.json").exists())
    try:
        return train_candidate(candidate, plan, own)
    finally:
        own.close()


def _score(trained: Trained) -> Score:
    assert trained.state.best is not None
    return Score(*trained.state.best)


def _told(name: str, score: Score, frozen: Backbone, data: Dataset) -> Score:
    """The score, which a note tells."""
    frozen.job.events.note(
        f"freeze {name}: {score.accuracy:.1%} of {len(data.chosen_on)} right, trained on "
        f"{len(data.train):,}"
    )
    return score


def _softmax_alone(frozen: Backbone, data: Dataset, photographs: DecodedPhotographs) -> Score:
    """What the softmax layer of the training photographs is worth on those that choose."""
    held_out = probe(frozen, data, photographs, data.chosen_on)[1]
    probabilities, labels = held_out.probabilities, data.labels[held_out.positions]
    right = probabilities[np.arange(len(labels)), labels]
    weights = data.weights(held_out.positions)
    counts = weights if weights.any() else None
    log_loss = float(np.average(-np.log(np.maximum(right, 1e-12)), weights=counts))
    accuracy = np.average(probabilities.argmax(axis=1) == labels, weights=counts)
    return Score(float(accuracy), log_loss)
