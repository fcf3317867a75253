"""``tortie fit``: a folder of photographs to a classifier."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show
from tortie.cli.fit_outputs import begun_runs, check_outputs, telling, write_outputs
from tortie.errors import UsageError

NAME = "fit"


def command(
    images: options.ImagesOrFeatures,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File of the classifier, ending in .safetensors."),
    ],
    network: Annotated[
        str,
        typer.Option(
            help="Name of the network; tortie networks lists them. Arguments go in brackets: "
            "'lenet5(pooling=average)'; tortie networks NAME lists them. Several names with commas "
            "between them make an ensemble."
        ),
    ] = "efficientnet-lite0",
    quality: Annotated[
        str | None,
        typer.Option(
            help="A rung of the ladder of trained networks in place of --network: embedded, high, "
            "small, base or best; tortie networks --transfer shows what they are and cost.",
            show_default=False,
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    freeze: Annotated[
        str,
        typer.Option(
            help="Stages that are not trained: all (only the softmax layer is trained), none, the "
            "number of stages, the name of the last frozen stage, stages=A,B (these alone), "
            "train=A,B (all but these), or auto (depths are compared)."
        ),
    ] = "all",
    augment: Annotated[
        str | None,
        typer.Option(
            help="Augmentation: none, mirror, standard, full, the name of a paper's, or a JSON "
            "file. Ranges may be changed in brackets: 'full(channel_shift=20, "
            "channel_shift_draw=uniform)'. tortie augment shows what they do.",
            show_default="none, or the recipe's",
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="Test set: a folder with one folder per class, or what else IMAGES may be, or a "
            "fraction between 0 and 1."
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Initial weights: auto (the network's published weights), imagenet, cifar10, a "
            "file, hf://OWNER/NAME, or none (random). Several with commas between them make an "
            "ensemble.",
            rich_help_panel=options.TRAINING,
        ),
    ] = "auto",
    head: Annotated[
        str,
        typer.Option(
            help="Head of the network: linear, or mlp:N for a hidden layer of N units; mlp:512,256 "
            "has two.",
            rich_help_panel=options.TRAINING,
        ),
    ] = "linear",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Training recipe: a name or a JSON file.",
            show_default="the one that suits network and depth",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Number of epochs (overrides the recipe).", rich_help_panel=options.TRAINING
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Batch size (overrides the recipe).", rich_help_panel=options.TRAINING),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Learning rate (overrides the recipe).", rich_help_panel=options.TRAINING
        ),
    ] = None,
    class_weight: Annotated[
        str,
        typer.Option(
            help="What a photograph of each class counts in training: sqrt (inverse square root of "
            "the class's share), balanced (every class counts the same), none (every photograph "
            "does), or a weight for each class, such as cat=2,dog=1.",
            show_default="sqrt, or the recipe's",
            rich_help_panel=options.TRAINING,
        ),
    ] = "auto",
    side_heads: Annotated[
        float | None,
        typer.Option(
            help="Weight of each side head's loss, in a network that has side heads (googlenet, "
            "googlenet-bn; the paper's is 0.3).",
            show_default="the recipe's",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            help="Gradient accumulation steps. More steps need less memory.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="HxWxC",
            help="Input size of the network, such as 64x64x3.",
            show_default="the paper's",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    colour_basis: Annotated[
        str,
        typer.Option(
            help="Principal colours of PCA colour (policies full, alexnet, vgg, resnet): those of "
            "the training photographs, imagenet, or a JSON file of axes and spreads.",
            rich_help_panel=options.TRAINING,
        ),
    ] = "photographs",
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror/--no-mirror",
            help="Whether augmentation may mirror photographs. Switch it off where a mirrored "
            "photograph would have another class.",
            rich_help_panel=options.TRAINING,
        ),
    ] = True,
    views: Annotated[
        int,
        typer.Option(
            help="Number of augmented views of each training photograph.",
            rich_help_panel=options.TRAINING,
        ),
    ] = 4,
    members: Annotated[
        int,
        typer.Option(
            help="Number of networks in an ensemble. Their probabilities are averaged.",
            rich_help_panel=options.TRAINING,
        ),
    ] = 1,
    seed: options.Seed = 0,
    budget: Annotated[
        str,
        typer.Option(
            help="Time limit of comparing depths with --freeze auto, such as 90s or 10m.",
            rich_help_panel=options.TRAINING,
        ),
    ] = "10m",
    valid: Annotated[
        str | None,
        typer.Option(
            help="Validation set: a folder with one folder per class, or what else IMAGES may "
            "be, or a fraction between 0 and 1.",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    splits: options.Splits = "auto",
    no_splits: options.NoSplits = False,
    crops: Annotated[
        int,
        typer.Option(
            help="Also calibrate the probabilities for 10 or 144 crops, for tortie predict "
            "--crops.",
            rich_help_panel=options.DATA,
        ),
    ] = 1,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Leave hashes and paths of the training photographs out of the classifier's file. "
            "tortie evaluate cannot recognise them then.",
            rich_help_panel=options.DATA,
        ),
    ] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print the plan and stop.", rich_help_panel=options.RUN),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Resume the run of this output.", rich_help_panel=options.RUN
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Overwrite an existing classifier and its run.",
            rich_help_panel=options.RUN,
        ),
    ] = False,
    track: Annotated[
        str | None,
        typer.Option(
            help="Also log each epoch to tensorboard, mlflow or wandb.",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    max_megapixels: options.Megapixels = 200,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a classifier on a folder of photographs and measure its accuracy.

    Writes the classifier and, beside it, NAME.report.html and NAME.split.csv.
    If stages or a hidden layer are trained by gradient steps, the run is
    kept in NAME.run/, and --resume continues it after Ctrl-C or a kill.

    Example: tortie fit photos -o pets.safetensors
    """
    show.begin(json, quiet)
    from tortie.classifier import ImageClassifier
    from tortie.learning.ensemble import split_weights
    from tortie.learning.job import Events

    inputs = [images, *(Path(one) for one in (*split_weights(weights), recipe, valid, test) if one)]
    inputs += [Path(one) for one in (augment, colour_basis) if one and one.endswith(".json")]
    # What lies beside a classifier that is not there was written by the run that goes on.
    may_replace = force or (resume and not os.path.lexists(output))
    if resume and not may_replace and output.exists():
        raise UsageError(
            f"{output} exists: --resume with --force goes on with its run and replaces it"
        )
    run = check_outputs(output, may_replace or plan, [] if plan else inputs)
    begun = begun_runs(run)
    choices = ImageClassifier(
        network, quality=quality, weights=None if weights == "none" else weights,
        freeze=freeze, head=head,
        recipe=recipe, epochs=epochs, batch=batch, learning_rate=learning_rate,
        class_weight=class_weight,  # type: ignore[arg-type]  # text, which is checked later
        side_heads=side_heads, accumulate=accumulate, track=track, input=input,
        valid=valid, test=test, splits=options.chosen_splits(splits, no_splits), augment=augment,
        colour_basis=colour_basis, mirror=mirror, views=views, crops=crops,
        members=members, seed=seed, device=device, precision=precision, engine=engine,
        threads=threads, private=private, max_megapixels=max_megapixels,
        budget=budget, run=None if plan else run,
        resume=resume and not plan, force=force and not plan,
    )  # fmt: skip
    with telling(images, output, run, begun):
        with show.progress("photographs") as progress, show.progress("steps") as steps:
            events = Events(show.plan, progress, steps, show.say)
            if plan:
                show.result(choices.plan(images, events=events).model_dump(mode="json"), [])
            else:
                choices.fit(images, events=events)
        if not plan:
            show.result(*write_outputs(choices, output, may_replace))
