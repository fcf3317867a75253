"""Side heads beside the head, in a training from trained weights too."""

import re

import pytest
import torch
from safetensors.torch import save_file

import tortie
from tests.conftest import lay_out
from tests.learning.examples import job_of
from tortie.errors import UsageError
from tortie.learning.backbone import make_backbone
from tortie.learning.step_plan import recipe_of

BN = "googlenet-bn"


@pytest.fixture(scope="module")
def googlenet(tmp_path_factory):
    """A file of GoogLeNet's tensors, fresh."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = tortie.networks.build(BN).state_dict()
    path = tmp_path_factory.mktemp("googlenet") / "weights.safetensors"
    save_file(state, path)
    return str(path)


def test_they_are_hung_on_a_network_with_a_new_head_and_train_with_it(googlenet):
    job = job_of(network=BN, weights=googlenet, freeze="inception_4b", side_heads=0.5)
    assert recipe_of(job, 100)[0].side_heads
    backbone = make_backbone(job, 3)
    assert list(backbone.network.side_heads) == ["inception_4a", "inception_4d"]
    assert list(backbone.trained.side_heads) == ["inception_4d"]  # the other's stage is frozen
    assert backbone.network.side_heads.inception_4d.fc2.out_features == 3
    plain = make_backbone(job_of(network=BN, weights=googlenet, freeze="inception_4b"), 3)
    assert not plain.network.side_heads


def test_what_they_score_is_told_and_the_file_has_none(googlenet, tmp_path):
    """The file is read back: what it says of its head decides which tensors it may hold."""
    images = lay_out(tmp_path / "photographs", 12, ("train", "validation"))
    classifier = tortie.ImageClassifier(
        BN, weights=googlenet, freeze="inception_4c", side_heads=0.3, epochs=1, batch=8,
        input="64x64x3", augment="none", precision="float32", run=tmp_path / "a.run",
    ).fit(images)  # fmt: skip
    (note,) = [line for line in classifier.fitted_.notes if line.startswith("side heads")]
    assert re.fullmatch(
        r"side heads, right on the \d+ photographs that chose the epoch: "
        r"inception_4d [\d.]+% \([\d.]+% to [\d.]+%\), the head [\d.]+% \([\d.]+% to [\d.]+%\)",
        note,
    )
    classifier.save(tmp_path / "a.safetensors")
    loaded = tortie.load(tmp_path / "a.safetensors")
    assert not any("side_heads" in name for name in loaded._parts[0].tensors)
    assert '"side weight": 0.3' in (tmp_path / "a.run" / "run.json").read_text()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"network": "resnet18", "freeze": "none"}, "resnet18 has none"),
        ({"network": f"{BN}(side_heads=false)", "freeze": "none"}, "has none"),
        ({"network": BN, "freeze": "all"}, "side_heads is for training by steps"),
        ({"network": BN, "freeze": "none", "side_heads": 0}, "side_heads is 0"),
    ],
)
def test_where_they_cannot_be_they_are_refused(choices, message):
    with pytest.raises(UsageError, match=message):
        job_of(**{"side_heads": 0.3, **choices})


def test_side_heads_of_frozen_stages_alone_are_refused(googlenet):
    job = job_of(network=BN, weights=googlenet, freeze="inception_4d", side_heads=0.3)
    with pytest.raises(UsageError, match="hang from inception_4a, inception_4d, which are frozen"):
        make_backbone(job, 2)
