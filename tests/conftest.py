"""Photographs for tests: two classes that a network tells apart, made here, from a seed."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside each other

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from tests.children import children

# A slow machine is no fault of the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def _take_a_core(worker: str) -> None:
    """Pin this worker, and all that it starts, to one of the cores: gw0 to the first, and so on.

    Workers that each start as many threads as there are cores wait for one another, and take twice
    the processor's time.
    """
    if worker and sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


_take_a_core(os.environ.get("PYTEST_XDIST_WORKER", ""))


def photograph(label: str, number: int) -> Image.Image:
    """Stripes of one direction, or blobs here and there, each in its own colours, 96×128."""
    generator = np.random.default_rng([len(label), number])
    rows, columns = np.mgrid[:96, :128].astype(float)
    if label == "stripes":
        angle, wavelength, phase = generator.uniform((0, 8, 0), (np.pi, 24, 6.3))
        along = np.cos(angle) * rows + np.sin(angle) * columns
        height = np.sin(2 * np.pi * along / wavelength + phase)
    else:
        height = np.zeros((96, 128))
        for y, x, radius in generator.uniform((0, 0, 6), (96, 128, 14), (12, 3)):
            height += np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / radius**2)
    colour = generator.uniform(60, 195, 3)
    noise = generator.normal(0, 8, (96, 128, 3))
    levels = colour + 55 * height[..., None] * generator.uniform(0.6, 1, 3) + noise
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def lay_out(folder, count=12, splits=("",)):
    """``folder[/split]/{blobs,stripes}/NN.jpg``; every split has photographs of its own."""
    for number, split in enumerate(splits):
        for label in ("blobs", "stripes"):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                image = photograph(label, 1000 * number + i)
                image.save(folder / split / label / f"{i:02}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _store(tmp_path_factory):
    """Tests never touch the user's own store."""
    os.environ["TORTIE_CACHE"] = str(tmp_path_factory.mktemp("store"))


@pytest.fixture
def start():
    """Starts processes, as ``subprocess.Popen`` does, that do not outlive the test."""
    with children() as start:
        yield start


@pytest.fixture
def photographs(tmp_path):
    """A folder of two classes of twelve photographs."""
    return lay_out(tmp_path / "photographs")


@pytest.fixture(scope="session")
def fitted_file(tmp_path_factory):
    """A classifier's file, fitted on ``blobs`` and ``stripes``."""
    import tortie

    folder = tmp_path_factory.mktemp("fitted")
    path = folder / "textures.safetensors"
    tortie.ImageClassifier().fit(lay_out(folder / "photographs")).save(path)
    return path
