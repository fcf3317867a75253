"""Folders of features that are made, not computed: what ``tortie extract`` would have written."""

from pathlib import Path

import numpy as np

from tests.learning.examples import job_of
from tortie.activations.feature_shards import Manifest, ShardHeader, ShardRows, write_shard
from tortie.images import Facts, Photograph
from tortie.images.facts import perceptual_hash
from tortie.learning.frozen_network import frozen_network

N, FILES = 1200, 5


def thumbnail(number):
    """Waves that no other number has, 32×32 grey levels."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:32, :32]
    found = np.zeros((32, 32))
    for _ in range(6):
        along, across, phase = rng.uniform((0.05, 0.05, 0), (0.5, 0.5, 6.3))
        found += np.sin(along * rows + across * columns + phase)
    return np.uint8(128 + 15 * found.clip(-8, 8)).tobytes()


def facts(number):
    grey = thumbnail(number)
    return Facts(64, 64, "JPEG", 1, perceptual_hash(grey), grey)


def write_features(
    folder, split=lambda n: None, label=lambda n: f"c{n % 3}", copy_of=lambda n: n, features=None
):
    """Features of N made photographs in files, each with classes numbered in its own way.

    Args:
        folder: that is made.
        split: of a photograph, by its number.
        label: of a photograph, by its number.
        copy_of: number of the photograph that one has the content of.
        features: of the photographs ``(N, 1280)``; by default three clouds that overlap.
    """
    folder.mkdir()
    context = frozen_network(job_of(), 3).extractor.context
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 1280)) * 0.07
    names, skipped = [], 0
    for file in range(FILES):
        own = range(file * N // FILES, (file + 1) * N // FILES)
        labels = [label(n) for n in own]
        own_features = np.stack([centres[int(one[1:])] + rng.normal(size=1280) for one in labels])
        if features is not None:
            own_features = features[own.start : own.stop]
        sha256 = [f"{copy_of(n):08x}" * 8 for n in own]
        photographs = [
            Photograph(Path(f"{n:05}.jpg"), one, split(n))
            for n, one in zip(own, labels, strict=True)
        ]
        header = ShardHeader(
            context=context.digest, stamp="", dtype="float32", classes=sorted({*labels})[::-1],
            label_type="str", skipped=[("bad.jpg", "c0", "cannot be read")] * (file == 1),
            notes=["a note"],
        )  # fmt: skip
        skipped += file == 1
        names.append(f"{file}.safetensors")
        kept = ShardRows(own_features, sha256, [facts(copy_of(n)) for n in own], photographs)
        write_shard(folder / names[-1], header, kept)
    Manifest(
        complete=True, network="efficientnet-lite0", weights="imagenet", freeze="all", frozen=True,
        input=None, cut="avgpool", shape=[1280], dtype="float32", precision="float32",
        context=context.digest, tensors=context.tensors, classes=["c0", "c1", "c2"],
        photographs=N, skipped=skipped, files=names,
    ).write(folder)  # fmt: skip
    return folder
