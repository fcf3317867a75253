"""Telling each epoch to TensorBoard, MLflow or Weights & Biases, through accelerate's trackers."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tortie.errors import UsageError
from tortie.learning.job import Job
from tortie.learning.options import FitOptions
from tortie.runs.folder import TRACK
from tortie.training.recipe import Recipe

Tell = Callable[[dict[str, float | None]], None]


def check_tracker(options: FitOptions) -> None:
    """Refuse a tracker that is not installed, or has nowhere to write.

    Raises:
        UsageError: with the command that installs it.
    """
    name = options.track
    if name is None:
        return
    missing = [each for each in ("accelerate", name) if importlib.util.find_spec(each) is None]
    if missing:
        raise UsageError(
            f"--track {name} needs {' and '.join(missing)}: pip install accelerate {name}"
        )
    if options.run is None and name == "tensorboard":
        raise UsageError("track='tensorboard' writes into the run's folder: say run='FOLDER'")


@contextmanager
def tracked(
    job: Job, folder: Path, recipe: Recipe, tracker: Any = None
) -> Iterator[Tell]:  # fmt: skip
    """What tells an epoch's row of metrics to the tracker; it is finished when the block ends.

    A run that goes on tells the epochs that it has not told before.

    Args:
        job: the fit, of whose options ``track`` is read.
        folder: of the run; its name without the suffix is the project's.
        recipe: with the job's options, the configuration that the tracker shows.
        tracker: one of accelerate's ``GeneralTracker``, in place of that of ``track``.
    """
    options, processes = job.options, job.processes
    chosen = tracker or options.track
    if chosen is None or not processes.first:
        yield lambda row: None
        return
    from accelerate import Accelerator

    where = folder / TRACK
    where.mkdir(parents=True, exist_ok=True)
    cpu = processes.device == "cpu"
    accelerator = Accelerator(cpu=cpu, log_with=chosen, project_dir=where)
    accelerator.init_trackers(folder.stem, config=_configuration(options, recipe))

    def tell(row: dict[str, float | None]) -> None:
        known = {name: value for name, value in row.items() if value is not None}
        accelerator.log(known, step=int(known.pop("epoch")))

    try:
        yield tell
    finally:
        for each in accelerator.trackers:  # accelerate's own end would part the processes too
            each.finish()


def _configuration(options: FitOptions, recipe: Recipe) -> dict[str, bool | int | float | str]:
    """One flat table, as trackers take it: the recipe, and the choices beside it."""
    own: Mapping[str, Any] = options.model_dump(
        mode="json", include={"network", "weights", "freeze", "head", "seed", "precision"}
    )
    table = {**own, **{f"recipe.{name}": value for name, value in recipe.model_dump().items()}}
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in table.items()
    }
