"""What a user may ask for: nothing that is asked for is ignored."""

from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from tests.learning.examples import job_of
from tortie.errors import UsageError
from tortie.learning.chosen_policy import said_colours
from tortie.learning.ensemble import split_weights
from tortie.learning.options import FitOptions, hidden_layers


@pytest.mark.parametrize(
    "choice",
    [
        {"recipe": "lenet5"}, {"epochs": 3}, {"batch": 8}, {"learning_rate": 0.1},
        {"accumulate": 2}, {"track": "tensorboard"}, {"resume": True, "run": "pets.run"},
    ],
)  # fmt: skip
def test_choices_of_a_training_by_steps_are_refused_without_one(choice):
    name = next(iter(choice))
    with pytest.raises(UsageError, match=f"{name} is for training by steps: freeze none"):
        job_of(**choice)
    for freeze in (10, "avgpool"):  # the same ten stages by other names
        with pytest.raises(UsageError, match=f"{name} is for training by steps: freeze none"):
            job_of(**choice, freeze=freeze)
    job_of(**choice, freeze="none")
    job_of(**choice, freeze=3)
    job_of(**choice, head="mlp:16")


def test_resume_needs_a_run():
    with pytest.raises(UsageError, match="resume needs run"):
        FitOptions.of(resume=True, freeze="none")
    assert FitOptions.of(resume=True, freeze="none", run="a.run").run == Path("a.run")


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"epochs": 0, "freeze": "none"}, "epochs is 0"),
        ({"batch": -1, "freeze": "none"}, "batch is -1"),
        ({"learning_rate": 0, "freeze": "none"}, "learning_rate is 0"),
        (
            {"head": "mlp:0"},
            "head 'mlp:0': expected linear, or mlp:N with N hidden units, as mlp:256",
        ),
        ({"head": "mlp:-3"}, "head 'mlp:-3'"),
        ({"head": "mlp"}, "head 'mlp'"),
        ({"budget": "ten"}, "budget is 'ten': expected seconds, or a number with s, m or h"),
        ({"budget": "3 parrots"}, "as 90s or 10m"),
        ({"budget": "20s", "freeze": "none"}, "budget is time to compare depths in, with --freeze"),
        ({"views": 8}, "views are drawn by --augment"),
        ({"views": 8, "augment": "full", "freeze": "none"}, "each epoch draws anew"),
        ({"budget": 0}, "budget is 0"),
        ({"views": 8}, "views are drawn by --augment"),
        ({"augment": "mirror", "mirror": False}, "augment mirror draws nothing else"),
        ({"frieze": "none"}, "no option 'frieze': did you mean 'freeze'?"),
        ({"epochs": 0}, "epochs is 0: expected at least 1"),
        ({"epochs": 1.5}, "epochs is 1.5: expected a whole number"),
        ({"views": 1001, "augment": "full"}, "views is 1001: expected at most 1000"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast': expected a number"),
        ({"learning_rate": 0}, "learning_rate is 0: expected more than 0"),
        ({"mirror": "perhaps"}, "mirror is 'perhaps': expected true or false"),
        ({"device": 3}, "device is 3: expected text"),
        ({"run": 3}, "run is 3: expected a path"),
        ({"valid": [1]}, "valid is [1]: expected a fraction between 0 and 1, or a folder"),
        ({"freeze": None}, "freeze is None: expected all, none, auto, a number of stages, or"),
        ({"network": 3.5}, "network is 3.5: expected the name of a network, or an nn.Module"),
        ({"precision": "int8"}, "expected auto, float32 or bfloat16; 8 bits are for a finished"),
        ({"precision": "int8"}, "tortie export --int8"),
    ],
)
def test_what_cannot_be_meant_is_one_line(choice, message):
    with pytest.raises(UsageError) as refused:
        job_of(**choice)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).count("mlp") in (0, 3)  # what was given is said once


LITERALS = {
    name: get_args(kind)
    for name, field in FitOptions.model_fields.items()
    for kind in (field.annotation, *get_args(field.annotation))
    if get_origin(kind) is Literal
}


@pytest.mark.parametrize("name", LITERALS)
def test_every_choice_among_words_names_them_all(name):
    """The oracle is the option's own type; ``class_weight`` has words of its own."""
    if name == "class_weight":
        return
    *others, last = map(str, LITERALS[name])
    with pytest.raises(UsageError) as refused:
        FitOptions.of(**{name: "wrong"})
    assert str(refused.value) == f"{name} is 'wrong': expected {', '.join(others)} or {last}"


def test_the_choices_among_words_are_found():
    assert {"quality", "track", "crops", "precision", "engine"} <= LITERALS.keys()


def test_no_option_answers_in_pydantic_s_words():
    """Whatever an option takes, one of these is wrong for it."""
    for name in FitOptions.model_fields:
        refusals = []
        for value in (
            "wrong\0",
            -1,
            1.5,
            float("nan"),
            float("inf"),
            [1],
            {},
            b"x",
            None,
            object(),
        ):
            try:
                FitOptions.of(**{name: value})
            except UsageError as error:
                refusals.append(str(error))
        assert refusals, name
        for one in refusals:
            assert "nput should" not in one and "pathlib" not in one
            assert name in one


@pytest.mark.parametrize(
    "text, seconds", [("90s", 90), ("10m", 600), ("1.5h", 5400), ("45", 45), ("2 m", 120), (45, 45)]
)
def test_durations(text, seconds):
    assert FitOptions.of(freeze="auto", budget=text).budget == seconds


@pytest.mark.parametrize(
    "freeze, head, steps",
    [
        ("all", "linear", False),
        ("all", "mlp:8", True),
        ("none", "linear", True),
        (3, "linear", True),
        (10, "linear", False),
        ("avgpool", "linear", False),
        ("auto", "linear", True),
    ],
)
def test_what_goes_by_steps(freeze, head, steps):
    assert job_of(freeze=freeze, head=head).by_steps is steps


def test_hidden_layers():
    assert hidden_layers("linear") == ()
    assert hidden_layers("mlp:256") == (256,)


def test_a_value_of_any_length_is_refused_in_a_line():
    """A classifier's file may say anything; the limit is that of the test of forged ones."""
    for choices in ({"accumulate": ["x"] * 1000}, {"augment": "x" * 5000}, {"budget": "x" * 5000}):
        with pytest.raises(UsageError) as refused:
            FitOptions.of(**choices)
        assert next(iter(choices)) in str(refused.value)
        assert len(str(refused.value)) < 450


@pytest.mark.parametrize(
    "augment, basis, said",
    [
        ("full", "photographs", "PCA colour along the photographs' own axes"),
        ("full", "imagenet", "PCA colour along ImageNet's axes"),
        ("standard", "photographs", ""),
    ],
)
def test_a_plan_says_whose_axes_colours_have(augment, basis, said):
    assert said_colours(FitOptions.of(colour_basis=basis), augment) == said


def test_an_empty_name_among_weights_is_refused():
    assert split_weights("a.pth, none") == ["a.pth", None]
    with pytest.raises(UsageError, match="an empty name"):
        split_weights("a.pth,")


@pytest.mark.parametrize("name", ["max_megapixels", "budget", "learning_rate", "side_heads"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf"), 0, -1])
def test_numbers_of_options_are_finite_and_positive(name, value):
    with pytest.raises(UsageError, match=f"^{name} is .*: expected (a finite number|more than 0)$"):
        FitOptions.of(**{name: value})
