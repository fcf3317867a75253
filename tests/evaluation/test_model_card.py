"""The card on a hub says what the file says, and is nobody's markup."""

import re

import pytest
import yaml

import tortie
from tortie.evaluation.model_card import model_card
from tortie.weights.licences import licence_of


@pytest.fixture(scope="module")
def metadata(fitted_file):
    return tortie.load(fitted_file).metadata


def front(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_it_says_what_was_measured_with_its_interval(metadata):
    card, accuracy = model_card(metadata, "hf://cats/textures"), metadata.accuracy
    assert (
        f"**{accuracy.value:.1%}** (95% interval {accuracy.low:.1%} to {accuracy.high:.1%})" in card
    )
    assert "24 photographs (cross-validation)" in card
    assert "In the order of the probabilities: blobs, stripes." in card
    measured = metadata.training["measured"]
    assert f"log loss {measured['log_loss']:.3f}" in card
    rows = re.findall(r"^\| (0\.\d+) \| (\d+\.\d)% \|", card, re.M)
    assert [(float(a), float(b)) for a, b in rows] == [
        (one["threshold"], round(100 * one["coverage"], 1)) for one in measured["coverage"]
    ]
    found = front(card)
    assert found["license"] == "apache-2.0" and found["library_name"] == "tortie"
    (result,) = found["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": round(accuracy.value, 4)}]


def test_what_is_not_known_is_not_said(metadata):
    unknown = metadata.model_copy(
        update={"accuracy": None, "accuracy_reason": "too few of them", "training": {}}
    )
    card = model_card(unknown, "hf://cats/textures", "mit")
    assert "Not known: too few of them." in card
    assert "calibrated is not recorded" in card
    assert "%" not in card.split("## Accuracy")[1].split("## Limits")[0]
    assert "model-index" not in front(card) and front(card)["license"] == "mit"


@pytest.mark.parametrize(
    "measured", [7, {"log_loss": "x"}, {"log_loss": 1, "ece": 9, "brier": 1}, []]
)
def test_a_forged_record_is_none(metadata, measured):
    forged = metadata.model_copy(
        update={"training": {"measured": measured, "splits": 3, "seed": []}}
    )
    assert "calibrated is not recorded" in model_card(forged, "hf://a/b")


def test_names_are_text_and_no_markup(metadata):
    names = ["<script>x</script>", "a|b", "[x](http://e)", "*b*", "\u202eturned"]
    card = model_card(metadata.model_copy(update={"classes": names}), "hf://a/b")
    line = next(one for one in card.splitlines() if one.startswith("In the order"))
    assert line.endswith(r"\<script\>x\</script\>, a\|b, \[x\](http://e), \*b\*, \\u202eturned.")


@pytest.mark.parametrize(
    "source, name",
    [
        ("packaged:efficientnet-lite0", "apache-2.0"),
        ("https://download.pytorch.org/models/resnet50-0676ba61.pth", "bsd-3-clause"),
        ("hf://timm/seresnet50.ra2_in1k", "apache-2.0"),
        ("hf://somebody/else", None),
        ("own.safetensors", None),
    ],
)
def test_licences_are_those_that_the_publishers_say(source, name):
    assert licence_of(source).name == name
    assert licence_of(source).source


def test_every_network_with_weights_has_a_licence():
    from tortie.networks.table import TABLE

    for entry in TABLE:
        for source in entry.weights.values():
            assert licence_of(source).name, entry.name


def test_weights_of_several_licences_make_none_in_common(metadata):
    (one,) = metadata.members
    other = one.model_copy(update={"network": "resnet50"})
    both = metadata.model_copy(update={"members": [one, other]})
    assert front(model_card(both, "hf://a/b"))["license"] == "other"
    scratch = one.model_copy(update={"weights": None})
    card = model_card(metadata.model_copy(update={"members": [scratch]}), "hf://a/b")
    assert "trained from scratch" in card
