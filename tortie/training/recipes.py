"""The table of recipes: those of the papers, and tortie's own three.

Where a paper lowers the rate "when the validation error stops improving", the fixed equivalent is
declared. ImageNet's 1,281,167 training photographs and CIFAR-10's 50,000 turn iterations into
epochs.
"""

import difflib
from fnmatch import fnmatchcase

from tortie.errors import UsageError
from tortie.networks.entry import Entry
from tortie.training.recipe import Recipe

_THREE_DROPS = (1 / 4, 1 / 2, 3 / 4)
_ENOUGH = 0.1  # of a paper's steps: with fewer its rate does not suit
_WANTED, _SMALLEST = 1000, 16  # steps of scratch, for which its batches are halved down to 16

_RESNET_CIFAR = Recipe(
    name="resnet-cifar",
    source="He et al. 2015, arXiv:1512.03385, section 4.2: 64,000 steps of 128, a tenth of the "
    "rate at 32,000 and at 48,000. 164 epochs of 50,000 are 64,124 steps. Whether biases decay is "
    "not printed: here they do, as in the reproductions that reach the paper's errors",
    optimiser="sgd",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    decay_norms_and_biases=True,
    schedule="steps",
    drops=(1 / 2, 3 / 4),
    epochs=164,
    batch=128,
    made_for=64_000,
    policy="cifar",
)

RECIPES = (
    Recipe(
        name="lenet5",
        source="tortie's own for today's LeNet-5 on digits; LeCun et al. 1998, section III-C, has "
        "20 passes over MNIST by a second-order method",
        optimiser="sgd",
        learning_rate=0.05,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        schedule="cosine",
        warmup=0.05,
        warmup_start=0.1,
        epochs=12,
        batch=64,
    ),
    Recipe(
        name="lenet5-1998",
        source="LeCun et al. 1998, section III-C: 20 passes, equation 9. The printed rates (5e-4 "
        "down to 1e-5) belong to a diagonal Levenberg-Marquardt step, which divides them by each "
        "weight's curvature; here AdamW divides by each gradient's size, under a cosine",
        optimiser="adamw",
        learning_rate=5e-3,
        momentum=0.9,
        weight_decay=0.1,
        schedule="cosine",
        warmup=0.05,
        warmup_start=0.1,
        epochs=20,
        batch=32,
        loss="rbf",
    ),
    Recipe(
        name="alexnet",
        source="Krizhevsky, Sutskever, Hinton 2012, section 5: about 90 passes, the rate divided "
        "by 10 three times when the validation error stopped improving; here at a quarter, half "
        "and three quarters. torch's velocity has the rate outside, the paper's inside. Biases do "
        "not decay, as in the author's code",
        optimiser="sgd",
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="steps",
        drops=_THREE_DROPS,
        epochs=90,
        batch=128,
        made_for=90 * 1_281_167 // 128,
        policy="alexnet",
    ),
    Recipe(
        name="vgg",
        source="Simonyan, Zisserman 2015, arXiv:1409.1556, section 3.1: 370,000 steps of 256 (74 "
        "epochs), the rate divided by 10 three times when the validation accuracy stopped "
        "improving; here at a quarter, half and three quarters",
        optimiser="sgd",
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="steps",
        drops=_THREE_DROPS,
        epochs=74,
        batch=256,
        made_for=370_000,
        policy="vgg",
    ),
    Recipe(
        name="nin",
        source="Lin, Chen, Yan 2013, arXiv:1312.4400, section 4.1: batches of 128, the rate "
        "divided by 10 twice when the training accuracy stopped improving. Rate and decay are not "
        "printed: those, and the 120,000 steps with a drop at 100,000, are of the first author's "
        "Caffe configuration for CIFAR-10; the second drop half-way through the rest",
        optimiser="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="steps",
        drops=(5 / 6, 11 / 12),
        epochs=307,
        batch=128,
        made_for=120_000,
        policy="cifar",
    ),
    Recipe(
        name="googlenet",
        source="Szegedy et al. 2014, arXiv:1409.4842, section 6: momentum 0.9, the rate 4% lower "
        "every 8 epochs, Polyak averaging, side heads. Rate, batch, decay and 250 epochs are not "
        "printed: they are those of Caffe's replication; the average's decay is tortie's",
        optimiser="sgd",
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=2e-4,
        schedule="steps",
        drops=tuple(8 * drop / 250 for drop in range(1, 32)),
        drop_factor=0.96,
        epochs=250,
        batch=32,
        made_for=10_000_000,
        ema=0.9999,
        side_heads=True,
        policy="googlenet",
    ),
    Recipe(
        name="resnet",
        source="He et al. 2015, arXiv:1512.03385, section 3.4: up to 600,000 steps of 256 (120 "
        "epochs), the rate divided by 10 when the error plateaus; here at 30, 60 and 90 epochs. "
        "Whether biases decay is not printed: here they do, as for CIFAR",
        optimiser="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        decay_norms_and_biases=True,
        schedule="steps",
        drops=_THREE_DROPS,
        epochs=120,
        batch=256,
        made_for=600_000,
        policy="resnet",
    ),
    _RESNET_CIFAR,
    _RESNET_CIFAR.changed(
        name="resnet110-cifar",
        source="He et al. 2015, arXiv:1512.03385, section 4.2: as resnet-cifar, but at 0.01 until "
        "the training error is under 80%, about 400 steps; here the rate climbs from 0.01 to 0.1 "
        "over 400 of 64,000 steps",
        warmup=400 / 64_000,
        warmup_start=0.1,
    ),
    Recipe(
        name="fine-tune",
        source="tortie's own for trained weights and few photographs: earlier stages are more "
        "general, so they move less; the head begins as Kumar et al. 2022, 3, do",
        optimiser="adamw",
        learning_rate=3e-4,
        momentum=0.9,
        weight_decay=0.01,
        depth_factor=0.6,
        schedule="cosine",
        warmup=0.1,
        warmup_start=0.1,
        epochs=12,
        batch=32,
        label_smoothing=0.05,
        clip_norm=5.0,
        policy="standard",
        statistics="kept",
        probe=True,
    ),
    Recipe(
        name="head",
        source="tortie's own for a head on frozen activations: an epoch costs milliseconds, so "
        "there are many, and the validation says when to stop",
        optimiser="adamw",
        learning_rate=1e-3,
        momentum=0.9,
        weight_decay=0.05,
        schedule="cosine",
        warmup=0.05,
        warmup_start=0.1,
        epochs=60,
        batch=32,
        label_smoothing=0.05,
        patience=15,
    ),
    Recipe(
        name="scratch",
        source="tortie's own for fresh weights where no paper's recipe fits: AdamW asks little of "
        "the network's scale, and few photographs ask for many epochs",
        optimiser="adamw",
        learning_rate=1e-3,
        momentum=0.9,
        weight_decay=0.05,
        schedule="cosine",
        warmup=0.05,
        warmup_start=0.1,
        epochs=60,
        batch=64,
        label_smoothing=0.1,
        clip_norm=5.0,
        policy="standard",
    ),
)

# Patterns of networks' names, and what trains them from fresh weights; the first that fits counts.
_BY_NETWORK = (
    ("lenet5-1998", "lenet5-1998"),
    ("lenet5", "lenet5"),
    ("alexnet*", "alexnet"),
    ("vgg*", "vgg"),
    ("nin-imagenet", "alexnet"),  # the paper takes over AlexNet's procedure
    ("nin", "nin"),
    ("googlenet*", "googlenet"),
    ("*110-cifar", "resnet110-cifar"),
    ("*1202-cifar", "resnet110-cifar"),
    ("resnet*-cifar", "resnet-cifar"),  # resnet20-cifar to resnet56-cifar
    ("plain*-cifar", "resnet-cifar"),
    ("resnet*", "resnet"),
    ("plain*", "resnet"),
    ("*", "scratch"),
)


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: no such recipe; the message names close matches.
    """
    asked = name.lower().replace("_", "-")
    for each in RECIPES:
        if each.name == asked:
            return each
    names = [each.name for each in RECIPES]
    close = difflib.get_close_matches(asked, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
    raise UsageError(f"no recipe {name!r}: {hint}")


def suited(chosen: Recipe, photographs: int) -> tuple[Recipe, str]:
    """A paper's recipe where the steps suffice for it, otherwise ``scratch``; and why.

    A rate of 0.1 that falls after 32,000 steps leaves a deep network at chance where there are 100
    steps in all (He et al. 2015, section 4.2, warm up for 400 at a depth of 110).

    Args:
        chosen: the recipe, with the user's changes.
        photographs: that are trained on.

    Returns:
        ``scratch`` keeps whether side heads train; the reason is empty where nothing was changed.
    """
    steps = chosen.epochs * -(-photographs // chosen.batch)
    if chosen.made_for is None or steps >= _ENOUGH * chosen.made_for:
        return chosen, ""
    why = (
        f"recipe scratch: {chosen.name} is made for {chosen.made_for:,} steps, and of "
        f"{photographs:,} photographs it would take {steps:,}; --recipe {chosen.name} takes it "
        "all the same"
    )
    return recipe("scratch").changed(side_heads=chosen.side_heads), why


def in_small_batches(chosen: Recipe, photographs: int) -> Recipe:
    """The recipe ``scratch``, its batches halved down to 16 until there are 1,000 steps.

    Args:
        chosen: the recipe; any other is returned as it is.
        photographs: that are trained on.
    """
    batch = chosen.batch
    while batch // 2 >= _SMALLEST and chosen.epochs * -(-photographs // batch) < _WANTED:
        batch //= 2
    return chosen.changed(batch=batch) if chosen.name == "scratch" else chosen


def recipe_for(entry: Entry, from_weights: bool, frozen_all: bool) -> Recipe:
    """The recipe that is taken where none is asked for.

    Args:
        entry: the network, as the table has it.
        from_weights: whether its parameters begin trained.
        frozen_all: whether every stage is frozen, so that the head alone learns.

    Returns:
        ``head`` for a head alone, ``fine-tune`` for trained weights; for fresh ones the recipe of
        the network's paper, or ``scratch`` where none fits.
    """
    if frozen_all:
        return recipe("head")
    if from_weights:
        return recipe("fine-tune")
    return recipe(next(name for pattern, name in _BY_NETWORK if fnmatchcase(entry.name, pattern)))
