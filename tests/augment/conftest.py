import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def smooth() -> np.ndarray:
    """Smooth everywhere, 240×320: bilinear interpolation is off by less than a grey level."""
    y, x = np.mgrid[0:240, 0:320].astype(np.float64)
    planes = [
        128 + 90 * np.sin(x / 31 + 0.5) * np.cos(y / 27),
        128 + 90 * np.cos(x / 23 - y / 41),
        40 + 0.4 * x + 0.3 * y,
    ]
    return np.stack(planes, axis=-1).round().astype(np.uint8)


@pytest.fixture(scope="session")
def rough() -> np.ndarray:
    """Detail of all sizes, 150×200, as photographs have."""
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (150, 200, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 0.8)
