"""``tortie bench``: this machine's limits, and how near to them a network runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tortie.cli import options, show
from tortie.cli.columns import columns

if TYPE_CHECKING:
    import torch

    from tortie.activations.engine import Precision
    from tortie.cost.machine import Machine
    from tortie.cost.speed import Speed
    from tortie.networks.entry import Entry

NAME = "bench"


def command(
    network: Annotated[
        str | None,
        typer.Argument(help="Name of a network whose speed is measured too.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option(help="Batch size.", min=1)] = 32,
    device: options.Device = "auto",
    engine: options.Engine = "auto",
    precision: options.Precision = "auto",
    loader: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs. Measures whether they are loaded as fast as training "
            "needs them."
        ),
    ] = None,
    augment: Annotated[str, typer.Option(help="Augmentation that --loader applies.")] = "standard",
    json: options.Json = False,
) -> None:
    """Measure this machine's peak rates, and a network's speed relative to them.

    The peaks are those of matrix multiplication and of memory bandwidth.

    Example: tortie bench resnet50
    """
    show.begin(json)
    from tortie.networks.table import find

    entry = find(network) if network else None
    from tortie.activations.engine import chosen_precision
    from tortie.learning.backbone import chosen_device
    from tortie.learning.options import FitOptions

    chosen = chosen_device(device)
    FitOptions.of(precision=precision, engine=engine)  # checked before anything is measured
    asked = chosen_precision(precision, chosen)
    if loader is not None:
        show.result(*_loader(loader, entry or find("efficientnet-lite0"), augment, chosen, asked))
        return
    from tortie.cost.machine import measure

    machine = measure(chosen, measured=lambda *limit: show.part(_limit(*limit)))
    show.part(_where(machine))
    speed = None
    if entry:
        from tortie.cost.speed import measure_speed

        speed = measure_speed(entry, machine, chosen, asked, batch, engine)
    document = {"machine": machine.document(), "network": speed and speed.document()}
    show.result(document, _speed(speed) if speed else [])


def _loader(
    images: Path, entry: "Entry", policy: str, device: "torch.device", asked: "Precision | None"
) -> tuple[dict[str, Any], list[str]]:
    """What the loader gives against what the steps take, as JSON and as lines."""
    from tortie.learning.loader import measure_loader
    from tortie.processes import core_count

    found = measure_loader(images, entry, policy, device, asked, core_count())
    enough = "the loader keeps up" if found.share >= 1 else "the steps would wait for the loader"
    return found.document(), [
        f"{found.threads} threads read and decode {found.read_per_second:,.0f} photographs/s, and "
        f"draw {found.drawn_per_second:,.0f} views/s ({found.policy})",
        f"{found.network}, all trained, {found.precision}, {found.device}: "
        f"{found.trained_per_second:,.1f} photographs/s",
        f"{found.share:.1f} views for each photograph that a step takes: {enough}",
    ]


def _limit(name: str, figure: float | None, of_core: float | None) -> str:
    """A limit of the machine: a matrix rate, or the memory's bandwidth."""
    if figure is None:
        return f"{name:9} not native to this device, which would emulate it: not measured"
    if name == "memory":
        return f"{name:9} {figure / 1e9:9,.1f} GB/s"
    one = "" if of_core is None else f", {of_core / 1e9:,.1f} on one core"
    return f"{name:9} {figure / 1e9:9,.1f} G multiplications/s (and as many additions){one}"


def _where(machine: "Machine") -> str:
    threads = f", {machine.threads} threads" if machine.device == "cpu" else ""
    return f"measured on {machine.device}{threads}"


def _speed(speed: "Speed") -> list[str]:
    how = {"onnxruntime": "ONNX Runtime", "onednn": "oneDNN, fused", "eager": "PyTorch"}
    lines = [
        "",
        f"{speed.network}, batches of {speed.batch}, {speed.precision}, {how[speed.engine]}, "
        "without its head: "
        f"{speed.images_per_second:,.1f} images/s, {speed.share_of_peak:.0%} of the matrix rate",
    ]
    if not speed.stages:
        return [*lines, "stages are timed apart where oneDNN runs them: --engine onednn"]
    lost = sum(stage.lost_seconds for stage in speed.stages) or 1.0
    rows: list[Any] = [
        (
            stage.name, f"{1e3 * stage.seconds:9.2f}", stage.multiplications,
            f"{stage.share_of_peak:7.0%}", f"{stage.lost_seconds / lost:6.0%}",
        )
        for stage in speed.stages
    ]  # fmt: skip
    heading = ("stage", "       ms", "multiplications", "of peak", "of the loss")
    return [*lines, *columns(heading, rows), "the loss: time beyond that at the matrix rate"]
