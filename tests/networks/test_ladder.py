"""The ladder of trained networks; of timm's rungs, what conformance cannot ask without timm."""

import json

import pytest
from typer.testing import CliRunner

from tortie import networks
from tortie.cli.main import application
from tortie.cost import machine
from tortie.errors import UsageError
from tortie.learning.options import FitOptions
from tortie.networks.ladder import LADDER, rung


def test_every_quality_is_a_rung_and_dearer_ones_come_later():
    qualities = [one.quality for one in LADDER if one.quality]
    assert qualities == ["embedded", "high", "small", "base", "best"]
    costs = [rung(quality).multiplications for quality in qualities]
    assert costs == sorted(costs)
    accuracies = [rung(quality).accuracy for quality in qualities]
    assert accuracies == sorted(accuracies)


def test_the_embedded_rung_is_what_is_taken_without_one():
    """The table of networks is the oracle: 75.1% is its 24.9% of errors."""
    one = rung("embedded")
    assert one.network == FitOptions.model_fields["network"].default
    assert one.multiplications == networks.find(one.network).multiplications
    assert one.accuracy == 75.1
    assert one.fetched == 0


def test_a_quality_takes_the_place_of_the_network_and_not_both():
    assert FitOptions.of(quality="high").network == "efficientnet-lite0,efficientnet-lite2"
    assert FitOptions.of(quality="high").changed(seed=1).network == rung("high").network
    with pytest.raises(UsageError, match=r"^quality high is the network .*network lenet5, not"):
        FitOptions.of(quality="high", network="lenet5")
    with pytest.raises(UsageError, match="quality is 'huge'"):
        FitOptions.of(quality="huge")


def test_the_list_says_what_each_rung_costs(monkeypatch):
    """By hand: 1,000 times 385,187,552 multiplications, a thousand million of them a second."""
    made_up = machine.Machine("cpu", 1, {"float32": 1e9, "bfloat16": 5e8}, 1e9)
    monkeypatch.setattr(machine, "measure", lambda *given, **named: made_up)
    told = CliRunner().invoke(application(), ["networks", "--transfer", "--json"])
    rows = json.loads(told.stdout)
    assert [row["network"] for row in rows] == [one.network for one in LADDER]
    assert rows[0]["least_seconds_for_1000"] == 385.2
    assert CliRunner().invoke(application(), ["networks", "lenet5", "--transfer"]).exit_code != 0
