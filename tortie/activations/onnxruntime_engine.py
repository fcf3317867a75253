"""A frozen prefix run by ONNX Runtime: one session, called by as many threads as there are cores.

A session whose own threads share each operator waits for the last of them each time: on two busy
cores it gave 0.65 of the images that a batch on each thread gave (EfficientNet-Lite0,
benchmarks/bench_engines.py). So a session multiplies on the thread that calls it alone, and all
threads call the same, which has the weights once. Its arena keeps what it allocated: no page fault
an image, where torch had up to 2,400.
Weights are given to it as they lie in memory; it folds batch normalisation and lays them out.
"""

import contextlib
import functools
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tortie.errors import TortieError
from tortie.files import replacing
from tortie.graphs.graph import INPUT, RULES, Graph, Runnable, TensorKind, noise

_OFF = 1e-3  # of the outputs' length: rounding of another order of sums is a thousandth of it
_log = logging.getLogger(__name__)


class EngineFailed(TortieError):
    """ONNX Runtime is missing, refuses the graph, or does not compute what PyTorch does."""


class OnnxRuntimeEngine:
    """A graph and its tensors, ready to run in float32.

    Args:
        graph: of the prefix.
        tensors: its tensors, by their names in the graph; others are passed over.
        folder: where checked graphs are kept, so that the next process need not check them again;
            ``None`` to keep none.

    Raises:
        EngineFailed: it is not there, it refuses them, or its result is not the expected one.
        RefusedGraph: the graph is not one that tortie writes.
    """

    precision = "float32"

    def __init__(
        self, graph: Graph, tensors: Mapping[str, NDArray[Any]], folder: Path | None
    ) -> None:
        runnable = checked(graph, folder)
        if reason := runnable.misfit(tensors):
            raise EngineFailed(reason)
        with _said():
            self._session = _session(runnable, tensors)
            given = self._session.get_inputs()[0]
            drawn = noise(given.shape[1:], pixels=given.type == "tensor(uint8)")
        got, wanted = self(drawn), graph.expected.astype(np.float64)
        if got.shape != wanted.shape:
            raise EngineFailed(f"ONNX Runtime yields {got.shape}, not {wanted.shape}")
        with np.errstate(invalid="ignore"):  # of a network whose outputs are Inf
            difference = got - wanted
        off = float(np.linalg.norm(difference) / max(float(np.linalg.norm(wanted)), 1e-12))
        if not off < _OFF:
            raise EngineFailed(f"ONNX Runtime is off by {off:.2g} of the outputs")

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Float32 ``(N, ...)`` of what the graph takes: uint8 ``(N, H, W, C)``, or float32.

        Raises:
            EngineFailed: ONNX Runtime gives up, as where the memory is too small.
        """
        with _said():
            found: NDArray[np.float32] = self._session.run(None, {INPUT: pixels})[0]
        return found

    def shrink(self) -> None:
        """Give back what the arena holds and no run needs; it is shared by the process's sessions.

        ONNX Runtime does so at the end of a run alone: of one image.
        """
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        given = self._session.get_inputs()[0]
        dtype = np.uint8 if given.type == "tensor(uint8)" else np.float32
        self._session.run(None, {INPUT: np.zeros((1, *given.shape[1:]), dtype)}, options)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Raise what ONNX Runtime raises, in one line, as EngineFailed."""
    try:
        yield
    except Exception as error:  # its own, of which several are plain Exceptions
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineFailed(f"ONNX Runtime: {reason}") from error


def _session(runnable: Runnable, tensors: Mapping[str, NDArray[Any]]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised as well
    _register()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Row by row: of another layout, as channels-last, it would make a copy that it then refuses.
    arrays = [np.ascontiguousarray(tensors[name]) for name in runnable.tensors]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
    options.add_external_initializers(list(runnable.tensors), values)
    return onnxruntime.InferenceSession(runnable.content, options, ["CPUExecutionProvider"])


@functools.cache
def _register() -> None:
    """Let the arena of the process's sessions grow by what is asked for: by default it doubles."""
    import onnxruntime

    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0,
        onnxruntime.OrtMemType.DEFAULT,
    )  # fmt: skip
    sizes = onnxruntime.OrtArenaCfg(0, 1, -1, -1)  # no limit, as asked for
    with contextlib.suppress(Exception):  # a plain one: somebody else has registered another
        onnxruntime.create_and_register_allocator(where, sizes)


def checked(graph: Graph, folder: Path | None) -> Runnable:
    """The graph as ONNX Runtime takes it, from ``folder`` where it was checked before.

    Raises:
        RefusedGraph: the graph is not one that tortie writes.
    """
    path = folder / f"{graph.sha256}.onnx" if folder else None
    if path is not None and (kept := _kept(path)):
        return kept
    runnable = graph.runnable()
    if path is not None:
        head = {
            "sha256": hashlib.sha256(runnable.content).hexdigest(), "images": runnable.images,
            "tensors": runnable.tensors, "rules": RULES,
        }  # fmt: skip
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(json.dumps(head).encode() + b"\n" + runnable.content)
        except (OSError, TortieError) as error:
            _log.debug("no graph kept in %s: %s", folder, error)
    return runnable


def _kept(path: Path) -> Runnable | None:
    """What was kept there, if it is intact."""
    try:
        line, _, content = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        if [hashlib.sha256(content).hexdigest(), RULES] != [head["sha256"], head["rules"]]:
            return None
        images, *kinds = (
            TensorKind(dtype, tuple(shape))
            for dtype, shape in (head["images"], *head["tensors"].values())
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return Runnable(content, images, dict(zip(head["tensors"], kinds, strict=True)))
