"""The plan of a training by steps, put together from how its steps go."""

from collections import Counter

from tortie.learning.backbone import Backbone
from tortie.learning.chosen_policy import said_colours
from tortie.learning.dataset import Dataset
from tortie.learning.plan import Plan, Training
from tortie.learning.step_plan import StepPlan
from tortie.learning.training_weights import said
from tortie.training.decoded import DecodedPhotographs


def plan_stepwise(
    backbone: Backbone, data: Dataset, photographs: DecodedPhotographs, steps: StepPlan
) -> Plan:
    """What the training will do and cost.

    Args:
        backbone: the network, frozen.
        data: the photographs.
        photographs: the same, decoded.
        steps: how the steps go.
    """
    job, network, recipe = backbone.job, backbone.network, steps.recipe
    listed = job.collection.photographs
    splits: Counter[str] = Counter(one.split or "to split" for one in listed)
    trained = sum(one.numel() for one in network.parameters() if one.requires_grad)
    frozen = sum(one.numel() for one in network.parameters() if not one.requires_grad)
    live = steps.activations == "live"
    return Plan(
        network=job.entry.title,
        weights=job.options.weights,
        freeze=backbone.freeze,
        head=job.options.head,
        class_weight=said(
            job.options.class_weight, any(one.weight != 1 for one in listed), recipe.balance
        ),
        augment=recipe.policy,
        colours=said_colours(job.options, recipe.policy),
        views=1 + len(steps.views) if backbone.freeze.stages and steps.views else 1,
        classes=len(data.classes),
        images=len(listed),
        splits=dict(splits),
        on=data.split.on,
        rule=data.rule,
        images_in_store=steps.in_store,
        images_to_compute=steps.to_compute,
        trained_parameters=trained,
        frozen_parameters=frozen,
        multiplications_per_image=steps.multiplications,
        multiplications=_multiplications(data, steps),
        seconds=recipe.epochs * steps.epoch_seconds(data, live)
        + (steps.to_compute + steps.probed) * steps.prefix_seconds
        + steps.probed * steps.step_cost.seconds / (3 * min(recipe.batch, len(data.train))),
        memory_bytes=steps.step_cost.bytes + steps.kept_bytes + photographs.bytes,
        disk_bytes=steps.kept_bytes * steps.to_compute // max(1, steps.in_store + steps.to_compute),
        device=str(next(network.parameters()).device),
        precision=steps.precision,
        threads=job.threads,
        processes=job.processes.count,
        training=_training(backbone, data, steps),
        notes=steps.notes,
    )


def _multiplications(data: Dataset, steps: StepPlan) -> int:
    """Of all epochs and of the measuring after them."""
    epochs = steps.recipe.epochs
    seen = len(data.train) * epochs
    validated = len(data.chosen_on) * epochs + len(data.split.scored)
    through_prefix = seen + validated if steps.activations == "live" else steps.to_compute
    after = steps.multiplications - steps.prefix_multiplications
    # A backward pass costs twice a forward pass: by the activations, and by the weights.
    return (
        through_prefix * steps.prefix_multiplications
        + (3 * seen + validated) * after
        + steps.probed * steps.multiplications
    )


def _training(backbone: Backbone, data: Dataset, steps: StepPlan) -> Training:
    recipe, taken = steps.recipe, backbone.entry.preprocessing
    side_weight = None
    if recipe.side_heads and backbone.network.side_heads:
        side_weight = backbone.job.options.side_heads or backbone.network.side_weight
    return Training(
        recipe=recipe.name,
        epochs=recipe.epochs,
        batch=recipe.batch,
        steps=steps.steps,
        images=len(data.train),
        input=f"{taken.height}x{taken.width}x{taken.channels}",
        chosen_on=len(data.chosen_on),
        probed=steps.probed,
        side_weight=side_weight,
        activations=steps.activations,
        why=steps.why,
        precision=steps.precision,
        seconds_per_step=steps.step_cost.seconds,
        step_bytes=steps.step_cost.bytes,
        epoch_seconds=steps.epoch_seconds(data, steps.activations == "live"),
        epoch_seconds_live=steps.epoch_seconds(data, True),
    )
