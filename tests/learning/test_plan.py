"""The words of a plan: true to its numbers."""

from tortie.learning.freeze import Freeze
from tortie.learning.plan import Plan


def plan(**changes):
    """A plan of 10 photographs and 10 more views, with some of its figures changed."""
    figures = {
        "network": "resnet18", "weights": "imagenet", "classes": 2, "images": 10,
        "freeze": Freeze(stages=6, of=6, last_frozen="avgpool"), "splits": {"train": 10},
        "on": "cross-validation", "rule": "", "images_in_store": 0, "images_to_compute": 10,
        "trained_parameters": 1026, "frozen_parameters": 11_176_512,
        "multiplications_per_image": 1_000_000, "multiplications": 20_000_000, "seconds": 3.0,
        "memory_bytes": 1, "disk_bytes": 1, "device": "cpu", "precision": "float32", "threads": 2,
    }  # fmt: skip
    return dict(Plan(**figures | changes).lines())


def test_no_time_is_made_up():
    assert plan()["cost"].endswith(", about 3 s")
    # All ten are in the store, so none was timed; whether the ten views are is not known yet.
    assert plan(seconds=0.0)["cost"].endswith(
        ", in a time not known, as no photograph had to be timed"
    )
    assert plan(seconds=0.0, multiplications=0)["cost"].endswith(", nothing to compute")


def test_what_may_be_to_compute_is_said():
    assert plan(images_to_compute=0, images_in_store=10, views_to_compute=20)[
        "activations"
    ].startswith("10 in the store, 0 to compute; up to 20 drawn views and crops to compute")


def test_one_is_no_plural():
    assert plan()["activations"].endswith("(float32, cpu, 2 threads)")
    assert plan(threads=1)["activations"].endswith("(float32, cpu, 1 thread)")
    assert (
        plan(augment="full", views=3)["augment"]
        == "full: 2 augmented views of each training photograph"
    )
    assert (
        plan(augment="full", views=2)["augment"]
        == "full: 1 augmented view of each training photograph"
    )
