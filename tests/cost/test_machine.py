"""The limits of a machine, against work whose size is known."""

import time

import pytest
import torch

from tortie.cost.machine import measure, median_seconds

CPU = torch.device("cpu")


def test_the_median_of_calls_of_known_length():
    calls = []
    taken = median_seconds(lambda: calls.append(time.sleep(0.01)), CPU, 0.1)
    assert 0.01 <= taken < 0.05
    assert 3 <= len(calls) <= 12


def test_one_call_is_timed_however_long_it_takes():
    assert median_seconds(lambda: time.sleep(0.02), CPU, 0.0) >= 0.02


def test_rates_are_those_of_this_machine():
    machine = measure(CPU, 0.05)
    assert set(machine.matrix_rates) == {"float32", "bfloat16"}
    # A smaller product, timed apart, cannot be several times faster than the limit.
    a = torch.randn(1024, 1024)
    rate = 1024**3 / median_seconds(lambda: a @ a, CPU, 0.1)
    assert rate / machine.matrix_rates["float32"] == pytest.approx(1, abs=0.75)
    assert 1e9 < machine.bandwidth < 1e13  # a phone has 10 GB/s, no processor 10 TB/s
    assert machine.document()["threads"] == torch.get_num_threads()
