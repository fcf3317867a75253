"""Claim: a training step takes the memory that the plan says, within a quarter.

A process of its own for each network: a step as the plan tries it, and what the operating system
saw of it (the peak of resident memory over what there was before).

    python benchmarks/bench_step_memory.py [--batch 32]
"""

import argparse
import subprocess
import sys
from pathlib import Path

from machine import describe

NETWORKS = ("efficientnet-lite0", "resnet20-cifar", "resnet18", "vgg11", "googlenet-bn")
TRIED = """
import sys, torch
from tortie.training.recipes import recipe
from tortie.training.step_cost import measure_step
from tortie.networks import build, find

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

name, batch, precision = sys.argv[1], int(sys.argv[2]), sys.argv[3]
small = build("lenet5").train()
images, labels = torch.randn(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64)
# What torch loads at its first step is not the step's.
measure_step(small, images, labels, recipe("resnet"), precision)
drawn = find(name).preprocessing
network = build(name, classes=10).train().to(memory_format=torch.channels_last)
images = torch.randn(batch, drawn.channels, drawn.height, drawn.width)
images = images.contiguous(memory_format=torch.channels_last)
labels = torch.zeros(batch, dtype=torch.int64)
own = sum(one.nbytes for one in [*network.state_dict().values(), images])
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
step_cost = measure_step(network, images, labels, recipe("resnet"), precision)
print(step_cost.bytes, status("VmHWM") - before, own)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    print(describe())
    for name in NETWORKS:
        for precision in ("float32", "bfloat16"):
            command = [sys.executable, "-c", TRIED, name, str(arguments.batch), precision]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=True,
                cwd=Path(__file__).parent.parent,
            )
            planned, seen, _ = map(int, done.stdout.split())
            print(
                f"{name}, {precision}: planned {planned / 1e6:,.0f} MB, seen {seen / 1e6:,.0f} MB: "
                f"{seen / planned - 1:+.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
