"""What this machine can do at best: multiplications a second, and bytes a second.

The two limits of a roofline: no network runs faster than its multiplications at the matrix rate,
and no layer faster than its bytes at the memory's bandwidth. Measured here, in a few seconds,
because data sheets speak of clocks that a laptop or a shared server does not keep.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tortie.activations.engine import native_precision
from tortie.graphs.graph import IR_VERSION, OPSET

_SIDE = 2048  # of square matrices: large enough for the best rate, 8.6 G multiplications
_VALUES = 1 << 25  # 128 MB in float32, beyond the caches of most processors


@dataclass(frozen=True)
class Machine:
    """A device's measured limits.

    Attributes:
        device: ``cpu``, or the name of an accelerator.
        threads: of torch.
        matrix_rates: multiplications a second of a large matrix product, by precision; each comes
            with an addition. A precision that the device only emulates is not there. In float32
            on a processor the best of torch, numpy and ONNX Runtime, whose kernels differ.
        bandwidth: bytes a second that a sum of two arrays reads and writes in memory.
        core_rates: as ``matrix_rates``, of one core of a processor; empty elsewhere.
    """

    device: str
    threads: int
    matrix_rates: dict[str, float]
    bandwidth: float
    core_rates: dict[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """JSON's types only."""
        return {
            "device": self.device,
            "threads": self.threads,
            "matrix_rates": self.matrix_rates,
            "bandwidth": self.bandwidth,
            "core_rates": self.core_rates,
        }


def measure(
    device: torch.device,
    seconds: float = 0.7,
    measured: Callable[[str, float | None, float | None], None] | None = None,
) -> Machine:
    """Measure the matrix rate in each native precision, and the memory's bandwidth.

    Args:
        device: where.
        seconds: that each of the measurements takes, about.
        measured: called as each measurement ends, with ``float32``, ``bfloat16`` or ``memory``,
            its figure, and that of one core; ``None`` for a precision that the device only
            emulates, and for what has no cores that are measured apart.
    """
    tell = measured or (lambda name, figure, of_core: None)
    threads = torch.get_num_threads()
    rates, core_rates = {}, {}
    for name, precision in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        if name == "bfloat16" and native_precision(device) != "bfloat16":
            tell(name, None, None)
            continue
        rates[name] = _best_rate(device, precision, seconds, threads)
        if device.type == "cpu":
            core_rates[name] = rates[name]
            if threads > 1:
                core_rates[name] = _best_rate(device, precision, seconds, 1)
                # What one core reaches, all of them do: they may leave the others idle.
                rates[name] = max(rates[name], core_rates[name])
        tell(name, rates[name], core_rates.get(name))
    bandwidth = memory_bandwidth(device, seconds, _VALUES)
    tell("memory", bandwidth, None)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Machine(name, threads, rates, bandwidth, core_rates)


def _best_rate(device: torch.device, precision: torch.dtype, seconds: float, threads: int) -> float:
    """Multiplications a second on so many threads, by the best of what is installed."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rate = matrix_rate(device, precision, seconds, _SIDE)
    finally:
        torch.set_num_threads(before)
    if device.type == "cpu" and precision == torch.float32:
        return max(rate, *other_rates(seconds, _SIDE, threads))
    return rate


@torch.inference_mode()
def matrix_rate(device: torch.device, precision: torch.dtype, seconds: float, side: int) -> float:
    """Multiplications a second of the product of two square matrices.

    Args:
        device: where.
        precision: of the matrices.
        seconds: that the measurement takes, about.
        side: of the matrices.
    """
    generator = torch.Generator(device).manual_seed(0)
    matrix = torch.randn(side, side, generator=generator, device=device).to(precision)
    return side**3 / median_seconds(lambda: matrix @ matrix, device, seconds)


def other_rates(seconds: float, side: int, threads: int) -> tuple[float, float]:
    """Multiplications a second in float32 of numpy's product and ONNX Runtime's 1×1 convolution.

    Args:
        seconds: that each measurement takes, about.
        side: of the matrices, and of as many channels and pixels of the convolution.
        threads: for each.
    """
    import onnxruntime
    from onnx import TensorProto, helper
    from threadpoolctl import threadpool_limits

    cpu = torch.device("cpu")
    matrix = np.random.default_rng(0).standard_normal((side, side), np.float32)
    with threadpool_limits(threads, "blas"):
        by_numpy = median_seconds(lambda: matrix @ matrix, cpu, seconds)
    images, kernels, found = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("images", [1, side, 1, side]), ("kernels", [side, side, 1, 1]),
            ("found", [1, side, 1, side]),
        )
    )  # fmt: skip
    node = helper.make_node("Conv", ["images", "kernels"], ["found"])
    graph = helper.make_graph([node], "convolution", [images, kernels], [found])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    given = {
        "images": matrix.reshape(1, side, 1, side),
        "kernels": matrix.reshape(side, side, 1, 1),
    }
    by_engine = median_seconds(lambda: session.run(None, given), cpu, seconds)
    return side**3 / by_numpy, side**3 / by_engine


@torch.inference_mode()
def memory_bandwidth(device: torch.device, seconds: float, values: int) -> float:
    """Bytes a second of a sum of two arrays: two are read, one is written.

    Args:
        device: where.
        seconds: that the measurement takes, about.
        values: of each array, float32.
    """
    first, second, out = (torch.ones(values, device=device) for _ in range(3))
    taken = median_seconds(lambda: torch.add(first, second, out=out), device, seconds)
    return 3 * 4 * values / taken


def median_seconds(
    run: Callable[[], object],
    device: torch.device,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The median of the times of calls that fit into ``seconds``, after one that is not timed."""
    run()
    _wait(device)
    taken: list[float] = []
    end = clock() + seconds
    while clock() < end or not taken:
        begin = clock()
        run()
        _wait(device)
        taken.append(clock() - begin)
    return statistics.median(taken)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
