"""Which photographs an export is checked, calibrated and measured on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tortie.errors import TortieError, UsageError
from tortie.export.awkward import awkward_images
from tortie.images import Photograph, Source, find_files, hash_all
from tortie.images.archives import member_of
from tortie.images.find import find
from tortie.images.remote import is_remote
from tortie.processes import core_count
from tortie.text import quoted

SAMPLE = 64
"""Training photographs that an export is checked on, at most."""


@dataclass(frozen=True)
class Known:
    """The photographs of a fit that are still where they were.

    Attributes:
        training: those that the classifier learnt from, by their content.
        others: those that it was measured on.
    """

    training: Sequence[Photograph] = ()
    others: Sequence[Photograph] = ()


def split_file(model: Path) -> Path:
    """The CSV that ``fit`` writes beside a classifier's file."""
    return model.with_suffix(".split.csv")


def known_photographs(model: Path, training_sha256: "np.ndarray") -> Known:
    """Those of the split CSV beside a classifier's file; none where there is no such CSV."""
    source = split_file(model)
    if not source.is_file():
        return Known()
    try:
        listed = [one for one in find(source).photographs if one.path.is_file()]
    except (UsageError, TortieError):  # of another make, or none of its photographs is there
        return Known()
    digests = hash_all([one.path for one in listed], core_count())
    trained = {row.tobytes().hex() for row in training_sha256}
    training, others = [], []
    for one, digest in zip(listed, digests, strict=True):
        if digest in trained:
            training.append(one)
        elif digest is not None and one.split != "train":
            others.append(one)
    return Known(training, others)


def sample(photographs: Sequence[Photograph], count: int) -> list[Photograph]:
    """At most so many, spread evenly."""
    if len(photographs) <= count:
        return list(photographs)
    places = np.linspace(0, len(photographs) - 1, count).round().astype(int)
    return [photographs[i] for i in places]


def to_check(given: Sequence[Path], known: Known) -> tuple[list[Source], str]:
    """Photographs to compare the exported file and the classifier on, and what they are.

    Raises:
        UsageError: a path that is not there, or no photograph among those given.
    """
    if given:
        paths = find_files(given).paths
        for one in given:
            in_archive = is_remote(one) or member_of(one) is not None
            if one in paths and not in_archive and not os.path.lexists(one):
                raise UsageError(f"--check: no such file or folder: {quoted(one)}")
        if not paths:
            raise UsageError(f"--check: no image in {', '.join(map(quoted, given))}")
        return list(paths), "photographs given"
    if known.training:
        return [one.path for one in sample(known.training, SAMPLE)], "training photographs"
    return list(awkward_images()), "built-in pictures"
