"""A recipe is checked as a whole, frozen, and the same after a round through JSON."""

import pytest
from pydantic import ValidationError

from tortie.errors import UsageError
from tortie.training.recipe import Recipe
from tortie.training.recipes import RECIPES

PLAIN = Recipe(name="plain", source="a test", learning_rate=0.1, epochs=2, batch=8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"momentum": 2}, "recipe: momentum: expected less than 1, not 2$"),
        ({"learning_rate": 0}, "recipe: learning_rate: expected more than 0, not 0$"),
        ({"learning_rate": float("nan")}, "recipe: learning_rate: .*finite"),
        ({"depth_factor": 1.5}, "recipe: depth_factor: expected at most 1, not 1.5"),
        ({"epochs": 1.5}, "recipe: epochs: expected a whole number, not 1.5"),
        (
            {"schedule": "cosin"},
            "recipe: schedule: expected constant, cosine, .* or exponential, not 'cosin'",
        ),
        ({"ema": 1}, "recipe: ema: expected less than 1, not 1"),
        ({"momentun": 0.5}, "recipe: no field 'momentun': did you mean 'momentum'"),
        ({"glitter": 1}, "recipe: no field 'glitter': there are name, source, optimiser"),
        ({"policy": "standart"}, "no augmentation 'standart': did you mean 'standard'"),
        ({"schedule": "steps"}, "schedule steps needs drops"),
        ({"drops": (0.5, 0.25)}, r"each later than the one before, not \(0.5, 0.25\)"),
        ({"drops": (0.5, 0.5)}, "each later than the one before"),
        ({"drops": (0.5, 1.5)}, "recipe: drops.1: expected less than 1, not 1.5"),
        ({"schedule": "inverse"}, "schedule inverse needs final above 0"),
        ({"nesterov": True, "momentum": 0}, "nesterov is for sgd with momentum"),
        ({"nesterov": True, "optimiser": "adamw"}, "nesterov is for sgd with momentum"),
        ({"loss": "rbf", "mixup": 0.2}, "loss rbf takes labels as they are"),
        ({"loss": "rbf", "balance": "loss"}, "balance by sampler"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(fields, message):
    with pytest.raises(UsageError, match=message) as refused:
        PLAIN.changed(**fields)
    assert "\n" not in str(refused.value)


def test_a_missing_field_is_named():
    with pytest.raises(UsageError, match="recipe: learning_rate is missing"):
        Recipe(name="plain", source="a test", epochs=1, batch=1)
    with pytest.raises(UsageError, match="recipe: source, learning_rate, batch are missing"):
        Recipe(name="plain", epochs=1)
    with pytest.raises(UsageError, match="no field 'learning_rte': did you mean 'learning_rate'"):
        Recipe(name="plain", learning_rte=1)


def test_changed_changes_what_is_asked_and_nothing_else():
    other = PLAIN.changed(learning_rate="0.05", epochs=3)  # text, as a command line gives it
    assert other.learning_rate == 0.05 and other.epochs == 3
    assert other.changed(learning_rate=0.1, epochs=2) == PLAIN
    assert PLAIN.learning_rate == 0.1


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        PLAIN.momentum = 0.5


@pytest.mark.parametrize("one", RECIPES, ids=lambda one: one.name)
def test_json_keeps_a_recipe(one):
    assert Recipe.of_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "recipe: no JSON"),
        ("[1]", "expected a JSON object, not"),
        ('{"name": "a"}', "source, learning_rate, epochs, batch are missing"),
    ],
)
def test_json_that_is_no_recipe_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        Recipe.of_json(text)


def test_every_field_says_what_it_is():
    # Invariant: a sentence or a unit a field, for docs and for whoever reads a run's folder.
    assert all(field.description for field in Recipe.model_fields.values())
