"""How deep a network is frozen, and the sizes and channels that it can be given."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tortie
from tests.conftest import lay_out
from tests.learning.examples import job_of
from tortie import networks
from tortie.errors import UsageError
from tortie.learning.backbone import make_backbone
from tortie.learning.freeze import middle_stage, resolve
from tortie.learning.input_size import resized
from tortie.networks.table import find


@pytest.fixture(scope="module")
def lenet5():
    return networks.lenet5(classes=3)  # c1, s2, c3, s4, c5, f6


@pytest.mark.parametrize(
    "asked, stages, last",
    [("all", 6, "f6"), ("none", 0, None), ("0", 0, None), (2, 2, "s2"), ("c3", 3, "c3")],
)
def test_depths(lenet5, asked, stages, last):
    freeze = resolve(asked, lenet5.stage_names)
    assert (freeze.stages, freeze.of, freeze.last_frozen) == (stages, 6, last)
    assert freeze.is_complete == (stages == 6)


@pytest.mark.parametrize(
    "asked, stages, last, later",
    [
        ("stages=c1", 1, "c1", ()),
        ("stages=c3,c1", 1, "c1", ("c3",)),
        ("stages=f6", 0, None, ("f6",)),
        ("train=c5", 4, "s4", ("f6",)),
        ("train=c1, f6", 0, None, ("s2", "c3", "s4", "c5")),
        ("stages=c1,s2,c3,s4,c5,f6", 6, "f6", ()),
    ],
)
def test_sets_of_stages(lenet5, asked, stages, last, later):
    freeze = resolve(asked, lenet5.stage_names)
    assert (freeze.stages, freeze.last_frozen, freeze.later) == (stages, last, later)
    lenet5.freeze(freeze.names(lenet5.stage_names))
    assert lenet5.frozen == stages
    assert lenet5.frozen_stages == freeze.names(lenet5.stage_names)


def test_a_stage_frozen_after_a_trained_one_stays_as_it_is(tmp_path, weights):
    """Of the tensors of the file that it begins with, these alone are the same to the last bit."""
    images = lay_out(tmp_path / "photographs", 12)
    classifier = tortie.ImageClassifier(
        "resnet20-cifar", weights=str(weights), freeze="stages=conv1,conv3_x", epochs=2, batch=8,
        recipe="resnet-cifar", precision="float32",
    ).fit(images)  # fmt: skip
    plan = dict(classifier.fitted_.plan.lines())
    assert plan["frozen"].startswith("1 of 5 stages (through conv1) and conv3_x: ")
    assert plan["frozen live"] == (
        "conv3_x: after a trained stage, computed in each step; what conv1 yields can be stored"
    )
    assert plan["trained"].startswith("3 stages and the head")
    before = load_file(weights)
    for name, tensor in classifier._parts[0].tensors.items():
        if name.startswith("stages."):
            same = np.array_equal(tensor, before[name].numpy())
            assert same == name.startswith(("stages.conv1.", "stages.conv3_x.")), name
    classifier.save(tmp_path / "a.safetensors")
    assert tortie.load(tmp_path / "a.safetensors").metadata.members[0].frozen == [
        "conv1", "conv3_x"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "asked, message",
    [
        ("conv9", "no stage 'conv9': the stages are c1, s2, c3, s4, c5, f6"),
        (99, "cannot cut after 99 stages: the network has 6"),
        ("7", "cannot cut after 7 stages"),
        ("-1", "no stage '-1'"),
        ("stages=c1,c9", "no stage 'c9': the stages are c1"),
        ("stages=", "no stage ''"),
        ("train=2", "no stage '2'"),
        ("only=c1", "freeze only=c1: expected stages=A,B, or train=A,B"),
    ],
)
def test_depths_that_are_not_there(lenet5, asked, message):
    with pytest.raises(UsageError) as refused:
        resolve(asked, lenet5.stage_names)
    assert message in str(refused.value)


def test_the_middle(lenet5):
    assert middle_stage(lenet5.stage_names) == "c3"


@pytest.mark.parametrize(
    "name, size, message",
    [
        ("lenet5", "8x8x3", "linear layers fix the size of lenet5 at 28x28"),
        ("lenet5-1998", "32x32x3", "lenet5-1998 takes photographs of 1 channels alone"),
        ("googlenet", "8x8x3", "input 8x8x3 is too small for googlenet"),
        ("alexnet-one-tower", "16x16x3", "too small for alexnet-one-tower"),
        ("resnet20-cifar", "32x32", "expected HEIGHTxWIDTHxCHANNELS"),
        ("resnet20-cifar", "0x32x3", "expected HEIGHTxWIDTHxCHANNELS"),
        ("resnet20-cifar", "32x32x4", "expected HEIGHTxWIDTHxCHANNELS"),
    ],
)
def test_inputs_that_cannot_be(name, size, message):
    with pytest.raises(UsageError) as refused:
        resized(find(name), size)
    assert message in str(refused.value)


def test_another_input():
    """Of 224 of 256, 64×48 shows the same share: the longer side 64 of 73."""
    row = resized(find("efficientnet-lite0"), "64x48x3")
    drawn = row.preprocessing
    assert (drawn.height, drawn.width, drawn.channels, drawn.resize) == (64, 48, 3, 73)
    assert resized(find("lenet5"), None) is find("lenet5")
    grey = resized(find("resnet20-cifar"), "32x32x1")
    assert grey.preprocessing.mean == pytest.approx(((123.675 + 116.28 + 103.53) / 3,))
    assert grey.build(classes=2)(torch.zeros(2, 1, 32, 32)).shape == (2, 2)


def test_fresh_networks_are_a_function_of_the_seed_and_draw_from_nobody():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    options = {"network": "lenet5", "weights": None, "freeze": "none", "head": "mlp:5"}
    one, again, other = (make_backbone(job_of(**options, seed=seed), 3) for seed in (7, 7, 8))
    assert torch.equal(before, torch.get_rng_state())
    assert one.freeze.stages == 0
    tensors = one.network.state_dict()
    for name, tensor in again.network.state_dict().items():
        assert torch.equal(tensor, tensors[name])
    assert not torch.equal(tensors["head.0.weight"], other.network.state_dict()["head.0.weight"])
    assert [tuple(tensors[f"head.{i}.weight"].shape) for i in (0, 2)] == [(5, 84), (3, 5)]


def test_random_numbers_are_not_frozen():
    with pytest.raises(UsageError, match=r"fresh weights cannot be frozen.*take --weights FILE"):
        job_of(network="lenet5", weights=None, freeze=2)
    with pytest.raises(UsageError, match="take --weights cifar10"):  # those that it has
        job_of(network="resnet20-cifar", weights=None, freeze=2)
    with pytest.raises(UsageError, match="lenet5 has no trained weights"):
        job_of(network="lenet5", freeze="none")
