"""Training by steps: one function, read from top to bottom, that a kill at any moment only delays.

Every draw is a function of seed, epoch and step, so a checkpoint holds no generator: the weights,
the optimiser, the averages and the state are all there is. What was chosen by a measurement (the
precision, where activations come from) is taken from ``run.json``; a run whose other choices or
photographs differ is refused (:mod:`tortie.runs.resume`).
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
from tortie.networks.network import TrainedPart
from tortie.processes import ALONE, Processes, Share
from tortie.training.averages import Average
from tortie.training.batch_norm import begin_training
from tortie.training.feed import Feed, Prepare, batches_of, order, ready
from tortie.training.losses import Loss, balance_weights, loss_of, mix
from tortie.training.optimisers import (
    load_optimiser,
    make_optimiser,
    optimiser_tensors,
    set_rates,
)
from tortie.training.precision import arithmetic
from tortie.training.recipe import Recipe
from tortie.training.schedules import rate
from tortie.training.state import Checkpoints, TrainState
from tortie.training.step import Step

Integers = NDArray[np.int64]

MINUTES = 2.0  # between checkpoints within an epoch


@dataclass(frozen=True)
class TrainData:
    """What is learnt from: photographs, their classes, and which of them are for what.

    Attributes:
        feed: inputs by position.
        prepare: inputs as the trained part takes them.
        labels: class indices ``(N,)``.
        classes: K.
        train: positions that are trained on.
        chosen_on: positions that choose the best epoch; may be empty.
        chosen_weights: what each of these counts ``(n,)``; ``None`` where each is one.
        class_weights: what a photograph of each class counts in the loss ``(K,)``; ``None`` for
            what the recipe's ``balance`` says.
        sample_weights: how often each photograph is drawn, beside the others ``(N,)``; ``None``
            where that is the recipe's alone.
        arranged: the order in which an epoch sees the rows that were drawn, from these and the
            epoch; by default as they were drawn.
    """

    feed: Feed
    prepare: Prepare
    labels: Integers
    classes: int
    train: Integers
    chosen_on: Integers
    chosen_weights: NDArray[np.float64] | None = None
    class_weights: NDArray[np.float32] | None = None
    sample_weights: NDArray[np.float64] | None = None
    arranged: Callable[[Integers, int], Integers] = lambda rows, epoch: rows


@dataclass(frozen=True)
class TrainConfig:
    """How it is learnt, beside the recipe.

    Attributes:
        seed: of every draw.
        precision: of the forward pass.
        workers: threads that make batches ready; 0 for none.
        side_weight: of each side head's loss.
        device: where the steps run.
        processes: that learn together; each runs all of this.
        accumulate: parts of a batch that go through the network one after another.
        tell: called with the figures of each epoch.
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
    trained: TrainedPart, data: TrainData, recipe: Recipe, config: TrainConfig, run: Checkpoints,
    progress: Callable[[int, int], None], note: Callable[[str], None],
) -> TrainState:  # fmt: skip
    """Train ``trained`` by the recipe, and leave it with the weights of its best epoch.

    Args:
        trained: what is trained, on its device; its frozen stages stay as they are.
        data: photographs and classes.
        recipe: optimiser, schedule, loss.
        config: seed, precision, workers.
        run: where checkpoints go, and where an earlier one is taken up.
        progress: told the steps done and the steps in all.
        note: told a line after each epoch.

    Returns:
        how the run went.

    Raises:
        TortieError: it was interrupted, the loss or a weight is NaN or Inf, or the disk is full;
            the last checkpoint is good, and going on from it ends with the weights of a run never
            stopped.
    """
    labels = torch.from_numpy(data.labels)
    loss, sampled = _balanced(data, recipe, config.device)
    optimiser = make_optimiser(trained, recipe, config.device)
    average = Average(trained, recipe.ema) if recipe.ema else None
    processes = config.processes
    step = Step(
        trained, optimiser, loss, recipe, config.precision,
        side_weight=config.side_weight, processes=processes,
    )  # fmt: skip
    state = _resumed(run, trained, optimiser, average)
    processes.broadcast_model(trained)
    steps = len(batches_of(data.train, recipe.batch))
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        if not _finite(trained):
            raise processes.fatal(_diverged("NaN or Inf in the weights", state, recipe, run))
        tensors = {f"trained.{name}": tensor for name, tensor in trained.state_dict().items()}
        run.save(state, {**tensors, **optimiser_tensors(optimiser), **_averages(average)})
        saved = time.monotonic()

    with (
        _stop_asked(processes.count == 1) as stop,
        torch.random.fork_rng(devices=_devices(config.device)),
    ):
        while state.finished is None:
            begin_training(trained, recipe.statistics)
            rows = data.arranged(order(data.train, config.seed, state.epoch, sampled), state.epoch)
            left = batches_of(rows, recipe.batch)[state.step :]
            shares = [processes.share(batch) for batch in left]
            own_rows = [share.rows for share in shares]
            with closing(ready(data.feed, own_rows, state.epoch, config.workers)) as batches:
                for rows, share, (own, inputs) in zip(left, shares, batches, strict=True):
                    done = (state.epoch - 1) * steps + state.step
                    torch.manual_seed(_seed(config.seed, done, processes.rank))  # dropout
                    set_rates(optimiser, rate(recipe, done / (steps * recipe.epochs)))
                    images, targets = data.prepare(inputs), labels[own].to(config.device)
                    if recipe.mixup:
                        images, targets = _mixed(images, rows, share, data, recipe, config, done)
                    parts = share.parts(config.accumulate)
                    loss_of_own = step(images, targets, share.weight, parts).item()
                    progress(done + 1, steps * recipe.epochs)
                    asked = stop.is_set(), time.monotonic() - saved > MINUTES * 60
                    value, stopped, due = processes.all_reduce_scalars(loss_of_own, *asked)
                    state.step += 1
                    if not math.isfinite(value):
                        raise processes.fatal(_diverged(f"loss is {value}", state, recipe, run))
                    if average is not None:
                        average.update(trained)
                    state.losses += value * len(rows)
                    state.seen += len(rows)
                    if stopped:
                        save()
                        raise processes.fatal(_interrupted(state, steps, recipe, run))
                    if due:
                        save()
            _end_epoch(trained, data, recipe, config, run, state, average, note)
            save()
            if any(processes.all_reduce_scalars(stop.is_set())):
                raise processes.fatal(_interrupted(state, steps, recipe, run))
    if state.best_epoch is not None:
        trained.load_state_dict(run.best())
    trained.eval()
    return state


def _balanced(
    data: TrainData, recipe: Recipe, device: torch.device
) -> tuple[Loss, NDArray[np.float32] | None]:
    """The loss, and how often each training photograph is drawn; ``None`` for once an epoch."""
    weights = balance_weights(data.labels[data.train], data.classes)
    in_loss = weights if recipe.balance == "loss" else data.class_weights
    by_class = None if in_loss is None else torch.from_numpy(in_loss).to(device)
    sampled = weights[data.labels[data.train]] if recipe.balance == "sampler" else None
    if data.sample_weights is not None:
        own = data.sample_weights[data.train].astype(np.float32)
        sampled = own if sampled is None else own * sampled
    return loss_of(recipe, by_class), sampled


def _mixed(
    images: Tensor, rows: Integers, share: Share, data: TrainData, recipe: Recipe,
    config: TrainConfig, done: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """This process's part of a batch that is mixed as a whole, and its targets ``(n, K)``."""
    batch = config.processes.gather_rows(images, share)
    labels = torch.from_numpy(data.labels[rows]).to(config.device)
    generator = np.random.Generator(np.random.PCG64([config.seed, done, 1]))
    mixed, targets = mix(batch, labels, data.classes, recipe.mixup, generator)
    return mixed[share.place], targets[share.place]


def _end_epoch(
    trained: TrainedPart, data: TrainData, recipe: Recipe, config: TrainConfig,
    run: Checkpoints, state: TrainState, average: Average | None, note: Callable[[str], None],
) -> None:  # fmt: skip
    """Judge the epoch, keep it if it is the best so far, and move on."""
    if not _finite(trained):
        raise config.processes.fatal(_diverged("NaN or Inf in the weights", state, recipe, run))
    chosen = len(data.chosen_on) > 0
    weights = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    if average is not None:
        average.copy_to(trained)
    accuracy, log_loss = _validate(trained, data, config)
    if not math.isfinite(log_loss):
        said = f"the validation loss is {log_loss}"
        raise config.processes.fatal(_diverged(said, state, recipe, run))
    if not chosen or state.better(accuracy, log_loss):
        run.save_best(trained.state_dict())
        state.best, state.best_epoch, state.waited = (accuracy, log_loss), state.epoch, 0
    else:
        state.waited += 1
    if average is not None:
        trained.load_state_dict(weights)
    row: dict[str, float | None] = {
        "epoch": state.epoch,
        "train_loss": state.losses / max(1, state.seen),
        "validation_loss": log_loss if chosen else None,
        "validation_accuracy": accuracy if chosen else None,
        "learning_rate": recipe.learning_rate * rate(recipe, (state.epoch - 1) / recipe.epochs),
    }
    state.history.append(row)
    run.write_metrics(state.history)
    config.tell(row)
    note(
        f"epoch {state.epoch} of {recipe.epochs}: training loss {row['train_loss']:.3f}"
        + (f", validation {accuracy:.1%} of {len(data.chosen_on):,} right" if chosen else "")
        + (", the best so far" if chosen and state.best_epoch == state.epoch else "")
    )
    if state.epoch >= recipe.epochs:
        state.finished = "epochs"
    elif recipe.patience is not None and state.waited >= recipe.patience:
        state.finished = "patience"
    state.epoch, state.step, state.losses, state.seen = state.epoch + 1, 0, 0.0, 0


@torch.inference_mode()
def probabilities(
    trained: TrainedPart, data: TrainData, rows: Integers, config: TrainConfig
) -> Tensor:
    """What the trained part says of some photographs, undistorted: float32 ``(n, K)``."""
    trained.eval()
    parts = []
    share = config.processes.share(rows)
    batches = batches_of(share.rows, 64) if len(rows) else []
    for _, inputs in ready(data.feed, batches, 0, config.workers):
        with arithmetic(config.precision, config.device):
            logits = trained(data.prepare(inputs))
        parts.append(logits.float().softmax(dim=1).cpu())
    if not parts:
        return torch.empty(0, data.classes)
    return config.processes.gather_rows(torch.cat(parts), share, phase=True)


def _validate(trained: TrainedPart, data: TrainData, config: TrainConfig) -> tuple[float, float]:
    """Share of right answers and log loss on the photographs that choose; 0 and 0 without any."""
    if not len(data.chosen_on):
        return 0.0, 0.0
    said = probabilities(trained, data, data.chosen_on, config)
    right = torch.from_numpy(data.labels[data.chosen_on])
    losses = -said.gather(1, right[:, None])[:, 0].clamp_min(1e-12).log()
    weights = data.chosen_weights
    counts = None if weights is None or not weights.any() else weights
    accuracy = np.average((said.argmax(dim=1) == right).numpy(), weights=counts)
    return float(accuracy), float(np.average(losses.double().numpy(), weights=counts))


def _resumed(
    run: Checkpoints,
    trained: TrainedPart,
    optimiser: torch.optim.Optimizer,
    average: Average | None,
) -> TrainState:
    """Take up the last checkpoint, or begin."""
    restored = run.restore()
    if restored is None:
        return TrainState()
    state, tensors = restored
    own = {n.removeprefix("trained."): t for n, t in tensors.items() if n.startswith("trained.")}
    averages = {n.removeprefix("ema."): t for n, t in tensors.items() if n.startswith("ema.")}
    try:
        trained.load_state_dict(own)
        load_optimiser(optimiser, tensors)
    except (RuntimeError, ValueError, KeyError) as error:
        raise TortieError(
            f"{run.last} is of another network or optimiser than {run.folder}: --force begins again"
        ) from error
    if average is not None:
        average.load(averages)
    return state


def _averages(average: Average | None) -> dict[str, Tensor]:
    if average is None:
        return {}
    return {f"ema.{name}": tensor for name, tensor in average.state().items()}


def _seed(seed: int, step: int, rank: int) -> int:
    return (seed * 1_000_003 + step + rank * 2**40) % 2**63


def _devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _finite(trained: TrainedPart) -> bool:
    """Whether every weight and statistic is a number."""
    return all(bool(tensor.isfinite().all()) for tensor in trained.state_dict().values())


def _diverged(what: str, state: TrainState, recipe: Recipe, run: Checkpoints) -> str:
    kept = f" (the last good checkpoint is {run.last})" if run.last else ""
    return (
        f"{what} (epoch {state.epoch}, step {state.step}): the learning rate is too high for this "
        f"network and these photographs; try --learning-rate {recipe.learning_rate / 5:g} with "
        f"--force{kept}"
    )


def _interrupted(state: TrainState, steps: int, recipe: Recipe, run: Checkpoints) -> str:
    where = f"in epoch {state.epoch} of {recipe.epochs}, after step {state.step} of {steps}"
    if not state.step:
        where = f"after epoch {state.epoch - 1} of {recipe.epochs}"
    return f"stopped {where}; {run.resume_hint}"


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
