"""The table of recipes against what the papers print, and the choice by network."""

from pathlib import Path

import pytest

from tortie.augment import POLICIES
from tortie.errors import UsageError
from tortie.networks.table import TABLE, find
from tortie.training.recipes import RECIPES, in_small_batches, recipe, recipe_for, suited


@pytest.mark.parametrize(
    ("name", "rate", "momentum", "decay", "batch", "epochs"),
    [
        # Krizhevsky et al. 2012, section 5: 128, 0.9, 0.0005, 0.01, "roughly 90 cycles".
        ("alexnet", 0.01, 0.9, 5e-4, 128, 90),
        # Simonyan, Zisserman 2015, section 3.1: 256, 0.9, 5e-4, 1e-2, 74 epochs.
        ("vgg", 0.01, 0.9, 5e-4, 256, 74),
        # He et al. 2015, section 3.4: 256, 0.9, 0.0001, 0.1, 60e4 steps of 1,281,167 images.
        ("resnet", 0.1, 0.9, 1e-4, 256, round(600_000 * 256 / 1_281_167)),
        # He et al. 2015, section 4.2: 128, 0.9, 0.0001, 0.1, 64k steps of 50,000 images.
        ("resnet-cifar", 0.1, 0.9, 1e-4, 128, round(64_000 * 128 / 50_000)),
        ("resnet110-cifar", 0.1, 0.9, 1e-4, 128, round(64_000 * 128 / 50_000)),
        # Lin et al. 2013, section 4.1: 128; the rest of the first author's configuration.
        ("nin", 0.1, 0.9, 1e-4, 128, round(120_000 * 128 / 50_000)),
        # Szegedy et al. 2014, section 6: 0.9; the rest of Caffe's: 10,000,000 steps of 32.
        ("googlenet", 0.01, 0.9, 2e-4, 32, round(10_000_000 * 32 / 1_281_167)),
    ],
)
def test_figures_of_the_papers(name, rate, momentum, decay, batch, epochs):
    one = recipe(name)
    assert one.optimiser == "sgd" and not one.nesterov and one.label_smoothing == 0
    assert (one.learning_rate, one.momentum, one.weight_decay) == (rate, momentum, decay)
    assert (one.batch, one.epochs) == (batch, epochs)


def test_what_a_paper_alone_has():
    # Szegedy et al. 2014: side heads (section 5) and an averaged final model (section 6).
    assert [one.name for one in RECIPES if one.side_heads] == ["googlenet"]
    assert [one.name for one in RECIPES if one.ema] == ["googlenet"]
    # LeCun et al. 1998, section III-C: 20 passes; equation 9 for the printed network alone.
    assert [one.name for one in RECIPES if one.loss == "rbf"] == ["lenet5-1998"]
    assert recipe("lenet5-1998").epochs == 20


@pytest.mark.parametrize("one", RECIPES, ids=lambda one: one.name)
def test_every_recipe_names_a_policy_and_a_source(one):
    assert one.policy in POLICIES
    assert "tortie's own" in one.source or "et al." in one.source or "20" in one.source
    assert [each.name for each in RECIPES].count(one.name) == 1


def test_the_page_says_what_the_table_says():
    page = Path(__file__).parents[2] / "docs" / "learning.md"
    section = page.read_text("utf-8").split("\n## Recipes\n")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if "| `" in line]
    rows = [row for row in rows if len(row) == 9]  # the other table is of what they came to
    shown = {row[0].strip("|` "): row[1:] for row in rows}
    assert list(shown) == [one.name for one in RECIPES]
    kinds = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
    for one in RECIPES:
        kind, rate, _, decay, batch, epochs, views, _ = shown[one.name]
        assert kind == kinds[one.optimiser] + (", Nesterov" if one.nesterov else "")
        assert float(rate.partition(",")[0]) == one.learning_rate
        assert float(decay.replace("none", "0")) == one.weight_decay
        assert (int(batch), int(epochs)) == (one.batch, one.epochs)
        assert views.strip("`") == one.policy


def test_digits_are_never_mirrored():
    for entry in TABLE:
        if not entry.mirror:
            policy = POLICIES[recipe_for(entry, from_weights=False, frozen_all=False).policy]
            assert policy.mirror == 0, entry.name


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("lenet5", "lenet5"),
        ("lenet5-1998", "lenet5-1998"),
        ("alexnet", "alexnet"),
        ("alexnet-one-tower", "alexnet"),
        ("vgg16-bn", "vgg"),
        ("nin", "nin"),
        ("nin-imagenet", "alexnet"),
        ("googlenet-bn", "googlenet"),
        ("resnet50-v1", "resnet"),
        ("plain34", "resnet"),
        ("resnet20-cifar", "resnet-cifar"),
        ("plain56-cifar", "resnet-cifar"),
        ("resnet110-cifar", "resnet110-cifar"),
        ("resnet1202-cifar", "resnet110-cifar"),
        ("plain110-cifar", "resnet110-cifar"),
        ("efficientnet-lite0", "scratch"),
    ],
)
def test_fresh_weights_are_trained_as_the_paper_did(network, expected):
    assert recipe_for(find(network), from_weights=False, frozen_all=False).name == expected


def test_trained_weights_are_fine_tuned_whatever_the_network():
    for entry in TABLE:
        assert recipe_for(entry, from_weights=True, frozen_all=False).name == "fine-tune"
        assert recipe_for(entry, from_weights=True, frozen_all=True).name == "head"
        assert recipe_for(entry, from_weights=False, frozen_all=True).name == "head"


def test_an_unknown_recipe_is_refused_with_close_matches():
    assert recipe("ResNet_CIFAR") is recipe("resnet-cifar")
    with pytest.raises(UsageError, match="no recipe 'resnet-cifr': did you mean resnet-cifar"):
        recipe("resnet-cifr")
    with pytest.raises(UsageError, match="there are lenet5, lenet5-1998, alexnet"):
        recipe("zzz")


def test_few_steps_take_another_recipe_than_the_paper_s():
    """By hand: 64,000 steps are the paper's; 164 epochs of 5,000 in batches of 128 are 6,560."""
    paper = recipe("resnet-cifar")
    assert suited(paper, 5_000) == (paper, "")
    few, why = suited(paper, 2_000)  # 164 epochs of 16 steps
    assert few == recipe("scratch")
    assert why.startswith("recipe scratch: resnet-cifar is made for 64,000 steps, and of 2,000")
    assert "it would take 2,624; --recipe resnet-cifar takes it all the same" in why
    assert suited(paper.changed(epochs=8), 50_000)[0] == few  # 3,128 steps
    for name in ("lenet5", "fine-tune", "head", "scratch"):  # of no paper's length
        assert suited(recipe(name), 10) == (recipe(name), "")
    assert suited(recipe("googlenet"), 100)[0].side_heads


@pytest.mark.parametrize(
    "photographs, epochs, batch", [(2000, 60, 64), (2000, 8, 16), (2000, 20, 32), (100, 60, 16)]
)
def test_few_steps_become_more_in_small_batches(photographs, epochs, batch):
    """By hand: 60 × 32 = 1,920; 8 × 63 = 504 in batches of 32; 20 × 63 = 1,260; 60 × 4 = 240."""
    scratch = recipe("scratch").changed(epochs=epochs)
    assert in_small_batches(scratch, photographs) == scratch.changed(batch=batch)
    assert in_small_batches(recipe("head"), photographs) == recipe("head")
