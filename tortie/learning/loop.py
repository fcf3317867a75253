"""Training by steps: one function, read from top to bottom, that a kill at any moment only delays.

Every draw is a function of seed, epoch and step, so a checkpoint holds no generator: the weights,
the optimiser, the averages and the place are all there is.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tortie.activations.engine import Precision
from tortie.errors import TortieError
from tortie.learning.averages import Average
from tortie.learning.batch_norm import begin_training
from tortie.learning.feed import Feed, Prepare, batches_of, order, ready
from tortie.learning.losses import balance_weights, loss_of, mix
from tortie.learning.optimisers import (
    load_optimiser,
    make_optimiser,
    optimiser_tensors,
    set_rates,
)
from tortie.learning.precision import arithmetic
from tortie.learning.processes import ALONE, Processes
from tortie.learning.recipe import Recipe
from tortie.learning.run import Place, Run
from tortie.learning.schedules import rate
from tortie.learning.step import Step
from tortie.networks.network import Rest

Integers = NDArray[np.int64]

MINUTES = 2.0  # between checkpoints within an epoch


@dataclass(frozen=True)
class Lesson:
    """What is learnt from: photographs, their classes, and which of them are for what.

    Attributes:
        feed: inputs by position.
        prepare: inputs as the trained part takes them.
        labels: class indices ``(N,)``.
        classes: K.
        train: positions that are trained on.
        chosen_on: positions that choose the best epoch; may be empty.
    """

    feed: Feed
    prepare: Prepare
    labels: Integers
    classes: int
    train: Integers
    chosen_on: Integers


@dataclass(frozen=True)
class Manner:
    """How it is learnt, beside the recipe.

    Attributes:
        seed: of every draw.
        precision: of the forward pass.
        workers: threads that make batches ready; 0 for none.
        side_weight: of each side head's loss.
        device: where the steps run.
        processes: that learn together; each runs all of this.
        accumulate: parts of a batch that go through the network one after another.
        tell: told what each epoch came to.
    """

    seed: int
    precision: Precision
    workers: int
    side_weight: float
    device: torch.device
    processes: Processes = ALONE
    accumulate: int = 1
    tell: Callable[[dict[str, float | None]], None] = lambda row: None


def train(
    rest: Rest, lesson: Lesson, recipe: Recipe, manner: Manner, run: Run,
    progress: Callable[[int, int], None], note: Callable[[str], None],
) -> Place:  # fmt: skip
    """Train ``rest`` by the recipe, and leave it with the weights of its best epoch.

    Args:
        rest: what is trained, on its device; its frozen stages stay as they are.
        lesson: photographs and classes.
        recipe: optimiser, schedule, loss.
        manner: seed, precision, workers.
        run: where checkpoints go, and where an earlier one is taken up.
        progress: told the steps done and the steps in all.
        note: told a line after each epoch.

    Returns:
        how the run went.

    Raises:
        TortieError: it was interrupted, the loss or a weight is no number, or the disk is full;
            the last checkpoint is good, and going on from it ends with the weights of a run never
            stopped.
    """
    labels = torch.from_numpy(lesson.labels)
    weights = balance_weights(lesson.labels[lesson.train], lesson.classes)
    loss = loss_of(
        recipe, torch.from_numpy(weights).to(manner.device) if recipe.balance == "loss" else None
    )
    sampled = weights[lesson.labels[lesson.train]] if recipe.balance == "sampler" else None
    optimiser = make_optimiser(rest, recipe, manner.device)
    average = Average(rest, recipe.ema) if recipe.ema else None
    processes = manner.processes
    step = Step(rest, optimiser, loss, recipe, manner.precision, manner.side_weight, processes)
    place = _taken_up(run, rest, optimiser, average)
    processes.same(rest)
    steps = len(batches_of(lesson.train, recipe.batch))
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        if not _finite(rest):
            raise processes.ended(_diverged("a weight is no number", place, recipe, run))
        tensors = {f"rest.{name}": tensor for name, tensor in rest.state_dict().items()}
        run.save(place, {**tensors, **optimiser_tensors(optimiser), **_averages(average)})
        saved = time.monotonic()

    with (
        _stop_asked(processes.count == 1) as stop,
        torch.random.fork_rng(devices=_devices(manner.device)),
    ):
        while place.finished is None:
            begin_training(rest, recipe.statistics)
            rows = order(lesson.train, manner.seed, place.epoch, sampled)
            left = batches_of(rows, recipe.batch)[place.step :]
            shares = [processes.share(batch) for batch in left]
            own_rows = [share.rows for share in shares]
            with closing(ready(lesson.feed, own_rows, place.epoch, manner.workers)) as batches:
                for rows, share, (own, inputs) in zip(left, shares, batches, strict=True):
                    done = (place.epoch - 1) * steps + place.step
                    torch.manual_seed(_seed(manner.seed, done, processes.rank))  # dropout
                    set_rates(optimiser, rate(recipe, done / (steps * recipe.epochs)))
                    images, targets = lesson.prepare(inputs), labels[own].to(manner.device)
                    if recipe.mixup:
                        drawn = np.random.Generator(np.random.PCG64([manner.seed, done, 1]))
                        whole = processes.whole(images, share), labels[rows].to(manner.device)
                        mixed = mix(*whole, lesson.classes, recipe.mixup, drawn)
                        images, targets = (one[share.place] for one in mixed)
                    parts = share.parts(manner.accumulate)
                    loss_of_own = step(images, targets, share.weight, parts).item()
                    progress(done + 1, steps * recipe.epochs)
                    late = time.monotonic() - saved > MINUTES * 60
                    value, stopped, due = processes.total(loss_of_own, stop.is_set(), late)
                    place.step += 1
                    if not math.isfinite(value):
                        said = _diverged(f"the loss is {value}", place, recipe, run)
                        raise processes.ended(said)
                    if average is not None:
                        average.update(rest)
                    place.losses += value * len(rows)
                    place.seen += len(rows)
                    if stopped:
                        save()
                        raise processes.ended(_interrupted(place, steps, recipe, run))
                    if due:
                        save()
            _end_epoch(rest, lesson, recipe, manner, run, place, average, note)
            save()
            if any(processes.total(stop.is_set())):
                raise processes.ended(_interrupted(place, steps, recipe, run))
    if place.best_epoch is not None:
        rest.load_state_dict(run.best())
    rest.eval()
    return place


def _end_epoch(
    rest: Rest, lesson: Lesson, recipe: Recipe, manner: Manner, run: Run, place: Place,
    average: Average | None, note: Callable[[str], None],
) -> None:  # fmt: skip
    """Judge the epoch, keep it if it is the best so far, and move on."""
    if not _finite(rest):
        raise manner.processes.ended(_diverged("a weight is no number", place, recipe, run))
    chosen = len(lesson.chosen_on) > 0
    judged = {name: tensor.clone() for name, tensor in rest.state_dict().items()}
    if average is not None:
        average.copy_to(rest)
    accuracy, log_loss = _judge(rest, lesson, manner)
    if not math.isfinite(log_loss):
        said = f"the validation loss is {log_loss}"
        raise manner.processes.ended(_diverged(said, place, recipe, run))
    if not chosen or place.better(accuracy, log_loss):
        run.save_best(rest.state_dict())
        place.best, place.best_epoch, place.waited = (accuracy, log_loss), place.epoch, 0
    else:
        place.waited += 1
    if average is not None:
        rest.load_state_dict(judged)
    row: dict[str, float | None] = {
        "epoch": place.epoch,
        "train_loss": place.losses / max(1, place.seen),
        "validation_loss": log_loss if chosen else None,
        "validation_accuracy": accuracy if chosen else None,
        "learning_rate": recipe.learning_rate * rate(recipe, (place.epoch - 1) / recipe.epochs),
    }
    place.history.append(row)
    run.write_metrics(place.history)
    manner.tell(row)
    note(
        f"epoch {place.epoch} of {recipe.epochs}: training loss {row['train_loss']:.3f}"
        + (f", validation {accuracy:.1%} right" if chosen else "")
        + (", the best so far" if chosen and place.best_epoch == place.epoch else "")
    )
    if place.epoch >= recipe.epochs:
        place.finished = f"all {recipe.epochs} epochs"
    elif recipe.patience is not None and place.waited >= recipe.patience:
        place.finished = f"{place.waited} epochs without a better one"
    place.epoch, place.step, place.losses, place.seen = place.epoch + 1, 0, 0.0, 0


@torch.inference_mode()
def probabilities(rest: Rest, lesson: Lesson, rows: Integers, manner: Manner) -> Tensor:
    """What the trained part says of some photographs, undistorted: float32 ``(n, K)``."""
    rest.eval()
    parts = []
    share = manner.processes.share(rows)
    batches = batches_of(share.rows, 64) if len(rows) else []
    for _, inputs in ready(lesson.feed, batches, 0, manner.workers):
        with arithmetic(manner.precision, manner.device):
            logits = rest(lesson.prepare(inputs))
        parts.append(logits.float().softmax(dim=1).cpu())
    if not parts:
        return torch.empty(0, lesson.classes)
    return manner.processes.whole(torch.cat(parts), share, phase=True)


def _judge(rest: Rest, lesson: Lesson, manner: Manner) -> tuple[float, float]:
    """Share of right answers and log loss on the photographs that choose; 0 and 0 without any."""
    if not len(lesson.chosen_on):
        return 0.0, 0.0
    said = probabilities(rest, lesson, lesson.chosen_on, manner)
    right = torch.from_numpy(lesson.labels[lesson.chosen_on])
    log_loss = -said.gather(1, right[:, None]).clamp_min(1e-12).log().mean()
    return float((said.argmax(dim=1) == right).double().mean()), float(log_loss)


def _taken_up(
    run: Run, rest: Rest, optimiser: torch.optim.Optimizer, average: Average | None
) -> Place:
    """Take up the last checkpoint, or begin."""
    restored = run.restore()
    if restored is None:
        return Place()
    place, tensors = restored
    own = {n.removeprefix("rest."): t for n, t in tensors.items() if n.startswith("rest.")}
    averages = {n.removeprefix("ema."): t for n, t in tensors.items() if n.startswith("ema.")}
    try:
        rest.load_state_dict(own)
        load_optimiser(optimiser, tensors)
    except (RuntimeError, ValueError, KeyError) as error:
        raise TortieError(
            f"{run.last} is of another network or optimiser than {run.folder}: --force begins again"
        ) from error
    if average is not None:
        average.load(averages)
    return place


def _averages(average: Average | None) -> dict[str, Tensor]:
    if average is None:
        return {}
    return {f"ema.{name}": tensor for name, tensor in average.state().items()}


def _seed(seed: int, step: int, rank: int) -> int:
    return (seed * 1_000_003 + step + rank * 2**40) % 2**63


def _devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _finite(rest: Rest) -> bool:
    """Whether every weight and statistic is a number."""
    return all(bool(tensor.isfinite().all()) for tensor in rest.state_dict().values())


def _diverged(what: str, place: Place, recipe: Recipe, run: Run) -> str:
    kept = f" (the last good checkpoint is {run.last})" if run.last else ""
    return (
        f"{what} in epoch {place.epoch}, step {place.step}: the rate is too high for this network "
        f"and these photographs; try --learning-rate {recipe.learning_rate / 5:g} with --force"
        f"{kept}"
    )


def _interrupted(place: Place, steps: int, recipe: Recipe, run: Run) -> str:
    where = f"in epoch {place.epoch} of {recipe.epochs}, after step {place.step} of {steps}"
    if not place.step:
        where = f"after epoch {place.epoch - 1} of {recipe.epochs}"
    return f"stopped {where}; {run.way_on}"


@contextmanager
def _stop_asked(alone: bool) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C, or a request to end, sets; the second acts at once.

    Of several processes none acts at once: torchrun passes on the Ctrl-C that they have had.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        if not alone:
            return
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
