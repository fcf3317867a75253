"""A frozen prefix made ready to run by the engine that was chosen, or by the next that can."""

import logging
from functools import cache
from pathlib import Path

from tortie.activations.engine import Engine, EngineChoice
from tortie.activations.onnxruntime_engine import EngineFailed, OnnxRuntimeEngine
from tortie.activations.prefix import Prefix
from tortie.graphs.graph import UnknownOperator

_log = logging.getLogger(__name__)
_INSTEAD = "PyTorch runs the frozen part, slower than ONNX Runtime: %s"


@cache
def _tell(reason: str) -> None:
    """Say it once: a fit makes several prefixes of one network ready."""
    _log.warning(_INSTEAD, reason)


def ready(prefix: Prefix, device: str, choice: EngineChoice, graphs: Path | None) -> Engine:
    """The engine, checked on a random image against eager PyTorch.

    Where ONNX Runtime cannot run the prefix, PyTorch does, and the reason is said in the log.

    Args:
        prefix: the stages.
        device: where they run, by torch's name.
        choice: what runs them, in which precision.
        graphs: folder of checked graphs; ``None`` to keep none.

    Raises:
        RefusedGraph: the prefix has a graph that is not one of tortie's.
    """
    if choice.engine == "onnxruntime":
        try:
            return OnnxRuntimeEngine(prefix.graph, prefix.graph_tensors, graphs)
        except (EngineFailed, UnknownOperator, ImportError) as error:
            _tell(str(error))
    import torch

    from tortie.activations.torch_engine import TorchEngine

    return TorchEngine(
        prefix.module, prefix.preprocessing, torch.device(device), choice.precision,
        fuse=choice.engine != "eager",
    )  # fmt: skip
