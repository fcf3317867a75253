"""``tortie push``: a classifier into a hub's repository, with a model card."""

from pathlib import Path
from typing import Annotated

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

NAME = "push"


def command(
    model: Annotated[Path, typer.Argument(help="A classifier's file.", show_default=False)],
    target: Annotated[
        str,
        typer.Argument(
            help="The repository: hf://OWNER/NAME, or hf://OWNER/NAME@BRANCH.", show_default=False
        ),
    ],
    license: Annotated[
        str | None,
        typer.Option(
            help="The file's license, by its SPDX name in lower case.",
            show_default="that of the weights",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print the model card and stop.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Put a classifier on the Hugging Face Hub, with a model card.

    The card is written from the file: classes, accuracy with its interval
    and what it was counted on, calibration, limits, license of the weights.
    A card that somebody wrote by hand is left as it is.

    Example: tortie push pets.safetensors hf://me/pets
    """
    show.begin(json, quiet)
    from tortie.evaluation.model_card import model_card
    from tortie.loading import load
    from tortie.weights.fetch import HubFile
    from tortie.weights.push import CARD, keeps_card, push

    wanted = HubFile.parse(target)
    if not wanted.file.endswith(".safetensors"):
        raise UsageError(f"{target}: expected hf://OWNER/NAME, or a file that ends in .safetensors")
    if str(model).startswith("hf:"):
        raise UsageError(f"{model} is on a hub already: give a classifier's file")
    metadata = load(model).metadata
    card = model_card(metadata, target, license)
    if metadata.training.get("hashes"):
        show.say(
            "note: the file tells whom it was trained on: hashes of the training photographs, and "
            "names of those in its notes; tortie fit --private leaves them out"
        )
    if plan:
        show.result({"card": card}, card.splitlines())
        return
    if kept := keeps_card(wanted):
        show.say(f"note: {CARD} there was not written by tortie, and stays as it is")
    files = {wanted.file: model} | ({} if kept else {CARD: card.encode()})
    commit = push(wanted, files, private or None, f"tortie push {model.name}")
    show.result({"address": target, "commit": commit}, [f"{target}: {commit}"])
