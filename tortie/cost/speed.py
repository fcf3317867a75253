"""How fast a network runs here, what share of the machine's peak that is, and which stages lose it.

All its stages run by the engine that would extract their activations, without the head. Where
PyTorch runs them fused, each step of its graph is timed as well.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from tortie.activations.engine import Engine, EngineName, Precision, choose
from tortie.activations.prefix import Prefix
from tortie.activations.ready import ready
from tortie.activations.torch_engine import TorchEngine
from tortie.cost.count import count
from tortie.cost.machine import Machine, median_seconds
from tortie.networks.entry import Entry


@dataclass(frozen=True)
class StageSpeed:
    """The time of one stage for a batch.

    Attributes:
        name: of the stage.
        multiplications: of convolutions and linear layers, for the batch.
        seconds: median of the runs.
        share_of_peak: of the machine's matrix rate in the precision that runs.
        lost_seconds: how much shorter it would be at that rate.
    """

    name: str
    multiplications: int
    seconds: float
    share_of_peak: float
    lost_seconds: float


@dataclass(frozen=True)
class Speed:
    """How fast a network's stages run, the head left out.

    Attributes:
        network: its name.
        precision: of the multiplications.
        engine: that runs it.
        batch: images a batch.
        images_per_second: median of the batches, from uint8 images to the last stage's vectors.
        share_of_peak: of the machine's matrix rate in that precision.
        stages: in order; empty where the engine does not tell them apart.
    """

    network: str
    precision: str
    engine: EngineName
    batch: int
    images_per_second: float
    share_of_peak: float
    stages: tuple[StageSpeed, ...]

    def document(self) -> dict[str, Any]:
        """JSON's types only."""
        return asdict(self) | {"stages": [asdict(stage) for stage in self.stages]}


def measure_speed(
    entry: Entry,
    machine: Machine,
    device: torch.device,
    precision: Precision | None,
    batch: int,
    engine: str = "auto",
    seconds: float = 3.0,
) -> Speed:
    """Time a network with fresh weights: its values do not change its speed.

    Args:
        entry: of the table of networks.
        machine: the limits of ``device``.
        device: where it runs.
        precision: of the multiplications; by default the engine's choice.
        batch: images a batch.
        engine: as :func:`tortie.activations.engine.choose` takes it.
        seconds: of the whole network, and again of its stages, about.
    """
    network = entry.build().eval()
    cost = count(network, batch=batch)
    choice = choose(engine, device.type, precision)
    ran = ready(Prefix.of(network, entry.preprocessing), str(device), choice, None)
    height, width, channels = network.input_shape
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (batch, height, width, channels), dtype=torch.uint8, generator=generator
    )
    with _on_all_cores(ran, pixels.numpy()) as run:
        taken = median_seconds(run, device, seconds)
    work = {stage.name: stage.multiplications for stage in cost.stages[:-1]}
    rate = machine.matrix_rates[choice.precision]
    times: dict[str, float] = {}
    if isinstance(ran, TorchEngine) and ran.graph is not None:
        times = _stage_seconds(ran, pixels, tuple(work), seconds)
    stages = tuple(
        StageSpeed(
            name=name,
            multiplications=work[name],
            seconds=times[name],
            share_of_peak=work[name] / max(times[name], 1e-9) / rate,
            lost_seconds=max(times[name] - work[name] / rate, 0.0),
        )
        for name in times
    )
    return Speed(
        network=entry.name,
        precision=choice.precision,
        engine=_name(ran),
        batch=batch,
        images_per_second=batch / taken,
        share_of_peak=sum(work.values()) / taken / rate,
        stages=stages,
    )


@contextmanager
def _on_all_cores(engine: Engine, pixels: NDArray[np.uint8]) -> Iterator[Callable[[], object]]:
    """Runs a batch: PyTorch shares it out itself, another engine runs parts side by side."""
    if isinstance(engine, TorchEngine):
        yield lambda: engine(pixels)
        return
    parts = np.array_split(pixels, min(torch.get_num_threads(), len(pixels)))
    with ThreadPoolExecutor(len(parts), thread_name_prefix="tortie-speed") as workers:
        yield lambda: list(workers.map(engine, parts))


def _name(engine: Engine) -> EngineName:
    """What runs in the end: where one cannot, another does."""
    if not isinstance(engine, TorchEngine):
        return "onnxruntime"
    return "onednn" if engine.fused else "eager"


class _Timing(fx.Interpreter):
    """Runs a graph step by step and adds up the time of each stage's steps."""

    def __init__(self, graph: fx.GraphModule, stages: tuple[str, ...]) -> None:
        super().__init__(graph)
        self._stages = stages
        self._stage = stages[0]
        self.seconds: dict[str, float] = defaultdict(float)

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "call_module":  # what is no module belongs to the stage of the module before it
            self._stage = self._stage_of(str(n.target)) or self._stage
        begin = time.perf_counter()
        out = super().run_node(n)
        self.seconds[self._stage] += time.perf_counter() - begin
        return out

    def _stage_of(self, target: str) -> str | None:
        """The stage whose name a module's name begins with; the longest one."""
        name = target.removeprefix("fused_").replace(".", "_")
        return max(
            (stage for stage in self._stages if f"{name}_".startswith(f"{stage}_")),
            key=len,
            default=None,
        )


@torch.inference_mode()
def _stage_seconds(
    engine: TorchEngine, pixels: Tensor, stages: tuple[str, ...], seconds: float
) -> dict[str, float]:
    """Median time of each stage, over the runs that fit into ``seconds``."""
    assert engine.graph is not None
    images = engine.prepare(pixels)
    runs: list[dict[str, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(runs) < 2:
        timing = _Timing(engine.graph, stages)
        timing.run(images)
        runs.append(timing.seconds)
    return {name: statistics.median(run[name] for run in runs) for name in stages}
