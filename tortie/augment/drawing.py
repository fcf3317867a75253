"""A draw: from seed, image and view alone to one distortion, the same on every machine."""

import hashlib
from statistics import NormalDist

from tortie.augment.colour import Triple
from tortie.augment.crop import AreaCrop, ScaledCrop
from tortie.augment.distortion import Distortion
from tortie.augment.geometry import Warp
from tortie.augment.ranges import Policy, Range
from tortie.errors import UsageError

# First of the numbers that belong to each operation. Each has its own, so that switching one
# operation off leaves the draws of all others as they were.
_SLOTS = {
    "mirror": 0,
    "crop": 1,  # area or scale, aspect, across, down
    "scale": 5,
    "squeeze": 6,
    "shear": 7,
    "rotate": 8,
    "shift": 9,  # across, down
    "warp": 11,  # strength, and two for the noise
    "brightness": 14,
    "contrast": 15,
    "saturation": 16,
    "channel_shift": 17,  # R, G, B
    "pca_colour": 20,  # one a component
    "erase": 23,  # whether, area, aspect, across, down
}
_COUNT = 28
_NORMAL = NormalDist()


def draw(policy: Policy, seed: int, image_key: str, view: int) -> Distortion:
    """The distortion of view ``view`` of an image.

    A function of its arguments and of nothing else: neither order, nor number of workers, nor
    machine, nor the generator of a library's version.

    Args:
        policy: what may be drawn.
        seed: any integer.
        image_key: what names the image, such as the SHA-256 of its file.
        view: 0 is the undistorted view; 1 and up are drawn. Unfrozen training takes a new view
            each epoch.

    Raises:
        UsageError: a negative view, or something that is no policy.
    """
    if not isinstance(policy, Policy):
        raise UsageError(f"expected a Policy, such as policy('full'), not {policy!r}")
    if view < 0:
        raise UsageError(f"view: expected 0 or more, not {view}")
    if view == 0:
        return Distortion()
    numbers = _Numbers(f"tortie draw\n{seed}\n{view}\n{image_key}")
    across, down = numbers.between(policy.shift, "shift"), numbers.between(policy.shift, "shift", 1)
    return Distortion(
        crop=_crop(policy, numbers),
        mirror=numbers.even("mirror") < policy.mirror,
        scale=numbers.between(policy.scale, "scale"),
        squeeze=numbers.between(policy.squeeze, "squeeze"),
        shear=numbers.between(policy.shear, "shear"),
        rotate=numbers.between(policy.rotate, "rotate"),
        shift=(across, down),
        whole_pixels=policy.whole_pixels,
        warp=_warp(policy, numbers),
        brightness=numbers.between(policy.brightness, "brightness"),
        contrast=numbers.between(policy.contrast, "contrast"),
        saturation=numbers.between(policy.saturation, "saturation"),
        channel_shift=_channel_shift(policy, numbers),
        pca_shift=policy.pca_basis.added(numbers.normals(policy.pca_colour, "pca_colour"))
        if policy.pca_colour
        else (0.0, 0.0, 0.0),
        erase=_erase(policy, numbers),
        erase_grey=policy.erase_grey,
    )


class _Numbers:
    """Numbers drawn evenly from 0 to 1, by operation, from a hash of ``text``."""

    def __init__(self, text: str) -> None:
        # File names that are no Unicode reach Python as lone surrogates.
        self.hash = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(8 * _COUNT)

    def even(self, operation: str, index: int = 0) -> float:
        """A number above 0 and below 1, a multiple of 2⁻⁵³ and a half."""
        return ((int.from_bytes(self.bytes(operation, index), "little") >> 12) + 0.5) / 2**52

    def bytes(self, operation: str, index: int = 0, count: int = 1) -> bytes:
        start = 8 * (_SLOTS[operation] + index)
        return self.hash[start : start + 8 * count]

    def between(self, bounds: Range, operation: str, index: int = 0) -> float:
        low, high = bounds
        return low if low == high else low + (high - low) * self.even(operation, index)

    def normals(self, deviation: float, operation: str) -> Triple:
        """Three normal draws of mean 0."""
        if deviation == 0:
            return (0.0, 0.0, 0.0)
        first, second, third = (
            deviation * _NORMAL.inv_cdf(self.even(operation, index)) for index in range(3)
        )
        return first, second, third


def _channel_shift(policy: Policy, numbers: _Numbers) -> Triple:
    """Grey levels for R, G and B, of standard deviation ``policy.channel_shift``."""
    if policy.channel_shift_draw == "normal" or not policy.channel_shift:
        drawn = numbers.normals(policy.channel_shift, "channel_shift")
    else:  # even draws within ±a have a deviation of a / √3
        most = policy.channel_shift * 3**0.5
        red, green, blue = (numbers.between((-most, most), "channel_shift", i) for i in range(3))
        drawn = red, green, blue
    return (drawn[0],) * 3 if policy.channel_shift_common else drawn


def _crop(policy: Policy, numbers: _Numbers) -> AreaCrop | ScaledCrop | None:
    across, down = numbers.even("crop", 2), numbers.even("crop", 3)
    if policy.crop_area is not None:
        area = numbers.between(policy.crop_area, "crop")
        return AreaCrop(area, policy.crop_aspect, numbers.even("crop", 1), across, down)
    if policy.scale_jitter is not None:
        shorter = numbers.between(policy.scale_jitter, "crop")
        return ScaledCrop(shorter, across, down, policy.crop_central)
    return None


def _warp(policy: Policy, numbers: _Numbers) -> Warp | None:
    rms = numbers.between(policy.warp, "warp")
    if rms == 0:
        return None
    return Warp(rms, policy.warp_smoothness, numbers.bytes("warp", 1, 2))


def _erase(policy: Policy, numbers: _Numbers) -> AreaCrop | None:
    if numbers.even("erase") >= policy.erase:
        return None
    area = numbers.between(policy.erase_area, "erase", 1)
    places = [numbers.even("erase", index) for index in (2, 3, 4)]
    return AreaCrop(area, policy.erase_aspect, *places)
