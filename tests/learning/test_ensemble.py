"""Ensembles: the members' own split, the mean of what they say, and what is refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tortie
from tests.conftest import lay_out
from tests.learning.examples import jobs_of
from tortie.errors import UsageError
from tortie.evaluation.calibration import temperature_scaled
from tortie.learning.cross_fitting import HeldOut
from tortie.learning.ensemble import _mean
from tortie.learning.fit_report import report_of
from tortie.learning.job import Events


def test_the_mean_is_of_the_photographs_that_every_member_judged():
    """By hand: photographs 2 and 5 are common; their rows stand in other orders."""
    first = HeldOut(np.array([5, 1, 2]), np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], np.float32))
    second = HeldOut(np.array([2, 5]), np.array([[0.4, 0.6], [0.7, 0.3]], np.float32))
    for said in ([first, second], [second, first]):
        mean = _mean(said)
        assert mean.positions.tolist() == [2, 5]
        np.testing.assert_allclose(mean.probabilities, [[0.3, 0.7], [0.8, 0.2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("choices", "networks"),
    [
        ({"members": 3, "augment": "mirror"}, ["efficientnet-lite0"] * 3),
        ({"network": "resnet18, googlenet-bn"}, ["resnet18", "googlenet-bn"]),
        (
            {"network": "lenet5,resnet20-cifar", "members": 4, "freeze": "none", "weights": None},
            ["lenet5", "resnet20-cifar"] * 2,
        ),
        (
            {
                "network": "lenet5(pooling=average, activation=tanh),lenet5",
                "freeze": "none",
                "weights": None,
            },
            ["lenet5(activation=tanh, pooling=average)", "lenet5"],
        ),
        ({"network": "resnet18", "weights": "imagenet,a.pth"}, ["resnet18"] * 2),
    ],
)
def test_each_member_draws_its_own_views_of_one_split(choices, networks):
    each = jobs_of(**choices)
    assert [one.entry.title for one in each] == networks
    assert len({one.draw_seed for one in each}) == len(each)
    assert {one.options.seed for one in each} == {0}
    assert {one.options.members for one in each} == {1}


def test_a_quality_of_two_networks_is_two_members():
    each = jobs_of(quality="high", weights=None, freeze="none")
    assert [one.entry.title for one in each] == ["efficientnet-lite0", "efficientnet-lite2"]


def test_each_member_begins_with_its_own_weights(tmp_path):
    comma = tmp_path / "a,b.pth"
    comma.touch()
    for weights, expected in (
        ("imagenet, a.pth", ["imagenet", "a.pth"]),
        ("auto,none", ["imagenet", None]),
        (str(comma), [str(comma)]),
    ):
        each = jobs_of(network="resnet18", weights=weights, freeze="none")
        assert [one.options.weights for one in each] == expected
    both = jobs_of(network="resnet18,resnet20-cifar")
    assert [one.options.weights for one in both] == ["imagenet", "cifar10"]


def test_members_of_two_weight_files_are_two_networks_of_one_file(tmp_path, weights):
    """The oracle: each member alone, on the same photographs, has the same stages."""
    other = tmp_path / "other.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_file(tortie.networks.resnet20_cifar().state_dict(), other)
    images = lay_out(tmp_path / "photographs", count=10)
    both = tortie.ImageClassifier("resnet20-cifar", weights=f"{weights},{other}").fit(images)
    both.save(tmp_path / "a.safetensors")
    loaded = tortie.load(tmp_path / "a.safetensors")
    assert [one.weights for one in loaded.metadata.members] == [str(weights), str(other)]
    for part, file in zip(loaded._parts, (weights, other), strict=True):
        stages = load_file(file)
        for name, tensor in part.tensors.items():
            if name.startswith("stages."):
                np.testing.assert_array_equal(tensor, stages[name].numpy(), err_msg=name)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"members": 2}, "would be one"),
        ({"network": "resnet18,resnet18"}, "would be one"),
        ({"network": "resnet18,googlenet-bn", "members": 3, "augment": "mirror"}, "as many of"),
        ({"network": "resnet18,resnet81"}, "did you mean"),
        ({"network": "resnet18,resnet34,resnet50", "weights": "imagenet,a.pth"}, "as many of both"),
        ({"weights": "imagenet,imagenet"}, "would be one"),
        ({"network": "resnet20-cifar", "weights": "imagenet"}, "take --weights cifar10"),
        ({"network": "lenet5(pooling=average)"}, "lenet5 has no trained weights"),
        ({"network": "lenet5(poling=average)"}, "did you mean pooling"),
    ],
)
def test_members_that_cannot_be_are_refused(choices, message):
    with pytest.raises(UsageError, match=message):
        jobs_of(**choices)


def test_a_member_that_cannot_be_trained_is_refused_before_another_is(tmp_path):
    """NiN has no published weights; nothing is said of a plan, for none is made."""
    plans = []
    classifier = tortie.ImageClassifier("efficientnet-lite0,nin")
    with pytest.raises(UsageError, match="nin has no trained weights"):
        classifier.fit(lay_out(tmp_path / "photographs", 4), events=Events(plan=plans.append))
    assert not plans


def test_an_ensemble_averages_outputs_and_is_one_file(tmp_path):
    """The saved classifier says, within rounding, the tempered mean of what its members say."""
    images = lay_out(tmp_path / "photographs", count=14)
    classifier = tortie.ImageClassifier(
        "lenet5", weights=None, freeze="none", members=2, epochs=2, batch=8, precision="float32",
        run=tmp_path / "a.run",
    )  # fmt: skip
    classifier.fit(images)
    fitted = classifier.fitted_
    assert fitted is not None and len(fitted.members) == 2
    one, other = fitted.members
    assert one.data.split.splits == other.data.split.splits
    assert any(
        not np.array_equal(mine, yours)
        for mine, yours in zip(
            one.network.state_dict().values(), other.network.state_dict().values(), strict=True
        )
    )
    mean = (one.held_out.probabilities + other.held_out.probabilities) / 2
    np.testing.assert_allclose(fitted.held_out.probabilities, mean, rtol=1e-5)
    temperature = fitted.calibration.temperature["1"]
    np.testing.assert_allclose(
        fitted.probabilities, temperature_scaled(mean, temperature), rtol=1e-4
    )
    assert [path.name for path in sorted((tmp_path / "a.run").iterdir())] == [
        "member-1",
        "member-2",
    ]
    classifier.save(tmp_path / "a.safetensors")
    loaded = tortie.load(tmp_path / "a.safetensors").set_params(precision="float32")
    assert len(loaded.metadata.members) == 2
    paths = [fitted.data.photographs[i].path for i in fitted.held_out.positions]
    np.testing.assert_allclose(loaded.predict_proba(paths), fitted.probabilities, atol=1e-5)


def test_a_split_that_is_drawn_is_drawn_once(tmp_path):
    """What is held out for one member is held out for all."""
    images = lay_out(tmp_path / "photographs", count=12)
    classifier = tortie.ImageClassifier(members=2, augment="mirror", views=1, test=0.4)
    classifier.fit(images)
    fitted = classifier.fitted_
    assert fitted is not None and fitted.data.split.on == "test"
    one, other = (member.data.split.splits for member in fitted.members)
    assert one == other and one.count("test") == len(fitted.held_out.positions) == 10


def test_the_report_s_table_scores_each_member_by_the_photographs_own_labels(tmp_path):
    """The oracle: the right answers counted photograph by photograph."""
    images = lay_out(tmp_path / "photographs", count=12)
    classifier = tortie.ImageClassifier(members=2, augment="mirror", views=1, test=0.4)
    fitted = classifier.fit(images).fitted_
    *rows, together = report_of(fitted, "pets").ensemble
    for row, member in zip(rows, fitted.members, strict=True):
        labels = fitted.data.labels[member.held_out.positions]
        right = sum(member.held_out.probabilities.argmax(1) == labels)
        assert (row.accuracy.value, row.accuracy.n) == (right / 10, 10)
        assert right == 10  # blobs and stripes are told apart
    assert together.accuracy.value == 1
