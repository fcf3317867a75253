"""A training whose loss has not left that of guessing, ln K, says so and why."""

from types import SimpleNamespace

from tortie.learning.stepwise_fit import learnt_nothing


def plan(images, batch=128):
    return SimpleNamespace(training=SimpleNamespace(images=images, batch=batch))


def test_a_loss_that_is_that_of_guessing_is_told_with_its_likely_cause():
    # ln 10 = 2.3026.
    (told,) = learnt_nothing([{"train_loss": 2.294, "validation_loss": None}], 10, plan(1530))
    assert "nothing was learnt: the loss is 2.294, and that of guessing among 10 classes" in told
    assert "ln 10 = 2.303; most likely its 12 steps an epoch of 1,530 photographs" in told
    (told,) = learnt_nothing([{"train_loss": 2.301}], 10, plan(50_000))
    assert "most likely its learning rate does not suit" in told


def test_a_loss_that_has_left_it_is_not():
    assert learnt_nothing([{"train_loss": 2.2}], 10, plan(1530)) == []
    # The loss of side heads is in that of the training, and not in that of the validation.
    assert learnt_nothing([{"train_loss": 3.1, "validation_loss": 1.9}], 10, plan(1530)) == []
    assert learnt_nothing([], 10, plan(1530)) == []
