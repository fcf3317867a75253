"""GoogLeNet against table 1 of its paper, and its side heads."""

import pytest
import torch

from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.errors import UsageError
from tortie.networks.inception import Inception, googlenet, googlenet_bn

# Table 1: output side and maps of each module, and its multiplications in the "ops" column (in
# millions; 5a's is a slip of the paper and left out).
TABLE_1 = {
    "inception_3a": (28, 256, 128),
    "inception_3b": (28, 480, 304),
    "inception_4a": (14, 512, 73),
    "inception_4b": (14, 512, 88),
    "inception_4c": (14, 512, 100),
    "inception_4d": (14, 528, 119),
    "inception_4e": (14, 832, 170),
    "inception_5a": (7, 832, None),
    "inception_5b": (7, 1024, 71),
}


def test_modules_are_those_of_table_1():
    stages = {stage.name: stage for stage in count(meta_network("googlenet")).stages}
    for name, (side, maps, millions) in TABLE_1.items():
        assert stages[name].output == (side, side, maps)
        if millions:
            got = stages[name].arithmetic.multiplications / 1e6
            assert got == pytest.approx(millions, abs=0.7), name


@pytest.mark.parametrize("name", ["googlenet", "googlenet-bn"])
def test_sides_are_112_56_28_14_7(name):
    stages = {stage.name: stage.output for stage in count(meta_network(name)).stages}
    assert stages["conv1"] == (112, 112, 64)
    assert stages["maxpool1"] == (56, 56, 64)
    assert stages["conv2"] == (56, 56, 192)
    assert stages["maxpool2"] == (28, 28, 192)
    assert stages["maxpool3"] == (14, 14, 480)
    assert stages["maxpool4"] == (7, 7, 832)
    assert stages["avgpool"] == (1024,)


@torch.no_grad()
def test_a_module_is_its_branches_side_by_side():
    torch.manual_seed(0)
    module = Inception(192, (64, 96, 128, 16, 32, 32), norm=False)
    images = torch.rand(1, 192, 28, 28)
    out = module(images)
    assert out.shape == (1, 64 + 128 + 32 + 32, 28, 28)
    pooled = torch.nn.functional.max_pool2d(images, 3, 1, 1)
    parts = [module.one(images), module.three(images), module.five(images), module.pool[1](pooled)]
    for part, (start, width) in zip(parts, [(0, 64), (64, 128), (192, 32), (224, 32)], strict=True):
        assert torch.equal(out[:, start : start + width], part)
    assert module.five[1].conv.kernel_size == (5, 5)
    assert Inception(192, (64, 96, 128, 16, 32, 32), norm=True).five[1].conv.kernel_size == (3, 3)


def test_side_heads_have_the_counted_parameters():
    network = meta_network("googlenet")
    sides = {
        name: sum(parameter.numel() for parameter in head.parameters())
        for name, head in network.side_heads.items()
    }
    assert sides == {"inception_4a": 3_188_840, "inception_4d": 3_190_888}
    assert sum(parameter.numel() for parameter in network.parameters()) == 13_378_280
    bn = sum(parameter.numel() for parameter in meta_network("googlenet-bn").parameters())
    assert bn == 13_004_888
    assert network.side_weight == 0.3


def small(**arguments):
    """The batch-normalised layout, with images of 64×64, at rest."""
    torch.manual_seed(0)
    return googlenet_bn(classes=5, **arguments).eval(), torch.randn(2, 3, 64, 64)


@torch.no_grad()
def test_side_heads_do_not_touch_the_logits():
    network, images = small()
    logits, sides = network.forward_with_sides(images)
    torch.testing.assert_close(logits, network(images))
    assert {name: side.shape for name, side in sides.items()} == {
        "inception_4a": (2, 5),
        "inception_4d": (2, 5),
    }
    by_hand = network.side_heads["inception_4a"](network.cut("inception_4a")[0](images))
    torch.testing.assert_close(sides["inception_4a"], by_hand)


def test_a_side_loss_trains_the_stages_before_it_alone():
    network, images = small()
    _, sides = network.forward_with_sides(images)
    sides["inception_4a"].sum().backward()
    for name, stage in network.stages.named_children():
        before = network.stage_index(name) <= network.stage_index("inception_4a")
        assert all((p.grad is not None) == before for p in stage.parameters()), name
    assert network.head.weight.grad is None


@torch.no_grad()
@pytest.mark.parametrize(
    ("after", "kept"),
    [
        ("inception_3b", {"inception_4a", "inception_4d"}),
        ("inception_4a", {"inception_4d"}),
        ("inception_4c", {"inception_4d"}),
        ("inception_4d", set()),
        ("avgpool", set()),
    ],
)
def test_a_cut_keeps_the_side_heads_after_it(after, kept):
    network, images = small()
    prefix, rest = network.cut(after)
    logits, sides = network.forward_with_sides(images)
    got, got_sides = rest.forward_with_sides(prefix(images))
    torch.testing.assert_close(got, logits)
    assert set(got_sides) == kept
    for name in kept:
        torch.testing.assert_close(got_sides[name], sides[name])


def test_a_frozen_stage_takes_its_side_head_with_it():
    network, _ = small()
    network.freeze("inception_4a")
    trained = {
        name: any(parameter.requires_grad for parameter in head.parameters())
        for name, head in network.side_heads.items()
    }
    assert trained == {"inception_4a": False, "inception_4d": True}


def test_a_new_head_drops_the_side_heads_of_the_old_classes():
    network, images = small()
    network.new_head(7)
    assert network(images).shape == (2, 7)
    assert network.forward_with_sides(images)[1] == {}


def test_side_heads_as_printed_say_which_size_they_see():
    network = meta_network("googlenet")
    images = torch.empty(1, 3, 192, 192, device="meta")
    assert network(images).shape == (1, 1000)
    with pytest.raises(UsageError, match=r"14×14, of images of 224×224, not of 12×12"):
        network.forward_with_sides(images)


def test_it_starts_as_caffes_does():
    """Uniform within the root of 3 over the fan-in, whose deviation is 1 over its root."""
    torch.manual_seed(0)
    first = googlenet().stages.conv1.conv
    bound = (3 / 147) ** 0.5
    assert 0.99 * bound < first.weight.abs().max().item() <= bound
    assert first.weight.std().item() == pytest.approx(147**-0.5, rel=0.03)
    assert (first.bias == 0.2).all()
