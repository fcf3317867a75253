"""Features, datasets and jobs that are made, not read."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tortie.activations.store import ActivationStore
from tortie.images.duplicates import Groups
from tortie.images.find import Collection, Photograph
from tortie.images.sample_weights import sample_weights
from tortie.images.split_rules import SplitRules
from tortie.learning.cross_fitting import LabelledFeatures
from tortie.learning.dataset import Dataset
from tortie.learning.ensemble import member_jobs
from tortie.learning.frozen_fit import train_and_measure
from tortie.learning.job import Events, make_job
from tortie.learning.options import FitOptions
from tortie.processes import ALONE


def labelled(n=200, classes=2, seed=0):
    """Features in which only the photographs of one label share anything."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = rng.normal(size=(n, 40)).astype(np.float32)
    features[np.arange(n), labels] += 2
    return LabelledFeatures(features, labels, [f"{i:064x}" for i in range(n)], [None] * n, classes)


def split_of(on, leaks=(), **counts):
    """So many photographs of each part, one part after another."""
    splits = tuple(name for name, n in counts.items() for _ in range(n))
    return SplitRules(splits, on, "", leaks=leaks)


def dataset_of(table, split, seed=0):
    """A dataset of these labels, keys and groups, with this split."""
    photographs = [
        Photograph(Path(f"{i}.jpg"), str(label)) for i, label in enumerate(table.labels.tolist())
    ]
    keys, groups = list(table.keys), list(table.groups)
    weights = sample_weights([one.label for one in photographs], keys, groups, Groups((), ()))
    inspection = SimpleNamespace(keys=keys, groups=groups, weights=weights)
    classes = tuple(str(number) for number in range(table.classes))
    return Dataset(inspection, photographs, [], classes, split, seed, by_steps=False, skipped=[])


def learn(table, split, seed=0, crops=None):
    """What a frozen fit makes of these features."""
    return train_and_measure(table, dataset_of(table, split, seed), crops)


def job_of(processes=ALONE, **options):
    """The job of these options, without any photograph."""
    store, chosen = ActivationStore.default(), FitOptions.of(**options)
    return make_job(Collection(Path(), (), ()), (), chosen, store, processes, Events())


def jobs_of(**options):
    """The jobs of an ensemble's members, without any photograph."""
    store = ActivationStore.default()
    collection = Collection(Path(), (), ())
    return member_jobs(collection, (), FitOptions.of(**options), store, ALONE, Events(), False)
