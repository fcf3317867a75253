"""The limits of a machine, by a clock that the test keeps: no figure depends on what else runs."""

import numpy as np
import pytest
import torch

from tortie.cost import machine
from tortie.cost.machine import matrix_rate, measure, median_seconds, memory_bandwidth

CPU = torch.device("cpu")


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_the_median_of_calls_of_known_length():
    clock, lengths = Clock(), iter([50.0, 1.0, 4.0, 2.0, 9.0, 3.0, 1.0])
    calls = []

    def run():
        calls.append(next(lengths))
        clock.now += calls[-1]

    # The first call is not timed; those that begin within 16 s are: 1, 4, 2 and 9.
    assert median_seconds(run, CPU, 16.0, clock) == pytest.approx(3.0)
    assert calls == [50.0, 1.0, 4.0, 2.0, 9.0]


def test_one_call_is_timed_however_long_it_takes():
    clock, lengths = Clock(), iter([1.0, 70.0, 1.0])

    def run():
        clock.now += next(lengths)

    assert median_seconds(run, CPU, 0.0, clock) == pytest.approx(70.0)


def test_rates_are_work_over_time(monkeypatch):
    # A product of n×n matrices is n³ multiplications; a sum reads two arrays and writes one.
    shapes = []

    def timed(run, device, seconds):
        shapes.append(run().shape)
        return 2.0

    monkeypatch.setattr(machine, "median_seconds", timed)
    assert matrix_rate(CPU, torch.float32, 0.1, side=30) == 27_000 / 2
    assert memory_bandwidth(CPU, 0.1, values=1000) == 12_000 / 2
    assert shapes == [(30, 30), (1000,)]


def test_numpy_and_onnx_runtime_multiply_the_same_matrices(monkeypatch):
    """Oracle: a 1×1 convolution over a row of pixels is a matrix product, of n³ multiplications."""
    made = []

    def timed(run, device, seconds):
        found = run()
        made.append(found[0].reshape(30, 30) if isinstance(found, list) else found)
        return 2.0

    monkeypatch.setattr(machine, "median_seconds", timed)
    assert machine.other_rates(0.1, 30, 1) == (27_000 / 2, 27_000 / 2)
    np.testing.assert_allclose(made[0], made[1], atol=1e-4)


@pytest.mark.parametrize("native", ["float32", "bfloat16"])
def test_what_is_native_is_measured_and_said_as_it_ends(monkeypatch, native):
    monkeypatch.setattr(machine, "_SIDE", 64)
    monkeypatch.setattr(machine, "_VALUES", 1000)
    monkeypatch.setattr(machine, "native_precision", lambda device: native)
    said = []
    limits = measure(CPU, 0.0, lambda *of: said.append(of))
    rates = limits.matrix_rates
    assert set(rates) == {"float32", native}
    assert said == [
        ("float32", rates["float32"], limits.core_rates["float32"]),
        ("bfloat16", rates.get("bfloat16"), limits.core_rates.get("bfloat16")),
        ("memory", limits.bandwidth, None),
    ]
    assert set(limits.core_rates) == set(rates)
    assert limits.bandwidth > 0 and all(rate > 0 for rate in rates.values())
    assert limits.document()["threads"] == torch.get_num_threads()
