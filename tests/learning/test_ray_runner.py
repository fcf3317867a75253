"""Ray's workers make what this process makes, to the last bit, whoever is killed on the way.

The oracle is the local runner. Ray runs on this machine, with two workers; its package is an extra.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.learning.test_extract_shards import members, write_tar
from tortie.errors import UsageError
from tortie.learning.extract_shards import extract_shards
from tortie.learning.options import FitOptions
from tortie.processes import Processes

OPTIONS = FitOptions.of(threads=1)
SHARDS = 10
EACH = 40


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Shards of some photographs each, one of which is no image."""
    folder = tmp_path_factory.mktemp("shards")
    for number in range(SHARDS):
        own = members(range(EACH * number, EACH * (number + 1)))
        write_tar(folder / f"{number:03}.tar", own | {"x.jpg": b"none", "x.cls": b"blobs"})
    return folder


@pytest.fixture(scope="module")
def expected(shards, tmp_path_factory):
    """The files that the local runner writes."""
    folder = tmp_path_factory.mktemp("local") / "features"
    found = extract_shards(shards, folder, OPTIONS)
    assert (found.manifest.photographs, found.manifest.skipped) == (SHARDS * EACH, SHARDS)
    return contents(folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def done(folder):
    return sorted(folder.glob("*.safetensors"))


class Extraction:
    """A command that is at work in a process of its own, with Ray's processes below it."""

    def __init__(self, start, shards, folder, **streams):
        self.folder = folder
        command = ["extract", shards, "-o", folder, "--runner", "ray", "--threads", "1"]
        words = [sys.executable, "-m", "tortie", *map(str, command)]
        self.process = start(
            words, env=os.environ | {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2}'}, **streams
        )

    def workers(self):
        """Those of Ray's workers that compute a shard at the moment."""
        psutil = pytest.importorskip("psutil")
        found = []
        for one in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "ray::compute_there" in " ".join(one.cmdline()):
                    found.append(one)
        return found

    def wait_for_a_shard(self):
        """A shard is written, others are not, and a worker is at work."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            assert self.process.poll() is None, "it ended before it could be killed"
            if done(self.folder) and (workers := self.workers()):
                assert len(done(self.folder)) < SHARDS
                return workers
            time.sleep(0.02)
        raise AssertionError("no shard was written")


@pytest.mark.slow
def test_a_worker_that_is_killed_is_made_up_for(shards, expected, tmp_path, start):
    pytest.importorskip("ray")
    command = Extraction(start, shards, tmp_path / "features")
    for worker in command.wait_for_a_shard():
        worker.kill()
    assert command.process.wait(600) == 0
    assert contents(tmp_path / "features") == expected


@pytest.mark.slow
def test_a_driver_that_is_killed_is_gone_on_with(shards, expected, tmp_path, start):
    """What was done by then is not done again."""
    pytest.importorskip("ray")
    folder = tmp_path / "features"
    command = Extraction(start, shards, folder)
    workers = command.wait_for_a_shard()
    command.process.send_signal(signal.SIGKILL)
    command.process.wait(60)
    end = time.monotonic() + 120
    while any(worker.is_running() for worker in workers) and time.monotonic() < end:
        time.sleep(0.1)
    before = {path: path.stat().st_mtime_ns for path in done(folder)}
    assert 0 < len(before) < SHARDS
    assert Extraction(start, shards, folder).process.wait(600) == 0
    assert contents(folder) == expected
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_what_a_worker_cannot_read_is_one_line(shards, tmp_path, start):
    pytest.importorskip("ray")
    (tmp_path / "000.tar").write_bytes((shards / "000.tar").read_bytes())
    (tmp_path / "001.tar").write_bytes(b"no tar at all" * 99)
    command = Extraction(start, tmp_path, tmp_path / "features", stderr=subprocess.PIPE)
    said = command.process.communicate(timeout=600)[1].splitlines()
    assert command.process.returncode == 1
    assert [line for line in said if "001.tar' cannot be read as an archive" in line] == said[-1:]
    assert not [line for line in said if "Traceback" in line]


def test_torchrun_and_ray_are_not_both_taken(tmp_path, monkeypatch):
    write_tar(tmp_path / "0.tar", members(range(4)))
    monkeypatch.setattr("tortie.learning.extract_shards.join", lambda _: Processes(2, 0, "cpu"))
    with pytest.raises(UsageError, match="run it without torchrun"):
        extract_shards(tmp_path / "0.tar", tmp_path / "features", OPTIONS, runner="ray")


def test_without_ray_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    write_tar(tmp_path / "0.tar", members(range(4)))
    folder = tmp_path / "features"
    with pytest.raises(UsageError, match=r"the runner ray needs ray: pip install 'tortie\[ray\]'"):
        extract_shards(tmp_path / "0.tar", folder, OPTIONS, runner="ray")
    extract_shards(tmp_path / "0.tar", folder, OPTIONS)
    found = extract_shards(tmp_path / "0.tar", folder, OPTIONS, runner="ray")
    assert found.computed == 0  # nobody is asked for what is there
