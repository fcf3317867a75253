"""What an entry of the store is called: a hash of everything that its bytes depend on.

A key that leaves out something that matters hands back the activations of another image, network
or preprocessing, silently. So every part is a named argument without a default.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

# Each hash opens with what it is a hash of, so that no two kinds can ever meet in one key. Raise
# the number where the encoding changes: older entries are then never found, and age out.
_CONTEXT = b"tortie activation context 1\n"
_ACTIVATION = b"tortie activation 1\n"
_FACTS = b"tortie image facts 1\n"
_TENSORS = b"tortie tensors 2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyContext:
    """All that the activations of a run's images have in common, hashed once for all images.

    Attributes:
        decoder: version of the decoder of image files.
        preprocessing: resizing, cropping and normalisation, as canonical JSON.
        network_code: revision of the code of the network.
        structure: the network's name and the arguments that it was built with.
        tensors: :func:`hash_tensors` of the tensors before the cut, and of no others: networks
            that differ after the cut share their entries.
        cut: the last stage before the cut.
        precision: what the prefix computes in, such as ``bfloat16``.
        engine: what runs the prefix; engines round differently.
        device: kind of device, such as ``cpu``.
    """

    decoder: int
    preprocessing: str
    network_code: int
    structure: str
    tensors: str
    cut: str
    precision: str
    engine: str
    device: str
    _digest: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = {part.name: getattr(self, part.name) for part in fields(self) if part.init}
        encoded = json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()
        object.__setattr__(self, "_digest", hashlib.sha256(_CONTEXT + encoded).digest())

    @property
    def digest(self) -> str:
        """SHA-256 of it all, hexadecimal."""
        return self._digest.hex()

    def key(self, image_sha256: str, view: str) -> bytes:
        """The 32-byte key of one view of one image.

        Args:
            image_sha256: SHA-256 of the file's bytes, 64 hexadecimal digits.
            view: ``0`` for the undistorted view; a crop's name; a drawn view's policy and seed.

        Raises:
            UsageError: ``image_sha256`` is no SHA-256.
        """
        # The context and the image take 32 bytes each, so what is left is the view.
        return hashlib.sha256(
            _ACTIVATION + self._digest + _image_digest(image_sha256) + view.encode()
        ).digest()


def facts_key(image_sha256: str, decoder: int) -> bytes:
    """The 32-byte key of what one decode tells of an image: it depends on file and decoder alone.

    Raises:
        UsageError: ``image_sha256`` is no SHA-256.
    """
    return hashlib.sha256(_FACTS + _image_digest(image_sha256) + b"%d" % decoder).digest()


def hash_tensors(named: "Iterable[tuple[str, Tensor | NDArray[Any]]]") -> str:
    """SHA-256 of tensors: names, types, shapes and values, whatever their order and layout.

    Tensors of equal values have equal hashes, contiguous or channels-last, on whatever device,
    torch's or numpy's.

    Args:
        named: ``(name, tensor)`` pairs, as from a state dictionary's ``items()``.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(_TENSORS)
    for name, tensor in sorted(named, key=lambda pair: pair[0]):
        kind = str(tensor.dtype).removeprefix("torch.")
        head = json.dumps([name, kind, list(tensor.shape)]).encode()
        digest.update(len(head).to_bytes(8, "little") + head)
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: "Tensor | NDArray[Any]") -> memoryview:
    """The values, row by row."""
    if isinstance(tensor, np.ndarray):
        return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data
    import torch

    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return values.numpy().data


def _image_digest(image_sha256: str) -> bytes:
    try:
        digest = bytes.fromhex(image_sha256)
    except ValueError:
        digest = b""
    if len(digest) != 32 or len(image_sha256) != 64:
        raise UsageError(f"not a SHA-256 of 64 hexadecimal digits: {image_sha256!r}")
    return digest
