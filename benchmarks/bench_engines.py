"""Frozen networks by each of tortie's engines, against ONNX Runtime bare and OpenVINO, interleaved.

``python benchmarks/bench_engines.py [NETWORK...]``: random weights, float32 (and bfloat16 where it
is native), from uint8 images to the last stage's vector. Every engine takes batches of 8, one on
each thread; "shared" is one batch that all threads of a session share. Medians, best in brackets,
of rounds in which each engine has its turn; the ratio to ONNX Runtime bare is the median over the
rounds, with the quarters of them below and above; then page faults an image.

``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`` stand for a plain processor in torch alone:
ONNX Runtime's MLAS and OpenVINO do not obey them, so compare engines only without.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import onnxruntime
import torch
from machine import describe
from threadpoolctl import threadpool_limits

from tortie.activations.engine import BATCH, EngineChoice, native_precision
from tortie.activations.prefix import Prefix
from tortie.activations.ready import ready
from tortie.graphs.fold import with_weights
from tortie.networks.table import find
from tortie.processes import core_count

NETWORKS = ("efficientnet-lite0", "resnet50", "googlenet-bn", "vgg16", "mobilenet-v2")
ROUNDS, SECONDS = 9, 0.5
PAUSE = 0.1  # seconds after each turn: threads of a shared session spin on when theirs is over
Run = Callable[[np.ndarray], np.ndarray]


def bare(model: bytes, threads: int) -> Run:
    """ONNX Runtime as its documentation begins, with so many threads of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"images": pixels})[0]


def openvino(model: bytes) -> Run | None:
    """OpenVINO in float32 on the thread that calls it; ``None`` where it is not installed."""
    try:
        import openvino as ov
    except ImportError:
        return None
    core = ov.Core()
    how = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    compiled = core.compile_model(core.read_model(model), "CPU", how)
    request = compiled.create_infer_request()
    return lambda pixels: request.infer({0: pixels})[compiled.output(0)].copy()


def one_thread() -> None:
    torch.get_num_threads()
    threadpool_limits(1, user_api="openmp")


def measure(name: str, threads: int) -> None:
    entry = find(name)
    torch.manual_seed(0)
    prefix = Prefix.of(entry.build().eval(), entry.preprocessing)
    model = with_weights(prefix.graph, prefix.graph_tensors).SerializeToString()
    choices = [EngineChoice("onnxruntime", "float32"), EngineChoice("onednn", "float32")]
    if native_precision("cpu") == "bfloat16":
        choices.append(EngineChoice("onednn", "bfloat16"))
    engines: dict[str, Run | None] = {
        f"tortie {one.engine} {one.precision}": ready(prefix, "cpu", one, None) for one in choices
    }
    engines["bare ONNX Runtime, a thread each"] = bare(model, 1)
    engines["OpenVINO"] = openvino(model) if threads == 1 else None
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (BATCH, *entry.preprocessing.shape), np.uint8)
    runs = {key: run for key, run in engines.items() if run is not None}
    rates: dict[str, list[float]] = {key: [] for key in runs}
    faults: dict[str, float] = {}
    if threads > 1:
        rates["bare ONNX Runtime, shared"] = []
        shared = bare(model, threads)
    with ThreadPoolExecutor(threads, initializer=one_thread) as pool:

        def turn(run: Run) -> tuple[int, float]:
            begin, done = time.perf_counter(), 0
            while not done or time.perf_counter() - begin < SECONDS:
                list(pool.map(run, [pixels] * threads))
                done += BATCH * threads
            return done, time.perf_counter() - begin

        for number in range(ROUNDS + 1):  # the first one warms up
            for key, run in runs.items():
                time.sleep(PAUSE)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                done, seconds = turn(run)
                if number:
                    rates[key].append(done / seconds)
                    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                    faults[key] = min(faults.get(key, 1e9), (after - before) / done)
            if threads > 1:
                time.sleep(PAUSE)
                begin, done = time.perf_counter(), 0
                while not done or time.perf_counter() - begin < SECONDS:
                    shared(pixels)
                    done += BATCH
                if number:
                    rates["bare ONNX Runtime, shared"].append(done / (time.perf_counter() - begin))
    print(f"{name}, {threads} thread{'s' * (threads > 1)}")
    floor = rates["bare ONNX Runtime, a thread each"]
    for key, own in rates.items():
        low, ratio, high = statistics.quantiles([a / b for a, b in zip(own, floor, strict=True)])
        missed = f"  {faults[key]:6.1f} page faults an image" if key in faults else ""
        middle, best = statistics.median(own), max(own)
        print(
            f"  {key:34} {middle:7.1f} ({best:7.1f}) images/s"
            f" {ratio:5.2f} ({low:.2f} to {high:.2f}){missed}",
            flush=True,
        )


def main() -> None:
    installed = ((one, version(one)) for one in ("onnxruntime", "openvino") if find_spec(one))
    print(describe(), *(f"{one} {number}" for one, number in installed), sep=", ")
    for name in sys.argv[1:] or NETWORKS:
        for threads in sorted({1, core_count()}):
            measure(name, threads)


if __name__ == "__main__":
    main()
