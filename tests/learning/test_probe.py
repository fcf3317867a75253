"""What a new head begins with: the softmax layer of a frozen fit is the oracle."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import tortie
from tests.conftest import lay_out
from tortie.errors import UsageError
from tortie.learning import probe
from tortie.training.recipes import recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("probe") / "a", 12, ("train", "valid", "test"))


def fitted(folder, weights, **choices):
    own = tortie.ImageClassifier("resnet20-cifar", weights=str(weights), threads=1, **choices)
    return own.fit(folder).fitted_


@pytest.mark.parametrize("freeze", ["none", "conv3_x"])
def test_a_new_head_begins_as_the_softmax_layer_of_a_frozen_fit(
    folder, weights, tmp_path, monkeypatch, freeze
):
    """A step of a millionth of a millionth later; the penalty is chosen on other photographs."""
    frozen = fitted(folder, weights, precision="float32")
    chosen = SimpleNamespace(penalty=frozen.penalty)
    monkeypatch.setattr(probe, "choose_among", lambda *_: chosen)
    still = recipe("fine-tune").changed(learning_rate=1e-12, policy="none")
    (tmp_path / "still.json").write_text(still.model_dump_json())
    begun = fitted(
        folder, weights, precision="float32", freeze=freeze, epochs=1,
        recipe=str(tmp_path / "still.json"),
    )  # fmt: skip
    assert begun.plan.training.probed == 24
    for name in ("weight", "bias"):
        of_both = [getattr(one.network.head, name).detach() for one in (begun, frozen)]
        torch.testing.assert_close(*of_both, rtol=1e-2, atol=1e-4)


def test_what_has_no_softmax_layer_begins_at_random(folder, weights):
    choices = {"freeze": "none", "epochs": 1, "batch": 12}
    assert fitted(folder, weights, head="mlp:4", **choices).plan.training.probed == 0
    fresh = tortie.ImageClassifier("resnet20-cifar", weights=None, recipe="fine-tune", **choices)
    assert fresh.fit(folder).fitted_.plan.training.probed == 0
    with pytest.raises(UsageError, match="loss rbf has no softmax layer to begin with"):
        recipe("fine-tune").changed(loss="rbf", label_smoothing=0)


def test_kept_statistics_stay_to_the_bit_and_all_else_learns(folder, weights):
    network = fitted(folder, weights, freeze="none", epochs=2, batch=12).network
    before = load_file(weights)
    for name, tensor in network.state_dict().items():
        if name.startswith("stages."):
            kept = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
            assert torch.equal(tensor, before[name]) == kept, name
