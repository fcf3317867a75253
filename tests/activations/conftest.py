"""Photographs, a store and a small extractor for the tests of this room."""

import numpy as np
import pytest
import torch
from PIL import Image

from tortie.activations.engine import choose
from tortie.activations.extract import Extractor
from tortie.activations.prefix import Prefix
from tortie.activations.store import ActivationStore
from tortie.images import Preprocessing
from tortie.networks import efficientnet_lite0

SMALL = Preprocessing(
    resize=36, height=32, width=32, channels=3, interpolation="bicubic",
    mean=(127.0,) * 3, std=(128.0,) * 3,
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    with ActivationStore(tmp_path / "store", 10**9) as store:
        yield store


@pytest.fixture
def extractor(store):
    torch.manual_seed(0)
    network = efficientnet_lite0().eval()
    return Extractor(
        prefix=Prefix.of(network, SMALL), structure="lite0", code=1, store=store, device="cpu",
        choice=choose("auto", "cpu", "float32"), threads=2, max_pixels=10**6,
    )  # fmt: skip


@pytest.fixture
def paths(tmp_path):
    generator = np.random.default_rng(0)
    files = [tmp_path / f"{number:02}.png" for number in range(37)]
    for path in files:
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    files[20].write_bytes(files[3].read_bytes())  # an exact copy
    files[30].write_text("words")
    return files
