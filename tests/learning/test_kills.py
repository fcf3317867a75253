"""Fifty kills at random moments: the classifier is that of a fit that was never stopped."""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

import tortie
from tests.children import HANGS, ended
from tests.conftest import lay_out

KILLS = 50
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)

# Each line is a command line, run in a process of its own. They are forks of one that has imported
# torch, as kills within these seconds of each would show nothing; and a checkpoint is due at once.
SERVER = """
import json, os, sys, traceback
import tortie.cli.main, tortie.classifier, tortie.learning.stepwise_fit
from tortie.cli.main import main
from tortie.training import loop

loop.MINUTES = float(sys.argv[1])
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 1
        os.dup2(2, 1)
        try:
            main(json.loads(line))
        except SystemExit as stopped:
            code = stopped.code
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Server:
    """Runs ``tortie`` in one process after another, and ends each when it is told to."""

    def __init__(self, cache, errors, minutes):
        environment = {**os.environ, "TORTIE_CACHE": str(cache), "OMP_WAIT_POLICY": "passive"}
        self.errors = errors
        with errors.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(minutes)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True,
            )  # fmt: skip

    def run(self, words, after=None, number=signal.SIGKILL):
        """The exit code; negative where a signal ended it ``after`` seconds."""
        self._process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if after is not None:
            select.select([self._process.stdout], [], [], after)  # no longer than it works
            with contextlib.suppress(ProcessLookupError):  # it was through
                os.kill(child, number)
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("kills") / "photographs", 12)


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    """Everything live and drawn; and a frozen half, from the store that the run fills first."""
    path = tmp_path_factory.mktemp("kills")
    recipe = {
        "name": "killed", "source": "a test", "optimiser": "adamw", "learning_rate": 0.003,
        "epochs": 5, "batch": 4, "mixup": 0.2, "ema": 0.9, "balance": "sampler",
        "policy": "standard", "patience": 5, "label_smoothing": 0.1,
    }  # fmt: skip
    (path / "own.json").write_text(json.dumps(recipe))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(tortie.networks.resnet20_cifar().state_dict(), path / "weights.safetensors")
    usual = ("--recipe", path / "own.json", "--threads", "2", "--precision", "float32", "--quiet")
    return {
        "live": ("--network", "lenet5", "--weights", "none", "--freeze", "none", *usual),
        "stored": (
            "--network", "resnet20-cifar", "--weights", path / "weights.safetensors", "--freeze",
            "conv3_x", "--views", "2", *usual,
        ),
    }  # fmt: skip


def left_by(output):
    """All that a fit leaves which is the same for the same fit."""
    run = output.with_suffix(".run")
    logs = [(run / name).read_text() for name in ("metrics.jsonl", "metrics.csv", "run.json")]
    tensors = [
        load_file(path) for path in (output, run / "best.safetensors", run / "last.safetensors")
    ]
    return logs, tensors


def assert_same(output, whole):
    logs, tensors = left_by(output)
    wanted_logs, wanted = left_by(whole)
    assert logs == wanted_logs
    for one, other in zip(tensors, wanted, strict=True):
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name


def again(output):
    """What a user adds to the same command after a kill."""
    begun = (output.with_suffix(".run") / "run.json").exists()
    return (*(("--resume",) if begun else ()), *(("--force",) if output.exists() else ()))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["live", "stored"])
def test_fifty_kills_change_nothing(folder, ways, tmp_path, way):
    server = Server(tmp_path / "cache", tmp_path / "errors", 0.0)
    drawn = random.Random(way)
    try:
        whole = tmp_path / "whole.safetensors"
        words = ("fit", folder, *ways[way], "-o")
        for more in ((), ("--force",)):  # the second is not the first to use the disk
            began = time.monotonic()
            assert server.run((*words, whole, *more)) == 0, server.errors.read_text()
            lasted = time.monotonic() - began
        (tmp_path / "cache").rename(tmp_path / "full")  # the runs to be killed fill their own
        output, finished, kills = tmp_path / "0.safetensors", 0, 0
        while kills < KILLS // 2:
            number = drawn.choice(SIGNALS)
            code = server.run(
                (*words, output, *again(output)), drawn.uniform(0.05, 0.6) * lasted, number
            )
            assert code in (0, 1, -number), server.errors.read_text()
            kills += code != 0
            if code == 0:
                assert_same(output, whole)
                finished += 1
                output = tmp_path / f"{finished}.safetensors"
        assert server.run((*words, output, *again(output))) == 0, server.errors.read_text()
        assert_same(output, whole)
        print(f"{way}: {kills} kills, {finished + 1} runs, {lasted:.1f} s each without one")
    finally:
        server.close()
    said = server.errors.read_text()
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_process_of_its_own_is_stopped_and_goes_on(folder, ways, tmp_path, number, start):
    """From the shell, nothing forked and nothing changed; stopped once its first epoch is over."""
    words = ("fit", folder, *(word for word in ways["live"] if word != "--quiet"), "-o")
    environment = {**os.environ, "TORTIE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    def begin(*more):
        return start(
            [sys.executable, "-m", "tortie", *(str(word) for word in (*words, *more))],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    whole, output = tmp_path / "whole.safetensors", tmp_path / "stopped.safetensors"
    for arguments in ((whole,), (output,)):
        process = begin(*arguments)
        said = []
        for line in process.stderr:
            said.append(line)
            if arguments[0] == output and line.startswith("epoch 2"):
                process.send_signal(number)
        code = process.wait(HANGS)
    assert code == (1 if number == signal.SIGINT else -signal.SIGKILL), said
    if number == signal.SIGINT:
        assert said[-1].startswith(("tortie: stopped after epoch", "tortie: stopped in epoch"))
        assert "stopped.run keeps the last checkpoint" in said[-1]
    assert not output.exists()
    process = begin(output, "--resume")
    said = ended(process)[1]
    assert process.returncode == 0, said
    assert "epoch 2 of 5" not in said or number == signal.SIGKILL
    assert_same(output, whole)
