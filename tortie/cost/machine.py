"""What this machine can do at best: multiplications a second, and bytes a second.

The two limits of a roofline: no network runs faster than its multiplications at the matrix rate,
and no layer faster than its bytes at the memory's bandwidth. Measured here, in a few seconds,
because data sheets speak of clocks that a laptop or a shared server does not keep.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

_SIDE = 2048  # of square matrices: large enough for the best rate, 8.6 G multiplications
_VALUES = 1 << 25  # 128 MB in float32, beyond the caches of most processors


@dataclass(frozen=True)
class Machine:
    """A device's measured limits.

    Attributes:
        device: ``cpu``, or the name of an accelerator.
        threads: of torch.
        matrix_rates: multiplications a second of a large matrix product, by precision; each comes
            with an addition.
        bandwidth: bytes a second that a sum of two arrays reads and writes in memory.
    """

    device: str
    threads: int
    matrix_rates: dict[str, float]
    bandwidth: float

    def document(self) -> dict[str, Any]:
        """JSON's types only."""
        return {
            "device": self.device,
            "threads": self.threads,
            "matrix_rates": self.matrix_rates,
            "bandwidth": self.bandwidth,
        }


def measure(device: torch.device, seconds: float = 0.7) -> Machine:
    """Measure the matrix rate in float32 and bfloat16, and the memory's bandwidth.

    Args:
        device: where.
        seconds: that each of the three measurements takes, about.
    """
    rates = {}
    with torch.inference_mode():
        for precision in (torch.float32, torch.bfloat16):
            generator = torch.Generator(device).manual_seed(0)
            left = torch.randn(_SIDE, _SIDE, generator=generator, device=device).to(precision)
            taken = median_seconds(_product(left), device, seconds)
            rates[str(precision).removeprefix("torch.")] = _SIDE**3 / taken
        first, second, out = (torch.ones(_VALUES, device=device) for _ in range(3))
        taken = median_seconds(lambda: torch.add(first, second, out=out), device, seconds)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Machine(name, torch.get_num_threads(), rates, 3 * 4 * _VALUES / taken)


def _product(matrix: torch.Tensor) -> Callable[[], object]:
    return lambda: matrix @ matrix


def median_seconds(run: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The median of the times of calls that fit into ``seconds``, after one that is not timed."""
    run()
    _wait(device)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not taken:
        begin = time.perf_counter()
        run()
        _wait(device)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
