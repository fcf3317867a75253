"""Question: what share of the machine's matrix rate does each network of the table reach?

Each network with fresh weights, by the engine that would extract its activations, from uint8 images
to the vectors before its head. The matrix rate is the best of torch, numpy and ONNX Runtime, on all
cores, measured before and after; shares are of the mean.

    python benchmarks/bench_limits.py [--precision float32] [--seconds 1] [--networks vgg16 ...]
"""

import argparse

import torch
from machine import describe

from tortie.activations.engine import chosen_precision
from tortie.cost.machine import Machine, measure
from tortie.cost.speed import measure_speed
from tortie.networks.table import TABLE, find

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--networks", nargs="+", default=[one.name for one in TABLE])
    arguments = parser.parse_args()
    precision = chosen_precision(arguments.precision, CPU)
    print(describe())
    before = measure(CPU)
    speeds = [
        measure_speed(
            find(name), before, CPU, precision, arguments.batch, "auto", arguments.seconds
        )
        for name in arguments.networks
    ]
    after = measure(CPU)
    said("before", before)
    said("after", after)
    print("| network | precision, engine | images/s | of the matrix rate |\n|---|---|---:|---:|")
    for speed in sorted(speeds, key=lambda one: -one.share_of_peak):
        was, then = (one.matrix_rates[speed.precision] for one in (before, after))
        share = speed.share_of_peak * was / ((was + then) / 2)
        rate = f"{speed.images_per_second:,.3g}"
        print(f"| `{speed.network}` | {speed.precision}, {speed.engine} | {rate} | {share:.0%} |")


def said(when: str, machine: Machine) -> None:
    """The limits, in a line."""
    for name, rate in machine.matrix_rates.items():
        core = machine.core_rates[name]
        print(f"{when}: {name} {rate / 1e9:.1f} G multiplications/s, {core / 1e9:.1f} on one core")


if __name__ == "__main__":
    main()
