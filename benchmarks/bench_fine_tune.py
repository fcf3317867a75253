"""Question: is a single field of the recipe `fine-tune` better changed on few photographs?

The default network, its later half trained, by the recipe as it is and with one field changed at a
time; the same photographs and seeds for each. Prints the accuracy on the photographs under `test/`
(or `val/`), and over sets and seeds the difference to the recipe as it is with its 95% interval.

    python benchmarks/bench_fine_tune.py SET [SET ...] [--seeds 3] [--threads 1] [--freeze STAGE]

SET is IMAGES,INPUT,TRAIN,FROM,TEST: a folder of {train,test}/class/*, the size that photographs are
brought to, how many of each class are trained on after passing over how many, and tested on. Empty
means the default: `bees,,30,,` or `cifar,128x128x3,30,100,200`.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench_depths import listed
from machine import describe

from tortie import ImageClassifier
from tortie.experiments.intervals import mean_of
from tortie.learning.freeze import middle_stage
from tortie.networks.table import find
from tortie.training.recipes import recipe

CHANGES: tuple[dict[str, Any], ...] = (
    {"learning_rate": 1e-4},
    {"learning_rate": 6e-4},
    {"learning_rate": 1e-3},
    {"depth_factor": 0.3},
    {"depth_factor": 1.0},
    {"warmup": 0.0},
    {"policy": "mirror"},
    {"policy": "full"},
    {"ema": 0.98},
    {"label_smoothing": 0.0},
    {"label_smoothing": 0.1},
    {"weight_decay": 0.05},
    {"mixup": 0.2},
    {"epochs": 24},
    {"batch": 16},
    {"statistics": "batch"},
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--freeze")
    parser.add_argument("--only", nargs="*", help="changes with such a text, as learning_rate")
    arguments = parser.parse_args()
    half = arguments.freeze or middle_stage(find("efficientnet-lite0").build().stage_names)
    wanted = arguments.only or [""]
    chosen = [one for one in CHANGES if any(text in str(one) for text in wanted)]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["TORTIE_CACHE"] = str(Path(name) / "cache")
        for number, one in enumerate(arguments.sets):
            images, size, train, first, test = one.split(",")
            folder = Path(name) / str(number)
            folder.mkdir()
            source = listed(
                Path(images), int(train) if train else None, int(test) if test else None,
                int(first or 0), folder,
            )  # fmt: skip
            for seed in range(arguments.seeds):
                for changed in ({}, *chosen):
                    classifier = ImageClassifier(
                        freeze=half,
                        input=size or None,
                        seed=seed,
                        threads=arguments.threads,
                        recipe=recipe("fine-tune").changed(**changed),
                    ).fit(source)
                    assert classifier.accuracy_ is not None
                    accuracy = 100 * classifier.accuracy_.value
                    found.setdefault(str(changed or "as it is"), []).append(accuracy)
                    print(
                        f"{one}, seed {seed}, {changed or 'as it is'}: {accuracy:.1f}%", flush=True
                    )
    print(describe())
    plain = found["as it is"]
    print(f"as it is: {statistics.mean(plain):.1f}% over {len(plain)} runs")
    for change, values in found.items():
        differences = [value - other for value, other in zip(values, plain, strict=True)]
        mean = mean_of(differences)
        print(f"{change}: {mean.value:+.2f} points ({mean.low:+.2f} to {mean.high:+.2f})")


if __name__ == "__main__":
    main()
