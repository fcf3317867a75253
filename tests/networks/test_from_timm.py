"""What a user is told of networks of timm where timm is not there; the rest is conformance's."""

import importlib
import importlib.util
from types import SimpleNamespace

import pytest

from tortie import networks
from tortie.errors import UsageError
from tortie.networks import from_timm


def test_without_timm_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for call in (networks.find, networks.build, from_timm.build_timm):
        with pytest.raises(
            UsageError, match=r"^timm:\S+ needs timm: pip install 'tortie\[timm\]'$"
        ):
            call("timm:resnet18" if call is not from_timm.build_timm else "resnet18")


def test_a_timm_that_cannot_be_imported_says_why_in_a_line(monkeypatch):
    def fails(name):
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(importlib, "import_module", fails)
    with pytest.raises(UsageError, match=r"\(operator torchvision::nms does not exist\); torch"):
        networks.find("timm:resnet18")


@pytest.mark.parametrize(
    ("version", "revision"),
    [("1.0.31", 1_001_000_031), ("1.2", 1_001_002_000), ("1.0.3.dev0", 1_001_000_003)],
)
def test_a_new_timm_makes_stored_activations_old(version, revision):
    assert from_timm._revision(version) == revision
