"""Claim: whole networks run several times faster here than as published, faster than ONNX Runtime.

ResNet-50, VGG-16 and GoogLeNet at 224×224, batches of 32, in turn in one process, from images to
the vectors before the last linear layer, with the same random parameters: tortie's engine in the
processor's own precision and in float32; torchvision's network, eager float32; ONNX Runtime float32
on torchvision's network. Wanted for ResNet-50 where the processor has bfloat16: 2.5 times
torchvision and 1.3 times ONNX Runtime. Needs torchvision, onnx and onnxruntime (tests/conformance).

    python benchmarks/bench_networks.py [--seconds 3] [--rounds 5] [--networks resnet50 ...]
"""

import argparse
import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from machine import describe
from torch import nn

from tortie.activations.engine import native_precision
from tortie.activations.torch_engine import TorchEngine
from tortie.cost.machine import measure
from tortie.networks import build, find
from tortie.weights.layouts import translate

try:
    import onnxruntime
    from torchvision import models
except ImportError as error:
    print(f"left out: it needs {error.name}; see tests/conformance/requirements.txt")
    sys.exit(0)

BATCH = 32
# The name here, torchvision's builder, and its last linear layer, which is left out everywhere.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "resnet50": (lambda: models.resnet50(), "fc"),
    "vgg16": (lambda: models.vgg16(), "classifier.6"),
    "googlenet-bn": (
        lambda: models.googlenet(aux_logits=False, transform_input=False, init_weights=False),
        "fc",
    ),
}
CPU = torch.device("cpu")


def seconds_of(run: Callable[[], object], seconds: float) -> float:
    """Median time of the calls that fit into ``seconds``, one at least."""
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not taken:
        begin = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def onnx_runtime(network: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (images,), content, dynamo=False, opset_version=17)
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        content.getvalue(), chosen, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: images.numpy()})


@torch.inference_mode()
def compare(name: str, rounds: int, seconds: float) -> None:
    builder, last = NETWORKS[name]
    theirs = builder().eval()
    ours = build(name).eval()
    # Side heads, which inference does not use, keep their own parameters.
    ours.load_state_dict(translate(find(name), ours, theirs.state_dict()), strict=False)
    theirs.set_submodule(last, nn.Identity())
    native = TorchEngine(ours.stages, find(name).preprocessing, CPU, native_precision(CPU))
    single = TorchEngine(ours.stages, find(name).preprocessing, CPU, "float32")
    pixels = torch.randint(0, 256, (BATCH, 224, 224, 3), dtype=torch.uint8)
    images = single.prepare(pixels).contiguous()
    torch.testing.assert_close(single(pixels), theirs(images), rtol=1e-3, atol=1e-4)
    session = onnx_runtime(theirs, images)
    runs: dict[str, Callable[[], object]] = {
        f"tortie {native.precision}": lambda: native(pixels),
        "tortie float32": lambda: single(pixels),
        "torchvision float32": lambda: theirs(images),
        "ONNX Runtime float32": session,
    }
    for run in runs.values():
        run()
    rates: dict[str, list[float]] = {label: [] for label in runs}
    peaks = []  # measured in turn with the networks: a shared machine's peak comes and goes
    for _ in range(rounds):
        peaks.append(measure(CPU, 0.3).matrix_rates[native.precision])
        for label, run in runs.items():
            rates[label].append(BATCH / seconds_of(run, seconds))
    print(f"\n{name}, batches of {BATCH}")
    best = statistics.median(rates[f"tortie {native.precision}"])
    for label, found in rates.items():
        middle = statistics.median(found)
        print(
            f"  {label:22} {middle:7.1f} images/s  ({min(found):.1f} to {max(found):.1f})"
            f"  tortie is {best / middle:.2f} times as fast"
        )
    count = find(name).multiplications
    assert count is not None
    peak = statistics.median(peaks)
    spread = f"{min(peaks) / 1e9:,.0f} to {max(peaks) / 1e9:,.0f}"
    print(f"  matrix rate {peak / 1e9:,.0f} G multiplications/s in {native.precision} ({spread})")
    print(f"  tortie reaches {best * count / peak:.0%} of it")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(describe())
    for name in arguments.networks:
        compare(name, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
