"""The claim of the report: 10,000 images of 100 classes, under 10 MB, open in under 2 seconds.

    python benchmarks/bench_report.py IMAGES [--images 10000] [--classes 100] [--keep report.html]

IMAGES is a folder of JPEGs, at any depth; they are taken in turn, with probabilities drawn from a
seed, so the page is as large as a real one. Chromium opens it without a network three times,
and an empty page three times in turn: medians. What it writes to its console and what the page asks
for are counted. Writing is timed once.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from machine import describe

from tortie.evaluation.metrics import score
from tortie.evaluation.report import Report, write_report


def synthetic(images: list[Path], n: int, classes: int) -> Report:
    """A report with every section that needs no network, of probabilities drawn from a seed."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (n, classes))
    # Labels are drawn from the probabilities, which are calibrated thereby (Gumbel 1954).
    labels = (logits + generator.gumbel(size=(n, classes))).argmax(axis=1)
    powers = np.exp(logits)
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    sharper = powers**1.6
    names = [f"class {i:03}" for i in range(classes)]
    history = [
        {"epoch": i, "train_loss": 3 / i, "validation_loss": 3 / i + 0.01 * i,
         "validation_accuracy": 1 - 0.6 / i, "learning_rate": 0.1 * 0.97**i}
        for i in range(1, 165)
    ]  # fmt: skip
    return Report(
        title="synthetic.safetensors",
        classes=names,
        scores=score(probabilities, labels, names),
        reason=None,
        on="test",
        held=list(islice(cycle(images), n)),
        labels=labels,
        probabilities=probabilities,
        uncalibrated=(sharper / sharper.sum(axis=1, keepdims=True)).astype(np.float32),
        history=history,
        best_epoch=120,
        trained=dict.fromkeys(names, 500),
        skipped=[(f"{names[i % classes]}/{i:05}.jpg", "truncated") for i in range(1000)],
    )


CONTROL = """<!doctype html><title>control</title><img src="http://control.test/a.png">
<script>console.error("control")</script>"""


def opened(page: Path) -> tuple[float, float, list[str], list[str]]:
    """Seconds until Chromium has loaded the page and painted it; its console; its requests.

    The seconds are the medians of three whole runs with the page and of three with an empty one, in
    turn, on a profile that was used before. A page that does ask and does complain is opened first,
    to see that both would be seen.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("no chromium here to open the page in")
    with tempfile.TemporaryDirectory() as scratch:
        control = Path(scratch) / "control.html"
        control.write_text(CONTROL)
        _, console, asked = _one(browser, control, Path(scratch))
        assert console and asked == ["http://control.test/a.png"], "the control was not seen"
        empty = Path(scratch) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        seconds: dict[Path, list[float]] = {page: [], empty: []}
        console, requests = [], set()
        for _ in range(3):
            for one in seconds:
                spent, said, asked = _one(browser, one, Path(scratch))
                seconds[one].append(spent)
                console += said
                requests |= set(asked)
        page_seconds, empty_seconds = (statistics.median(own) for own in seconds.values())
        return page_seconds, empty_seconds, console, sorted(requests)


def _one(browser: str, page: Path, profile: Path) -> tuple[float, list[str], list[str]]:
    log = profile / "net.json"
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
        f"--user-data-dir={profile / 'profile'}", f"--log-net-log={log}", "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=390,844",
        f"--screenshot={profile / 'page.png'}", page.absolute().as_uri(),
    ]  # fmt: skip
    begin = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    seconds = time.perf_counter() - begin
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    # Chromium's own requests (updates, the time) have the initiator "not an origin".
    started = [line for line in log.read_text().splitlines() if '"initiator":"' in line]
    asked = {
        found.group(1)
        for line in started
        if '"initiator":"not an origin"' not in line
        and (found := re.search(r'"url":"((?!file:)[^"]+)"', line))
    }
    return seconds, console, sorted(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--images", dest="count", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    files = sorted(given.images.rglob("*.jpg"))
    if not files:
        raise SystemExit(f"no .jpg below {given.images}")
    with tempfile.TemporaryDirectory() as scratch:
        page = given.keep or Path(scratch) / "report.html"
        report = synthetic(files, given.count, given.classes)
        begin = time.perf_counter()
        write_report(page, report)
        written = time.perf_counter() - begin
        seconds, empty, console, asked = opened(page)
        print(
            json.dumps(
                {
                    "images": given.count,
                    "classes": given.classes,
                    "megabytes": round(page.stat().st_size / 1e6, 2),
                    "seconds to write": round(written, 2),
                    "seconds to open, Chromium's start and end included": round(seconds, 2),
                    "seconds to open an empty page so": round(empty, 2),
                    "console": console,
                    "requests": asked,
                    "load": os.getloadavg()[0],
                },
                indent=2,
            )
        )
    print(describe())


if __name__ == "__main__":
    main()
