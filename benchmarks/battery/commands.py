"""Commands that are killed, that find no room, no home, no terminal, or names of any bytes.

    python benchmarks/battery/commands.py [--scale 0.1]

After a kill the classifier is not there or whole; then the same command, with ``--resume`` where a
run had begun, ends well, leaves no temporary file behind, and what it wrote is what a command that
was never killed wrote. The commands are forks of a process that has imported everything, so that
kills fall into their work.
"""

import contextlib
import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from safetensors.torch import load_file

from battery.classifiers import random_weights
from battery.tally import Rows, Tally, main
from tests.conftest import lay_out, photograph
from tests.learning.test_kills import Server, again
from tortie.text import from_cell, is_clean

HANGS = 120.0  # seconds, by the clock
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
Words = Sequence[str | Path]


class Commands:
    """Runs commands in forks, and tells what each said."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.errors = folder / "said"
        self._server = Server(cache, self.errors, 0.0)

    def run(self, words: Words, after: float = HANGS, number: int = signal.SIGKILL
            ) -> tuple[int, str]:  # fmt: skip
        """The exit code, negative for a signal, and what was written to the terminal."""
        before = self.errors.stat().st_size
        code = self._server.run(words, after, number)
        with self.errors.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.seek(before)
            return code, file.read()

    def close(self) -> None:
        """End the process that forks."""
        self._server.close()


@contextlib.contextmanager
def commands(folder: Path, cache: Path) -> Iterator[Commands]:
    """A process that runs commands, ended behind the block."""
    one = Commands(folder, cache)
    try:
        yield one
    finally:
        one.close()


def ways(folder: Path) -> dict[str, Words]:
    """Commands that write, without the name of what they write."""
    photographs = folder / "photographs"
    steps = (
        "--network",
        "lenet5",
        "--weights",
        "none",
        "--freeze",
        "none",
        "--epochs",
        "3",
        "--precision",
        "float32",
    )  # not the faster of two, which a busy machine draws
    frozen = ("--network", "resnet20-cifar", "--weights", random_weights(folder))
    return {
        "fit, all frozen": ("fit", photographs, *frozen, "--quiet", "-o"),
        "fit by steps": ("fit", photographs, *steps, "--quiet", "-o"),
        "evaluate --report": ("evaluate", folder / "0.safetensors", photographs, "--quiet", "-o"),
    }


def prepare(folder: Path) -> None:
    """Photographs, one of them apart, and two classifiers as no kill has touched them."""
    if (folder / "photographs").exists():
        return
    lay_out(folder / "photographs", 12)
    photograph("blobs", 1).save(folder / "one.png")
    with commands(folder, folder / "cache") as server:
        for number, words in enumerate(list(ways(folder).values())[:2]):
            code, said = server.run((*words, folder / f"{number}.safetensors"))
            assert code == 0, said


def try_kills(folder: Path, rows: Rows, scale: float, seed: int) -> None:
    """Kills at moments that are drawn, within the time that the command takes."""
    prepare(folder)
    drawn = random.Random(seed)
    with commands(folder, folder / "cache") as server:
        for number, (way, words) in enumerate(ways(folder).items()):
            row = rows.setdefault(f"kills: {way}", Tally())
            ending = ".html" if words[0] == "evaluate" else ".safetensors"
            whole = folder / f"{number}{ending}"
            for _ in range(2):  # the first has more to read
                began = time.monotonic()
                code, said = server.run((*words, whole, "--force"))
                lasted = time.monotonic() - began
                assert code == 0, said
            for kill in range(round(100 * scale)):
                room = folder / f"room{number}-{kill}"
                room.mkdir()
                fault = killed(server, words, room / f"a{ending}", whole,
                               drawn.uniform(0, 1.1) * lasted, drawn.choice(SIGNALS))  # fmt: skip
                row.add(f"kill {kill}", *fault)
                shutil.rmtree(room)


def killed(server: Commands, words: Words, output: Path, whole: Path, after: float, number: int
           ) -> tuple[str, str]:  # fmt: skip
    """What came of a kill and of the same command after it: a kind, and what was told."""
    code, said = server.run((*words, output), after, number)
    if "Traceback" in said:
        return "traceback", said
    if code not in (0, 1 if number == signal.SIGINT else -number):
        return "death", f"exit code {code} after signal {number}: {said}"
    begun, there = said, output.exists()
    if there and not is_same(output, whole):
        return "wrong", f"half a file: {said}"
    more = again(output) if words[0] == "fit" else ("--force",) * there
    code, said = server.run((*words, output, *more))
    if code == -signal.SIGKILL:
        return "hang", said
    if "Traceback" in said:
        return "traceback", said
    if code or not is_same(output, whole):
        return "wrong", f"then exit code {code}: {begun} {said}"
    left = [path.name for path in output.parent.rglob("*.part")]
    return ("wrong", f"left {left}") if left else ("right", "")


def is_same(output: Path, whole: Path) -> bool:
    """Whether a command wrote what one wrote that was never killed."""
    if output.suffix == ".html":
        return output.read_bytes().endswith(whole.read_bytes()[-20:])
    one, other = load_file(output), load_file(whole)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def try_full_disks(folder: Path, rows: Rows, scale: float, seed: int) -> None:
    """Outputs, then the store, on drives that are too small for them."""
    prepare(folder)
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk],
                      capture_output=True).returncode:  # fmt: skip
        print("no drive can be mounted here: full disks are not tried", file=sys.stderr)
        return
    drawn = random.Random(seed)
    try:
        row = rows.setdefault("full disks: outputs", Tally())
        with commands(folder, folder / "cache") as server:
            for way, words in list(ways(folder).items())[:2]:
                whole = folder / f"{list(ways(folder)).index(way)}.safetensors"
                for number in range(round(30 * scale)):
                    row.add(f"{way} {number}", *crowded(server, words, disk, whole, drawn))
                    resize(disk, 50_000)
                    for path in disk.iterdir():
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
        row = rows.setdefault("full disks: the store", Tally())
        for number in range(round(20 * scale)):
            resize(disk, drawn.choice((8, 64, 256, 1024)))
            with commands(folder, disk / f"cache{number}") as server:
                code, said = server.run(("predict", folder / "0.safetensors",
                                         folder / "photographs", "--json"))  # fmt: skip
            good = code == 0 and '"label"' in said and "Traceback" not in said
            row.add(f"store {number}", "right" if good else "wrong", said)
            resize(disk, 50_000)
            shutil.rmtree(disk / f"cache{number}", ignore_errors=True)
    finally:
        subprocess.run(["umount", disk], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    """Give the drive so much room."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


def crowded(server: Commands, words: Words, disk: Path, whole: Path, drawn: random.Random
            ) -> tuple[str, str]:  # fmt: skip
    """What came of a fit without room, and of the same command with room."""
    output = disk / "a.safetensors"
    resize(disk, drawn.choice((4, 40, 200, 400, 800, 1200, 1600, 2400)))
    code, said = server.run((*words, output))
    if "Traceback" in said:
        return "traceback", said
    if code == 0 and not is_same(output, whole):
        return "wrong", said
    if code and (code not in (1, 2) or said.count("\n") > 1 or output.exists()):
        return "wrong", f"exit code {code}: {said}"
    resize(disk, 50_000)
    if code:
        code, said = server.run((*words, output, *again(output)))
    left = list(disk.rglob("*.part"))
    good = code == 0 and is_same(output, whole) and not left
    return ("right", "") if good else ("wrong", f"then exit code {code}: {said} {left}")


def try_names(folder: Path, rows: Rows, scale: float, seed: int) -> None:
    """Photographs whose names are any bytes, as a table, as CSV and as JSON."""
    row = rows.setdefault("names of any bytes", Tally())
    prepare(folder)
    drawn, room = random.Random(seed), os.fsencode(folder / "names")
    os.mkdir(room)
    odd = (
        "\x1b[31m",
        "\n",
        "\r",
        "\u202e",
        "\u2028",
        "\x85",
        "\u200b",
        "=1+1",
        "'",
        '"',
        ",",
        "\\",
    )
    for _ in range(round(500 * scale)):
        text = "".join(drawn.choice(odd) for _ in range(drawn.randrange(4))).encode()
        name = text + drawn.randbytes(drawn.randrange(1, 20)).translate(None, b"/\0") + b".png"
        name = b"_" * name.startswith(b".") + name  # hidden files are passed over
        shutil.copy(folder / "one.png", os.path.join(room, name))
    names = {os.path.join(room, name) for name in os.listdir(room)}
    with commands(folder, folder / "cache") as server:
        for how in ("", "--json", "--jsonl", "--csv"):
            words = ("predict", folder / "0.safetensors", folder / "names", "--quiet", how)
            code, said = server.run([word for word in words if word != ""])
            fault = f"exit code {code}" if code else ""
            if how != "--csv" and not all(is_clean(line) for line in said.split("\n")):
                fault += "something raw on the terminal"
            if how and not fault and {os.fsencode(one) for one in told_names(how, said)} != names:
                fault += "other names come back"
            for name in names:
                row.add(f"{how} {name!r}", "wrong" if fault else "right", fault)


def told_names(how: str, said: str) -> list[str]:
    """The names of the photographs in a document."""
    if how == "--csv":
        rows = csv.reader(io.StringIO(said, newline=""))
        return [from_cell(row[0]) for row in rows][1:]
    lines = said.split("\n") if how == "--jsonl" else [said]
    found = [json.loads(line) for line in lines if line]
    return [one["path"] for one in (found if how == "--jsonl" else found[0])]


def environments(folder: Path) -> dict[str, tuple[str, Callable[[int, str], bool]]]:
    """Pieces of shell, and whether an exit code and what was said is right."""
    model, image = folder / "0.safetensors", folder / "one.png"
    ask = f"{sys.executable} -m tortie predict {model} {image}"
    answers = ("blobs", "stripes")

    def right(code: int, said: str) -> bool:
        return code == 0 and any(name in said for name in answers)

    def silent(code: int, said: str) -> bool:
        return code in (0, 1) and "Traceback" not in said

    def refused(code: int, said: str) -> bool:
        return code in (1, 2) and said.startswith("tortie: ") and len(said) < 400

    return {
        "no home": (f"unset HOME TORTIE_CACHE; {ask}", right),
        "an empty home": (f"unset TORTIE_CACHE; HOME= {ask}", right),
        "a home that is not there": (f"unset TORTIE_CACHE; HOME=/nowhere/x {ask}", right),
        "a cache by ~": (f"HOME={folder} TORTIE_CACHE=~/c {ask}", right),
        "a cache that is a file": (f"TORTIE_CACHE={image} {ask}", right),
        "no language": (f"LC_ALL=C LANG= {ask}", right),
        "ASCII alone": (f"PYTHONIOENCODING=ascii {ask}", right),
        "no terminal's name": (f"TERM= {ask}", right),
        "a narrow terminal": (f"COLUMNS=1 {ask}", right),
        "no folder for temporary files": (f"TMPDIR=/nowhere {ask}", right),
        "stdout closed": (f"{ask} >&-", silent),
        "stderr closed": (f"{ask} 2>&-", right),
        "stdin closed": (f"{ask} <&-", right),
        "all closed": (f"{ask} >&- 2>&- <&-", silent),
        "a full stdout": (f"{ask} >/dev/full", refused),
        "a reader that goes": (f"{ask} | true", silent),
        "the working folder gone": (
            f"mkdir {folder}/gone; cd {folder}/gone; rmdir {folder}/gone; {ask}", refused),
        "few open files": (f"ulimit -n 24; {ask}", silent),
        "a device that is not there": (f"{ask} --device hpu", refused),
        "a network that is not there": (f"{sys.executable} -m tortie predict nonsense {image}",
                                        refused),
        "a pipe for a classifier": (
            f"mkfifo {folder}/p.safetensors; {ask.replace(str(model), f'{folder}/p.safetensors')}",
            refused),
    }  # fmt: skip


def try_environments(folder: Path, rows: Rows, scale: float, seed: int) -> None:
    """The world that is not one local account with a terminal."""
    row = rows.setdefault("environments", Tally())
    prepare(folder)
    own = {**os.environ, "TORTIE_CACHE": str(folder / "cache"), "PYTHONPATH": os.getcwd()}
    for name, (piece, is_right) in environments(folder).items():
        try:
            done = subprocess.run(["bash", "-c", piece], env=own, capture_output=True, text=True,
                                  timeout=HANGS, errors="replace")  # fmt: skip
        except subprocess.TimeoutExpired:
            row.add(name, "hang")
            continue
        said = done.stdout + done.stderr
        kind = "right" if is_right(done.returncode, said) else "wrong"
        kind = "traceback" if "Traceback" in said else kind
        row.add(name, kind, f"exit code {done.returncode}: {said[-300:]}")


if __name__ == "__main__":
    parts = {"kills": try_kills, "names": try_names, "environments": try_environments,
             "disks": try_full_disks}  # fmt: skip
    main(__doc__.split("\n")[0], parts)
