"""Shards on the processors of a Ray cluster, or of this machine: a task for each of them.

A task reads its shard, runs the frozen stages and writes the shard's file, in one process and on
the processors that it asks for: nothing waits for a reader that finds no processor free. A task
whose worker dies is Ray's to run again, and what a killed driver leaves are whole files.
"""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tortie.activations.feature_shards import FeatureType
from tortie.activations.streaming import forward_workers
from tortie.errors import TortieError, UsageError
from tortie.images.input_shards import InputShard
from tortie.images.remote import RemoteError
from tortie.learning.job import Events
from tortie.learning.options import FitOptions
from tortie.learning.shard_features import ShardExtractor
from tortie.processes import ALONE

_RETRIES = 5  # of a shard whose worker dies, or whose server fails
_STARTS = 3  # attempts: Ray gives its own processes 30 seconds, which a busy machine takes
_QUEUE = 1000  # tasks that wait at Ray, from which it tells that more machines are needed
_BESIDE_A_GPU = 4  # processors that read and decode for it


@dataclass(frozen=True)
class Work:
    """What all tasks share; each worker is given it once.

    Attributes:
        options: of the features, with precision and engine as the driver chose them.
        dtype: that features are kept in.
        context: digest of all that they depend on, as the driver has it.
        shards: of the source.
        targets: file of each.
        directory: that relative paths begin at.
    """

    options: FitOptions
    dtype: FeatureType
    context: str
    shards: Sequence[InputShard]
    targets: Sequence[Path]
    directory: str


def compute_by_ray(
    work: Work, numbers: Sequence[int], events: Events, device: str, threads: int | None
) -> None:
    """Compute shards by Ray's tasks; the files of those that are done stay, whatever happens.

    Args:
        work: the shards and what is made of them.
        numbers: of the shards that are not there yet.
        events: told how many are done.
        device: that the frozen stages run on.
        threads: processors of a task; ``None`` for 1, and 4 beside a GPU.

    Raises:
        UsageError: ray is not installed, or no machine has as many processors.
        TortieError: a shard cannot be read, or its workers died again and again.
    """
    if not numbers:
        return
    gpus = int(device.startswith("cuda"))
    each = threads or (_BESIDE_A_GPU if gpus else 1)
    with _cluster() as ray:
        _check_room(ray, each, gpus, events.note)
        task = ray.remote(
            num_cpus=each, num_gpus=gpus, max_retries=_RETRIES, retry_exceptions=[RemoteError],
            max_calls=0,
        )(compute_there)  # fmt: skip
        shared = ray.put(work)
        left, running, done = iter(numbers), {}, 0
        try:
            while True:
                for number in left:
                    running[task.remote([shared], number, each)] = number
                    if len(running) == _QUEUE:
                        break
                if not running:
                    return
                events.progress(done, len(numbers))
                for finished in ray.wait(list(running))[0]:
                    _result(ray, finished, work.shards[running.pop(finished)])
                    done += 1
        finally:
            events.progress(done, len(numbers))
            for one in running:
                ray.cancel(one, force=True)


_here: dict[str, tuple[Work, ShardExtractor]] = {}
"""What a worker was given, by Ray's name of it: the network is built once."""


def compute_there(shared: list[Any], number: int, threads: int) -> None:
    """Compute one shard in a worker.

    Args:
        shared: a list of one reference, to a :class:`Work`, which Ray hands on as it is.
        number: of the shard.
        threads: that read, and that run the network.
    """
    import ray

    name = shared[0].hex()
    if name not in _here:
        work = ray.get(shared[0])
        with contextlib.suppress(OSError):  # a machine that lacks it has absolute paths alone
            os.chdir(work.directory)
        options = work.options.changed(threads=threads)
        here = ShardExtractor(options, work.dtype, ALONE, lambda _: None)
        if here.begun.context != work.context:
            raise TortieError(
                "a worker would compute other features: it has another version of tortie or of an "
                "engine, or other weights, than the machine that began"
            )
        _here.clear()
        _here[name] = work, here
    work, here = _here[name]
    with forward_workers(here.extractor.threads) as workers:
        here.compute(work.shards[number], work.targets[number], workers)


def check_ray() -> None:
    """See that Ray is there.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("the runner ray needs ray: pip install 'tortie[ray]'")


@contextlib.contextmanager
def _cluster() -> Iterator[Any]:
    """Ray: the cluster that the environment names or this machine runs, else one for this run."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    check_ray()
    import ray

    if ray.is_initialized():
        yield ray
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    for attempt in range(_STARTS):
        try:
            ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
            break
        except Exception as error:  # of Ray's own processes
            ray.shutdown()
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if attempt + 1 == _STARTS:
                raise TortieError(f"Ray does not start: {said}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_room(ray: Any, each: int, gpus: int, note: Callable[[str], None]) -> None:
    """Say how many tasks run at a time; refuse one that no machine has room for."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    largest = int(max((node.get("CPU", 0) for node in nodes), default=0))
    if each > largest:
        raise UsageError(
            f"--threads {each}: no machine of the cluster has more than {largest} processors"
        )
    at_once = sum(
        int(min(node.get("CPU", 0) // each, node.get("GPU", 0) // gpus if gpus else 10**9))
        for node in nodes
    )
    if not at_once:
        raise UsageError("no machine of the cluster has a GPU: take --device cpu")
    note(
        f"ray: {at_once:,} at a time (processors for each: {each}, to read and to compute; "
        f"machines: {len(nodes):,})"
    )


def _result(ray: Any, finished: Any, shard: InputShard) -> None:
    """Raise what a task ended with."""
    try:
        ray.get(finished)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, TortieError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TortieError(
            f"{shard.name}: its workers died {_RETRIES + 1} times: {said}; what is done is kept"
        ) from None
