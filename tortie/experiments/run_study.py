"""Running a study: its cells in order, each in a file of its own, so that the next run goes on."""

import ast
import hashlib
import inspect
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tortie.errors import TortieError, UsageError
from tortie.experiments.environment import machine
from tortie.experiments.picture_sets import Pictures, pictures
from tortie.experiments.study import Scale, ScaleName, Study, Task
from tortie.experiments.study_figures import draw
from tortie.experiments.study_pages import write_pages
from tortie.experiments.study_result import Finished, Result
from tortie.files import open_lock, replacing, try_lock

_REVISION = 2  # raised where the frame changes what a cell would measure
_FIRST_SEED = 101  # those from 1 to 5 were seen before the seeds were made more
_CELLS, _LOCK, _RESULT = "cells", ".lock", "result.json"


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
        study: of which claim.
        scale: how large.
        seeds: one or more.
        data: folder of pictures; ``None`` for what the study brings.
        folder: for the results.
    """

    study: Study
    scale: ScaleName
    seeds: tuple[int, ...]
    data: Path | None
    folder: Path

    @property
    def size(self) -> Scale:
        """The study's own description of the scale."""
        return self.study.scales[self.scale]


def order(
    study: Study, scale: ScaleName = "quick", seeds: int | None = None, data: Path | None = None,
    folder: Path | None = None,
) -> Order:  # fmt: skip
    """What a command asks for, checked.

    Raises:
        UsageError: no such scale, no seed, data that is missing, or a folder of something else.
    """
    if scale not in study.scales:
        raise UsageError(f"no scale {scale!r}: there are {', '.join(study.scales)}")
    size = study.scales[scale]
    count = size.seeds if seeds is None else seeds
    if count < 1:
        raise UsageError(f"{count} seeds: a study takes 1 or more")
    if size.needs and data is None:
        raise UsageError(f"{study.name} at scale {scale} needs {size.needs}: give --data DIR")
    folder = folder or Path(f"{study.name}.study")
    if folder.exists():
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder: give another with -o")
        if any(folder.iterdir()) and not (folder / _CELLS).is_dir():
            raise UsageError(f"{folder} holds something else: give another folder with -o")
        other = _study_in(folder)
        if other not in (None, study.name):
            raise UsageError(f"{folder} holds the study {other}: give another folder with -o")
    return Order(study, scale, tuple(range(_FIRST_SEED, _FIRST_SEED + count)), data, folder)


def _study_in(folder: Path) -> str | None:
    """The name of the study whose result a folder holds; ``None`` where it holds none."""
    name = _result_in(folder).get("study")
    return name if isinstance(name, str) else None


def _result_in(folder: Path) -> dict[str, Any]:
    """The document of the result that a folder holds; empty where it holds none."""
    try:
        document = json.loads((folder / _RESULT).read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def run(order: Order, tell: Callable[[str], None] = lambda line: None) -> Result:
    """Measure the cells that are not there yet, and write table, figure and pages.

    A kill at any moment costs the cell in hand. The same order goes on with the next. Where all
    cells are there, the machine that they were run on stays that of the result.

    Args:
        order: what is to be run.
        tell: called with a line before each cell.

    Raises:
        UsageError: the folder is another run's at the moment, or the data cannot be used.
        TortieError: a cell failed, or the disk is full.
    """
    study, size = order.study, order.size
    data = pictures(study.data, study.side, study.channels, order.data)
    wanted = [(cell, seed) for seed in order.seeds for cell in size.cells]
    with _held(order.folder):
        finished, measured = [], False
        for number, (cell, seed) in enumerate(wanted, 1):
            path = order.folder / _CELLS / f"{order.scale}-{cell.replace('/', '-')}-{seed}.json"
            key = _key(order, data, cell, seed)
            known = _known(path, key)
            if known is None:
                tell(f"{study.name}, cell {number} of {len(wanted)}: {cell}, seed {seed}")
                known, measured = _measure(order, data, cell, seed, path), True
                with replacing(path) as file:
                    file.write(json.dumps({"key": key, **known.__dict__}).encode())
                shutil.rmtree(path.with_suffix(".run"), ignore_errors=True)
            finished.append(known)
        before = None if measured else _result_in(order.folder).get("machine")
        here = before if isinstance(before, dict) else machine()
        result = Result(
            study=study, scale=order.scale, seeds=order.seeds, cells=tuple(finished),
            data=data.document(), machine=here,
        )  # fmt: skip
        draw(result, order.folder)
        write_pages(result, order.folder)
        with replacing(order.folder / _RESULT) as file:
            file.write(json.dumps(result.document(), indent=1).encode())
    return result


def _measure(order: Order, data: Pictures, cell: str, seed: int, path: Path) -> Finished:
    task = Task(
        cell=cell, seed=seed, settings=order.size.settings, pictures=data,
        folder=path.with_suffix(".run"), lasting=order.scale == "full",
    )  # fmt: skip
    begin = time.monotonic()
    with _one_thread() if not task.lasting else nullcontext():
        arms = order.study.measure(task)
    return Finished(cell, seed, time.monotonic() - begin, arms)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small networks take longer on two threads than on one, and much longer beside others."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _known(path: Path, key: str) -> Finished | None:
    """The cell that is there, if it is of this order."""
    try:
        document = json.loads(path.read_bytes())
        if document.pop("key") != key:
            return None
        return Finished(**document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there, or not whole: it is measured


def _key(order: Order, data: Pictures, cell: str, seed: int) -> str:
    """A hash of all that a cell depends on but the machine."""
    parts = [
        _REVISION, order.study.name, order.scale, sorted(order.size.settings.items()), cell, seed,
        data.sha256, _code(order.study),
    ]  # fmt: skip
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _code(study: Study) -> str:
    """The code of a study without its words and its figure."""
    module = inspect.getmodule(study.measure)
    tree = ast.parse(inspect.getsource(module) if module else "")
    drawing = study.figure.__name__
    kept = [
        ast.dump(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign)
        and getattr(node, "name", "") != drawing
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STUDY")
    ]
    return "\n".join(kept)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder, held by one process at a time."""
    try:
        (folder / _CELLS).mkdir(parents=True, exist_ok=True)
        with open_lock(folder / _LOCK) as lock:
            if try_lock(lock.fileno()) is False:
                raise UsageError(f"another study is at work in {folder}: wait for it, or give -o")
            yield
    except OSError as error:
        raise TortieError(f"cannot write {folder}: {error.strerror or error}") from error
