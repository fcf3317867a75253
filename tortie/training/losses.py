"""What training minimises: the loss of a recipe, the weights of unequal classes, mixed images."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tortie.networks.lenet import rbf_loss
from tortie.training.recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


def balance_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """What a photograph of each class counts so that all classes count the same: n / (K n_k).

    Args:
        labels: class indices ``(n,)`` of the training photographs, 0 to K-1.
        classes: K; those without a photograph are not counted in it, and weigh 0.

    Returns:
        float32 ``(classes,)``; over the photographs, the mean weight is 1. A sampler that draws
        photographs by these weights draws every class equally often.
    """
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    weights = np.zeros(classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights.astype(np.float32)


def loss_of(recipe: Recipe, class_weights: Tensor | None = None) -> Loss:
    """The recipe's loss: the mean over the batch, in nats.

    Args:
        recipe: of which ``loss`` and ``label_smoothing`` are read.
        class_weights: ``(classes,)``, what a photograph of each class counts; ``None`` for one.
            A batch is divided by its photographs, not by their weights, so that the mean over all
            batches is that over all photographs. A mixed photograph counts what its mixture does;
            label smoothing spreads the target and leaves the weight alone.

    Returns:
        A function of logits ``(N, classes)`` and targets, either class indices ``(N,)`` int64 or
        probabilities ``(N, classes)``; the loss of LeNet-5 as printed takes indices alone.
    """
    if recipe.loss == "rbf":
        return rbf_loss
    smoothing = recipe.label_smoothing

    def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        if class_weights is None:
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        each = functional.cross_entropy(
            logits, targets, label_smoothing=smoothing, reduction="none"
        )
        weights = class_weights[targets] if targets.dim() == 1 else targets @ class_weights
        return (each * weights).mean()

    return cross_entropy


def mix(
    images: Tensor, labels: Tensor, classes: int, alpha: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mixup: each image of a batch blended with another, and its label likewise.

    Zhang et al. 2018, "mixup: beyond empirical risk minimization", section 2; as in the authors'
    code, one share is drawn a batch.

    Args:
        images: float ``(N, ...)``; activations at a cut do as well.
        labels: ``(N,)``, classes as int64.
        classes: K.
        alpha: both parameters of the Beta that draws the share, above 0.
        generator: NumPy's, as torch draws no Beta from a generator of one's own; it draws the share
            and the partners, in this order.

    Returns:
        Mixed images of the shape given, and targets, float ``(N, classes)``, each row of sum 1.
    """
    share = float(generator.beta(alpha, alpha))
    partners = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    mixed = torch.lerp(images[partners], images, share)
    onehot = functional.one_hot(labels, classes).to(images.dtype)
    return mixed, torch.lerp(onehot[partners], onehot, share)
