"""Which engine runs a frozen prefix here, chosen by what the processor has, never by timing.

====================  ===========  ============================================================
where                 engine       why
====================  ===========  ============================================================
processor, float32    onnxruntime  fastest in float32, with AVX2 and with AVX-512 too
processor, bfloat16   onednn       native (AVX-512 BF16, AMX), 1.4 to 2.9 times as fast; ONNX
                                   Runtime has no such kernels for processors
graphics card         eager        torch's own
====================  ===========  ============================================================

Engines round differently, so the engine is part of the store's key. Nothing here imports torch.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.processor import native_bfloat16

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]
EngineName = Literal["onnxruntime", "onednn", "eager"]

BATCH = 8
"""Images a batch. Measured on EfficientNet-Lite0 with a batch on each of two cores with AMX: 360
images a second in batches of 4, 390 of 8, 320 of 16, whose activations leave the caches."""

ENGINES = ("auto", *get_args(EngineName))
"""What a user may ask for."""


class Engine(Protocol):
    """A frozen prefix, ready to run; any number of threads may call it at once."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Activations at the cut of uint8 images ``(N, H, W, C)``: float32, ``(N, ...)``."""
        ...


class EngineChoice(NamedTuple):
    """How a prefix runs.

    Attributes:
        engine: what runs it.
        precision: of the multiplications.
    """

    engine: EngineName
    precision: Precision


def native_precision(device: "str | torch.device") -> Precision:
    """bfloat16 where the device multiplies it natively, float32 elsewhere."""
    kind = str(device).partition(":")[0]
    if kind == "cuda":
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if kind == "cpu" and native_bfloat16() else "float32"


def chosen_precision(name: str, device: "str | torch.device") -> Precision | None:
    """The precision of that name; ``None`` for ``auto``, what the device does natively.

    Raises:
        UsageError: bfloat16 where the device only emulates it, many times slower than float32.
    """
    if name == "bfloat16" and native_precision(device) != "bfloat16":
        raise UsageError(
            f"precision bfloat16: {device} here has no bfloat16 arithmetic, and emulates it many "
            "times slower than float32: take auto or float32"
        )
    return "float32" if name == "float32" else "bfloat16" if name == "bfloat16" else None


def choose(engine: str, device: "str | torch.device", precision: Precision | None) -> EngineChoice:
    """The engine and the precision of a prefix on a device.

    Args:
        engine: ``"auto"``, or one of :data:`ENGINES` that the user asks for.
        device: ``"cpu"``, ``"cuda"`` or another of torch's devices.
        precision: ``None`` for what the engine does natively.

    Raises:
        UsageError: no such engine, or it does not run there or in that precision.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}: expected {', '.join(ENGINES)}")
    if not str(device).startswith("cpu"):
        if engine in ("onnxruntime", "onednn"):
            raise UsageError(f"the engine {engine} runs on processors, not on {device}: take auto")
        return EngineChoice("eager", precision or native_precision(device))
    if engine == "onnxruntime":
        if precision == "bfloat16":
            raise UsageError(
                "the engine onnxruntime has no bfloat16 on processors: take --precision float32, "
                "or --engine onednn"
            )
        return EngineChoice("onnxruntime", "float32")
    wanted = precision or native_precision(device)
    if engine == "auto":
        return EngineChoice("onnxruntime" if wanted == "float32" else "onednn", wanted)
    return EngineChoice("eager" if engine == "eager" else "onednn", wanted)


def revision(engine: EngineName) -> str:
    """The engine with the revision of what it computes; part of the store's key."""
    if engine != "onnxruntime":
        return {"onednn": "fused-2", "eager": "eager-1"}[engine]
    try:
        return f"onnxruntime-1-{version('onnxruntime')}"
    except PackageNotFoundError:  # installed under another name, such as onnxruntime-openvino
        return "onnxruntime-1"
