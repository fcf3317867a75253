"""``--freeze auto``: how deep to freeze, by the rule of the trade and by a comparison.

Little data, freeze more; much data, freeze less; enough, train everything. The rule says which
depths are worth comparing; photographs that are not trained on say which of them is best.
"""

import numpy as np

from tortie import __version__
from tortie.activations.store import ActivationStore
from tortie.images import Collection
from tortie.learning.dataset import Dataset
from tortie.learning.freeze import build_trainable, middle_stage
from tortie.learning.options import FitOptions
from tortie.learning.plan import Plan, duration
from tortie.learning.probe import probe
from tortie.learning.result import Events
from tortie.learning.step_plan import plan_of
from tortie.learning.stepwise_fit import Candidate, at_depth, learn, listed
from tortie.networks.network import Network
from tortie.networks.table import Entry
from tortie.runs.folder import document_of
from tortie.runs.run import Run
from tortie.training.state import TrainState

_FEW, _ENOUGH = 20, 1000
"""Training photographs of the smallest class: under the first, nothing but the softmax layer learns
without learning them by heart; from the second on, freezing everything is not among the best."""


def choose_depth(
    collection: Collection, data: Dataset, entry: Entry, options: FitOptions,
    store: ActivationStore, run: Run, events: Events,
) -> tuple[Candidate, Plan, TrainState] | Plan | None:  # fmt: skip
    """Compare the depths that the rule names and the budget allows, and keep the best.

    Each is trained on the same photographs and judged on the same others; of equals, the one of
    the lower log loss is kept. What takes longer than the budget is left out, and said.

    Returns:
        the trained network, its plan and its training; the plan alone where ``events.plan`` said to
        stop; ``None`` where freezing everything is best.
    """
    smallest = int(np.bincount(data.labels[data.train], minlength=len(data.classes)).min())
    network = build_trainable(entry, options.model_copy(update={"freeze": "all"}), 2)[0]
    asked, rule = _worth_comparing(smallest, network)
    if not len(data.chosen_on):
        asked, rule = [], f"{rule}, and there are too few photographs to compare depths on"
    before = run.document()
    if before is not None:  # go on with the comparison that was begun
        asked = before["compared"]
    left, depths, dropped = options.budget, [], []
    for name in asked:
        own = options.model_copy(update={"freeze": name})
        depth = at_depth(data, entry, own, store, document_of(run.folder / name))
        estimate = plan_of(collection, data, depth).seconds
        if estimate > left and before is None:
            dropped.append(f"{name} would take {duration(estimate)}")
        else:
            left -= estimate
            depths.append(depth)
    if dropped:
        rule += f"; left out within {duration(options.budget)}: {', '.join(dropped)} (--budget)"
    compared = ", ".join(["all", *(str(depth.options.freeze) for depth in depths)])
    rule += f"; compared on {len(data.chosen_on)} photographs: {compared}" if depths else ""
    if not depths:
        events.note(f"depth: {rule}: everything is frozen")
        return None
    plan = _with_rule(plan_of(collection, data, depths[-1]), rule)
    if not events.plan(plan):
        return plan
    names = [str(depth.options.freeze) for depth in depths]
    run.begin({"tortie": __version__, "freeze": "auto", "compared": names}, listed(data))
    return _best(collection, data, depths, network, entry, rule, store, run, events)


def _worth_comparing(smallest: int, network: Network) -> tuple[list[str], str]:
    """Depths beside ``all``, those that freeze more first, and the rule that says so."""
    middle = middle_stage(network)
    if smallest < _FEW:
        return [], f"{smallest} photographs of the smallest class, under {_FEW}: too few to move it"
    if smallest < _ENOUGH:
        return [middle, "none"], f"{smallest} photographs of the smallest class: any depth may win"
    return ["none", middle], f"{smallest} photographs of the smallest class: enough to train all"


def _best(
    collection: Collection, data: Dataset, depths: list[Candidate], network: Network, entry: Entry,
    rule: str, store: ActivationStore, run: Run, events: Events,
) -> tuple[Candidate, Plan, TrainState] | None:  # fmt: skip
    scores = [("all", *_softmax_alone(data, network, entry, depths[0], store, events))]
    events.note(f"freeze all: {scores[0][1]:.1%} of {len(data.chosen_on)} right")
    found = []
    for depth in depths:
        name = str(depth.options.freeze)
        plan = _with_rule(plan_of(collection, data, depth), rule)
        own = Run(run.folder / name, resume=(run.folder / name / "run.json").exists())
        try:
            state = learn(depth, plan, data, own, events)
        finally:
            own.close()
        assert state.best is not None
        scores.append((name, *state.best))
        found.append((depth, plan, state))
        events.note(f"freeze {name}: {state.best[0]:.1%} of {len(data.chosen_on)} right")
    best = min(range(len(scores)), key=lambda i: (-scores[i][1], scores[i][2]))
    told = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy, _ in scores)
    verdict = f"{rule}; on photographs that none was trained on: {told}; {scores[best][0]} is kept"
    events.note(f"depth: {verdict}")
    if best == 0:
        return None
    depth, plan, state = found[best - 1]
    return depth, _with_rule(plan, verdict), state


def _softmax_alone(
    data: Dataset, network: Network, entry: Entry, depth: Candidate, store: ActivationStore,
    events: Events,
) -> tuple[float, float]:  # fmt: skip
    """Share of right answers and log loss of a softmax layer on frozen activations."""
    said = probe(network, data, entry, depth.options, store, events, data.chosen_on)[1]
    right = data.labels[data.chosen_on]
    log_loss = -np.log(np.maximum(said[np.arange(len(right)), right], 1e-12)).mean()
    return float((said.argmax(axis=1) == right).mean()), float(log_loss)


def _with_rule(plan: Plan, rule: str) -> Plan:
    assert plan.training is not None
    return plan.model_copy(update={"training": plan.training.model_copy(update={"auto": rule})})
