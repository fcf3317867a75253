"""Claim: frozen features come several times faster than from the same network run eagerly.

EfficientNet-Lite0 at 224×224, in turn in one process: tortie's engine; the network as published,
eager float32; and, where onnx and onnxruntime are installed, ONNX Runtime float32 on the same
network. The floor is the network's multiplications over this machine's matrix rate.

    python benchmarks/bench_features.py [--seconds 3] [--rounds 5]
"""

import argparse
import importlib.util
import io
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from machine import describe

from tortie.activations.engine import BATCH, native_precision
from tortie.activations.torch_engine import TorchEngine
from tortie.networks import build
from tortie.networks.table import find

NAME, MULTIPLICATIONS = "efficientnet-lite0", 385_187_552


def rate(run: Callable[[], object], images: int, seconds: float) -> float:
    """Images a second: the median of the calls that fit into ``seconds``."""
    run()
    took = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not took:
        begin = time.perf_counter()
        run()
        took.append(time.perf_counter() - begin)
    return images / statistics.median(took)


def matrix_rate(dtype: torch.dtype) -> float:
    """Multiplications a second of a large matrix product."""
    a, b = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    return rate(lambda: a @ b, 2048**3, 1.0)


def onnx_session(network: torch.nn.Module) -> Callable[[torch.Tensor], object] | None:
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")):
        return None
    import onnxruntime

    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(32, 3, 224, 224)
        torch.onnx.export(network, (example,), content, dynamo=False, opset_version=17)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        content.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images.numpy()})


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    prefix = build(NAME, weights="imagenet").eval().cut("avgpool")[0]
    preprocessing = find(NAME).preprocessing
    cpu = torch.device("cpu")
    begin = time.perf_counter()
    native = TorchEngine(prefix, preprocessing, cpu, native_precision(cpu))
    prepared = time.perf_counter() - begin
    single = TorchEngine(prefix, preprocessing, cpu, "float32")
    pixels = torch.randint(0, 256, (BATCH, 224, 224, 3), dtype=torch.uint8)
    floats = torch.randn(32, 3, 224, 224)
    runs: dict[str, tuple[Callable[[], object], int]] = {
        f"tortie {native.precision}": (lambda: native(pixels), BATCH),
        "tortie float32": (lambda: single(pixels), BATCH),
        "eager float32": (lambda: prefix(floats), 32),
    }
    if (session := onnx_session(prefix)) is not None:
        runs["ONNX Runtime float32"] = (lambda: session(floats), 32)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, (run, images) in runs.items():
            rates[name].append(rate(run, images, arguments.seconds))
    print(describe())
    dtype = torch.bfloat16 if native_precision(cpu) == "bfloat16" else torch.float32
    floor = matrix_rate(dtype) / MULTIPLICATIONS
    for name, found in rates.items():
        middle = statistics.median(found)
        print(f"{name:22} {middle:7.1f} images/s  ({min(found):.1f} to {max(found):.1f})")
    best = statistics.median(rates[f"tortie {native.precision}"])
    for name in runs:
        print(f"tortie / {name:22} {best / statistics.median(rates[name]):6.2f}")
    print(f"prepared in {prepared:.2f} s; {best / floor:.0%} of the {native.precision} matrix rate")


if __name__ == "__main__":
    main()
