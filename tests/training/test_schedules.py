"""Schedules against values worked by hand, torch's own schedulers and their invariants."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tortie.training import schedules as S
from tortie.training.recipe import Recipe
from tortie.training.recipes import recipe

PROGRESS = st.floats(0, 1, exclude_max=True)
KINDS = ("constant", "cosine", "linear", "steps", "inverse", "exponential")


def made(schedule: str, **fields) -> Recipe:
    return Recipe(
        name="a", source="a test", learning_rate=1, epochs=1, batch=1, schedule=schedule, **fields
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (S.constant(0.9), 1),
        (S.cosine(0), 1),
        (S.cosine(1 / 3), 0.75),  # (1 + cos 60°) / 2
        (S.cosine(0.5, final=0.2), 0.6),
        (S.linear(0.25), 0.75),
        (S.linear(0.25, final=0.2), 0.8),
        (S.steps(0.49, (0.5, 0.75), 0.1), 1),
        (S.steps(0.5, (0.5, 0.75), 0.1), 0.1),
        (S.steps(0.75, (0.5, 0.75), 0.1), 0.01),
        (S.inverse(0, 0.2), 1),
        (S.inverse(0.5, 0.2), 1 / 3),  # 1 / (1 + 4 · 0.5)
        (S.exponential(0.5, 0.01), 0.1),
        (S.warming(0.01, 0.05, 0.1), 0.28),
        (S.warming(0.05, 0.05, 0.1), 1),
        (S.warming(0, 0, 0.1), 1),
    ],
)
def test_values_worked_by_hand(value, expected):
    assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "step", "steps", "expected"),
    [
        # He et al. 2015, section 4.2: 0.1, then 0.01 from 32k and 0.001 from 48k of 64k steps.
        ("resnet-cifar", 31_999, 64_000, 0.1),
        ("resnet-cifar", 32_000, 64_000, 0.01),
        ("resnet-cifar", 48_000, 64_000, 0.001),
        # The same section: 0.01 at first for 110 layers, 0.1 after about 400 steps.
        ("resnet110-cifar", 0, 64_000, 0.01),
        ("resnet110-cifar", 200, 64_000, 0.055),
        ("resnet110-cifar", 400, 64_000, 0.1),
        ("resnet110-cifar", 63_999, 64_000, 0.001),
        # Krizhevsky et al. 2012, section 5: divided by 10 three times, from 0.01.
        ("alexnet", 89, 90, 1e-5),
        # Szegedy et al. 2014, section 6: 4% less every 8 epochs.
        ("googlenet", 7, 250, 0.01),
        ("googlenet", 8, 250, 0.0096),
        ("googlenet", 16, 250, 0.009216),
        # Lin et al. 2013, section 4.1: the final rate is one percent of the initial one.
        ("nin", 306, 307, 0.001),
    ],
)
def test_rates_of_the_papers(name, step, steps, expected):
    one = recipe(name)
    assert one.learning_rate * S.rate(one, step / steps) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["cosine", "steps", "linear", "exponential"])
def test_torch_schedules_likewise(kind):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    of = torch.optim.lr_scheduler
    oracle = {
        "cosine": lambda: of.CosineAnnealingLR(optimiser, T_max=40, eta_min=0.05),
        "steps": lambda: of.MultiStepLR(optimiser, milestones=[20, 30], gamma=0.1),
        "linear": lambda: of.LinearLR(optimiser, 1.0, 0.05, total_iters=40),
        "exponential": lambda: of.ExponentialLR(optimiser, gamma=0.05 ** (1 / 40)),
    }[kind]()
    one = made(kind, final=0.05, drops=(0.5, 0.75))
    for step in range(40):
        assert S.rate(one, step / 40) == pytest.approx(oracle.get_last_lr()[0], rel=1e-6)
        optimiser.step()
        oracle.step()


@given(
    kind=st.sampled_from(KINDS),
    first=PROGRESS,
    second=PROGRESS,
    final=st.floats(1e-4, 1),
    warmup=st.floats(0, 0.99),
    start=st.floats(0, 1),
    drops=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True),
)
def test_a_rate_is_a_share_and_falls_after_the_warm_up(
    kind, first, second, final, warmup, start, drops
):
    one = made(kind, final=final, warmup=warmup, warmup_start=start, drops=tuple(sorted(drops)))
    early, late = sorted((first, second))
    assert 0 <= S.rate(one, early) <= 1 + 1e-12
    if early >= warmup:
        assert S.rate(one, late) <= S.rate(one, early) + 1e-12
    assert S.rate(one, 0) == pytest.approx(start if warmup > 0 else 1)
    whole = one.changed(warmup=0)
    assert S.rate(one, early) <= S.rate(whole, early) + 1e-12


@given(PROGRESS, st.floats(1e-4, 1))
def test_falling_schedules_end_at_final(progress, final):
    # Invariant: never under final, and at final where progress is 1.
    for schedule in (S.cosine, S.linear, S.inverse, S.exponential):
        assert schedule(progress, final) >= final - 1e-9
        assert schedule(1, final) == pytest.approx(final)
