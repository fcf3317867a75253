"""Networks with arguments in a line of text, against the builders' signatures."""

import importlib
import inspect

import pytest

from tortie.cost.count import count
from tortie.cost.describe import describe
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.networks import names
from tortie.networks.arguments import (
    arguments_of,
    parse_network,
    split_networks,
    stored_network,
    titled,
    varied,
)
from tortie.networks.described import described
from tortie.networks.table import TABLE, find


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_arguments_are_those_of_the_builder(entry):
    module, function = entry.builder.split(":")
    signature = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    arguments = arguments_of(entry)
    expected = [name for name in signature if name not in ("classes", "in_channels")]
    assert [argument.name for argument in arguments] == expected
    for argument in arguments:
        default = entry.arguments.get(argument.name, signature[argument.name].default)
        assert argument.default == default
        assert argument.meaning, argument.name
        assert (
            argument.parse(str(default).lower() if argument.kind == "bool" else str(default))
            == default
        )


@pytest.mark.parametrize(
    ("text", "name", "given"),
    [
        ("lenet5", "lenet5", {}),
        ("lenet5()", "lenet5", {}),
        (
            "lenet5(pooling=average, activation=tanh, activation_after=pooling)",
            "lenet5",
            {"pooling": "average", "activation": "tanh", "activation_after": "pooling"},
        ),
        (" ResNet20_cifar( shortcut = 'fixed' )", "resnet20-cifar", {"shortcut": "fixed"}),
        ("alexnet(input-size=224,groups=1,bias=0.1)", "alexnet",
         {"input_size": 224, "groups": 1, "bias": 0.1}),
        ("resnet18(residual=false)", "resnet18", {"residual": False}),
    ],
)  # fmt: skip
def test_text_is_a_network_and_its_arguments(text, name, given):
    entry, arguments = parse_network(text)
    assert (entry.name, arguments) == (name, given)
    assert parse_network(titled(name, given))[1] == given
    meta_network(entry.name, **arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenet5(", "is no network: expected NAME or NAME"),
        ("lenet5(poling=max)", "lenet5 has no argument 'poling': did you mean pooling"),
        ("lenet5(pooling=sum)", "lenet5: pooling must be one of max, average, not 'sum'"),
        ("lenet5(average)", "lenet5: expected argument=value, not 'average'"),
        ("lenet5(pooling=max,pooling=max)", "pooling is given twice"),
        ("lenet5(classes=3)", "lenet5 has no argument 'classes': the images decide it"),
        ("densenet121(depth=3)", "densenet121 has no argument 'depth': it takes none"),
        ("alexnet(bias=x)", "alexnet: bias must be a number from 0 to 10, not 'x'"),
        ("resnet18(residual=2)", "resnet18: residual must be true or false, not '2'"),
        ("resnet20-cifar(depth=2.5)", "depth must be a whole number from 0 to 2000, not '2.5'"),
        ("resnet20-cifar(depth=6000000002)", "depth must be a whole number from 0 to 2000"),
        ("alexnet(bias=nan)", "alexnet: bias must be a number from 0 to 10, not 'nan'"),
        ("lenet6(a=b)", "no network 'lenet6'"),
    ],
)
def test_what_it_does_not_take_is_refused_in_a_line(text, message):
    with pytest.raises(UsageError) as refused:
        parse_network(text)
    assert message in str(refused.value)


def test_a_varied_network_has_no_figures_of_the_table_and_its_own_title():
    entry = varied(*parse_network("resnet20-cifar(shortcut=fixed, depth=20)"))
    assert entry.title == "resnet20-cifar(shortcut=fixed)"
    assert entry.arguments == {"depth": 20, "side": "both", "shortcut": "fixed"}
    assert (entry.parameters, entry.multiplications, entry.stages) == (None, None, None)
    same = varied(*parse_network("lenet5(pooling=max)"))
    assert same.title == "lenet5" and same.parameters == 61_706


def test_commas_in_brackets_do_not_part_networks():
    text = "lenet5(pooling=average, activation=tanh), resnet18,alexnet(bias=0.1)"
    assert split_networks(text) == [
        "lenet5(pooling=average, activation=tanh)", "resnet18", "alexnet(bias=0.1)"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["lenet5", "lenet5(activation=tanh)", "resnet50(depth=101)"])
def test_arguments_of_a_file_are_those_of_the_fit(text):
    entry = varied(*parse_network(text))
    assert stored_network(entry.name, entry.arguments, entry.preprocessing.channels) == entry


@pytest.mark.parametrize(
    "stored",
    [
        {"activation": "relu"},  # the table's own is not written
        {"activation": "swish"},
        {"activation": ["tanh"]},
        {"activation": None},
        {"in_channels": 1},
        {"in_channels": "3"},
        {"classes": 3},
        {"model": "resnet18"},
        {"": 1},
    ],
)
def test_a_file_with_other_arguments_is_refused(stored):
    with pytest.raises(UsageError, match="lenet5 with arguments that no fit gives it"):
        stored_network("lenet5", stored, 1)


@pytest.mark.parametrize(
    "stored",
    [
        {"depth": 20.0, "side": "both"},
        {"depth": True, "side": "both"},
        {"depth": 10**12 + 2, "side": "both"},
        {"depth": -4, "side": "both"},
        {"depth": 20},
        {"depth": 20, "side": "both", "residual": 0},
    ],
)
def test_a_file_with_arguments_of_another_type_is_refused(stored):
    with pytest.raises(UsageError, match="resnet20-cifar with arguments"):
        stored_network("resnet20-cifar", stored, 3)


@pytest.mark.parametrize("name", [name for name in names() if "1202" not in name])
def test_the_stored_layers_are_what_is_counted(name):
    """Else: python -m tortie.cost.describe > tortie/networks/layers.json."""
    cost = count(meta_network(name))
    stored = described(name)
    assert stored == describe(cost)
    assert sum(stage["parameters"] for stage in stored) == cost.parameters
    assert sum(stage["multiplications"] for stage in stored) == cost.multiplications
    for stage in stored:  # what is left out multiplies nothing
        told = sum(layer["multiplications"] for layer in stage["layers"])
        assert told == stage["multiplications"], stage["name"]


@pytest.mark.slow
def test_the_stored_layers_of_the_deepest_are_what_is_counted():
    test_the_stored_layers_are_what_is_counted("resnet1202-cifar")


def test_blocks_in_a_row_are_told_once():
    layers = {layer["name"]: layer for layer in described("resnet50")[3]["layers"]}
    row = layers["block2.conv2"]
    assert (row["last"], row["repeats"]) == ("block6.conv2", 5)
    assert row["parameters"] == 5 * 256 * 256 * 9
    assert described("timm:resnet18") is None


def test_blocks_of_other_widths_are_told_apart():
    """By hand, from table 2 of the MobileNetV2 paper: stage 5 expands 64, then twice 96, by 6."""
    stage = next(one for one in described("mobilenet-v2") if one["name"] == "bottleneck5")
    depthwise = [one for one in stage["layers"] if one["name"].endswith("depthwise.conv")]
    assert [(one["groups"], one["repeats"]) for one in depthwise] == [(384, 1), (576, 2)]
    assert any(join["kind"] == "add" for join in stage["joins"])


def test_what_is_published_is_of_the_arguments_of_the_table():
    assert find("resnet50").published
    assert varied(*parse_network("resnet50(depth=50)")).published
    assert not varied(*parse_network("resnet50(depth=18)")).published
