"""``--input``: a network of the table on photographs of another size or number of channels."""

import re
from dataclasses import replace

from tortie.errors import UsageError
from tortie.networks.entry import Entry


def resized(entry: Entry, input: str | None) -> Entry:
    """The network's row with photographs of another size, ``HEIGHTxWIDTHxCHANNELS``.

    Without, photographs are of the size that the network's arguments ask for.

    Raises:
        UsageError: no such text, or a network whose linear layers fix its size.
    """
    if input is None and not entry.given:
        return entry
    import torch

    from tortie.weights.meta import meta_device

    own = entry.preprocessing
    height, width, channels = own.shape
    if input is not None:
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})x([13])", input)
        if match is None:
            raise UsageError(
                f"input {input!r}: expected HEIGHTxWIDTHxCHANNELS, as 64x64x3 or 28x28x1"
            )
        height, width, channels = map(int, match.groups())
    arguments = dict(entry.arguments)
    if channels != own.channels:
        arguments["in_channels"] = channels
    with meta_device():
        try:
            network = entry.build(**arguments)
        except TypeError:
            raise UsageError(
                f"input {input}: {entry.name} takes photographs of {own.channels} channels alone"
            ) from None
    fixed_height, fixed_width, _ = network.input_shape
    if input is None:
        height, width = fixed_height, fixed_width  # an argument may have changed them
    elif network.fixed_size and (height, width) != (fixed_height, fixed_width):
        raise UsageError(
            f"input {input}: linear layers fix the size of {entry.title} at "
            f"{fixed_height}x{fixed_width}; take another network"
        )
    try:  # two images, of which batch-norm has statistics even at 1×1
        network(torch.empty(2, channels, height, width, device="meta"))
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"input {input} is too small for {entry.title}, which halves it to nothing ({error})"
        ) from None
    mean, std = own.mean, own.std
    if channels != own.channels:
        mean = tuple([sum(own.mean) / own.channels] * channels)
        std = tuple([sum(own.std) / own.channels] * channels)
    drawn = own.model_copy(
        update={
            "resize": round(own.resize / own.height * max(height, width)),
            "height": height, "width": width, "channels": channels, "mean": mean, "std": std,
        }
    )  # fmt: skip
    return replace(entry, preprocessing=drawn, arguments=arguments)
