"""``torchrun -m tortie fit``: on this machine, on two hosts, and where one process is killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.children import HANGS, ended
from tests.conftest import lay_out
from tests.learning.test_extract_shards import members, write_tar
from tests.learning.test_streamed_fit import write_features
from tortie.activations.database import NAME

pytest.importorskip("accelerate")
pytestmark = pytest.mark.slow

HOME = Path(__file__).parents[2]
STEPS = (
    "--network", "resnet20-cifar", "--weights", "none", "--freeze", "none", "--batch", "5",
    "--learning-rate", "0.001", "--precision", "float32", "--threads", "1",
)  # fmt: skip


def environment(store, **others):
    paths = f"{HOME}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    own = {"PYTHONPATH": paths, "TORTIE_CACHE": str(store), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, **others}


def command(count, *arguments, launcher=("--standalone",)):
    fit = ["-m", "tortie", "fit", *map(str, arguments)]
    if count == 1:
        return [sys.executable, *fit]
    launch = ["-m", "torch.distributed.run", *launcher, "--nproc-per-node", str(count)]
    return [sys.executable, *launch, *fit]


def fit(count, folder, *arguments, store="store"):
    """The result of a fit as JSON, and its errors."""
    done = subprocess.run(
        command(count, *arguments, "--json"), cwd=folder, env=environment(folder / store),
        capture_output=True, text=True, timeout=HANGS,
    )  # fmt: skip
    return done, json.loads(done.stdout)


@pytest.mark.parametrize("count", [2, 6], ids=["shares of files", "more than files"])
def test_a_streamed_fit_of_several_processes_is_that_of_one(tmp_path, count):
    """Five files of features, read in each pass."""
    write_features(tmp_path / "features")
    script = tmp_path / "streamed.py"
    script.write_text(
        "from tortie.learning import streamed_fit\n"
        "streamed_fit.IN_MEMORY = 0\n"
        "from tortie.cli.main import main\n"
        "main()\n"
    )
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    heads, told = [], []
    for name, launcher in (("one", []), ("many", launch)):
        words = ["fit", "features", "-o", f"{name}.safetensors", "--threads", "1", "--json"]
        done = subprocess.run(
            [sys.executable, *launcher, script, *words], cwd=tmp_path, capture_output=True,
            env=environment(tmp_path / "store"), text=True, timeout=HANGS, check=True,
        )  # fmt: skip
        assert "passes of their features" in done.stderr
        told.append(json.loads(done.stdout))
        heads.append(load_file(tmp_path / f"{name}.safetensors")["members.0.head.weight"])
    assert told[0]["accuracy"] == told[1]["accuracy"]
    np.testing.assert_allclose(heads[1], heads[0], atol=1e-3 * np.abs(heads[0]).max())


def extract(count, folder, *arguments):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.run(
        [sys.executable, *(launch if count > 1 else ()), "-m", "tortie", "extract", *arguments],
        cwd=folder, env=environment(folder / "store"), capture_output=True, text=True,
        timeout=HANGS,
    )  # fmt: skip


def test_more_processes_than_shards_extract_what_one_does(tmp_path):
    """To the last bit; and of a shard that is the second one's, that one says what is wrong."""
    shards = tmp_path / "shards"
    shards.mkdir()
    write_tar(shards / "0.tar", members(range(10)))
    more = ("--precision", "float32", "--threads", "1")
    one, many = (extract(count, tmp_path, "shards", "-o", str(count), *more) for count in (1, 3))
    assert (one.returncode, many.returncode) == (0, 0), many.stderr
    found = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "13"
    ]
    assert found[0] == found[1] and len(found[0]) == 2
    assert many.stdout.count("1 of 1 shards computed") == 1
    twice = members(range(10, 14))
    write_tar(shards / "1.tar", twice | {next(iter(twice)).replace(".jpg", ".png"): b"a second"})
    done = extract(2, tmp_path, "shards", "-o", "bad", *more)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("tortie, process 1")]
    assert "'shards/1.tar': two images of the key" in line


@pytest.fixture
def odd(tmp_path):
    """17 photographs to train on, 18 to choose by, 18 to count."""
    folder = lay_out(tmp_path / "photographs", 9, ("train", "valid", "test"))
    (folder / "train" / "blobs" / "08.jpg").unlink()
    return folder


@pytest.mark.parametrize(
    ("images", "count", "choices"),
    [(17, 2, ("--augment", "mirror", "--views", "2")), (4, 5, ())],
    ids=["an odd number", "fewer than processes"],
)
def test_a_frozen_fit_of_several_processes_is_that_of_one(tmp_path, images, count, choices):
    folder = lay_out(tmp_path / "photographs", -(-images // 2))
    if images % 2:
        (folder / "blobs" / "00.jpg").unlink()
    own = ("--precision", "float32", *choices)
    _, one = fit(1, tmp_path, folder, "-o", "one.safetensors", *own, store="store of one")
    done, many = fit(count, tmp_path, folder, "-o", "many.safetensors", *own)
    assert done.stderr.count("activations  0 in the store") == 1  # one process alone speaks
    assert (one["accuracy"], one["classes"]) == (many["accuracy"], many["classes"])
    assert many["plan"]["processes"] == count
    a, b = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "many.safetensors")
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_every_photograph_is_computed_once(tmp_path):
    """Batches count what was written, so an entry that two processes computed counts twice."""
    folder = lay_out(tmp_path / "photographs", 20)
    more = ("--precision", "float32")
    fit(1, tmp_path, folder, "-o", "one.safetensors", *more, store="store of one")
    done, _ = fit(2, tmp_path, folder, "-o", "two.safetensors", *more)
    assert done.returncode == 0
    held = [
        stored(tmp_path / store, "batches", "SUM(bytes)") for store in ("store of one", "store")
    ]
    assert held[0] == held[1] > 40 * 1280 * 4
    _, again = fit(2, tmp_path, folder, "-o", "two.safetensors", *more, "--force")
    assert again["plan"]["images_in_store"] == 40


def test_a_killed_extraction_goes_on_with_what_is_stored(tmp_path, start):
    folder = lay_out(tmp_path / "photographs", 40)
    arguments = (folder, "-o", "two.safetensors", "--augment", "standard", "--views", "20")
    running = start(
        command(2, *arguments), cwd=tmp_path, env=environment(tmp_path / "store"),
        stderr=subprocess.PIPE,
    )  # fmt: skip
    while running.poll() is None and stored(tmp_path / "store", "batches") < 2:
        time.sleep(0.02)  # until both have written
    before = stored(tmp_path / "store")
    os.kill(worker(running.pid, 1), signal.SIGKILL)
    said = ended(running)[1]  # the others do not wait for it for ever
    assert running.returncode == 1
    assert len([line for line in said.splitlines() if line.startswith("tortie: ")]) == 1
    done, went_on = fit(2, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert went_on["plan"]["images_in_store"] > 0
    _, one = fit(1, tmp_path, folder, "-o", "one.safetensors", *arguments[3:], store="store of one")
    assert one["accuracy"] == went_on["accuracy"]
    assert before < stored(tmp_path / "store") == stored(tmp_path / "store of one")


def stored(store, table="entries", what="COUNT(*)"):
    """How many entries, or batches of them, the store has."""
    path = store / "activations" / NAME
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(f"SELECT {what} FROM {table}").fetchone()[0]
    except sqlite3.OperationalError:  # not there yet
        return 0


def killed_after_an_epoch(start, folder, images, output, rank):
    """What the others said when they ended, after one was killed."""
    running = start(
        command(2, images, "-o", output, *STEPS, "--epochs", "4", "--quiet"), cwd=folder,
        env=environment(folder / "store"), stderr=subprocess.PIPE,
    )  # fmt: skip
    metrics = (folder / output).with_suffix(".run") / "metrics.csv"
    while not metrics.exists() and running.poll() is None:
        time.sleep(0.02)
    assert metrics.exists()
    os.kill(worker(running.pid, rank), signal.SIGKILL)
    said = ended(running)[1]
    assert running.returncode == 1
    return said


def worker(agent, rank):
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    for child in children:
        if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
            return int(child)
    raise AssertionError(children)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_and_the_run_goes_on_bit_for_bit(
    tmp_path, odd, rank, start
):
    said = killed_after_an_epoch(start, tmp_path, odd, "two.safetensors", rank)
    lines = [line for line in said.splitlines() if re.match(r"tortie(, process \d of 2)?:", line)]
    assert len(lines) == 1
    assert "another process of this fit has ended" in lines[0] and "--resume" in lines[0]
    more = (*STEPS, "--epochs", "4")
    done, refused = fit(1, tmp_path, odd, "-o", "two.safetensors", *more, "--resume")
    assert done.returncode == 2
    assert "processes is 1, was 2" in refused["error"]
    done, _ = fit(2, tmp_path, odd, "-o", "two.safetensors", *more, "--resume")
    assert done.returncode == 0, done.stderr
    done, _ = fit(2, tmp_path, odd, "-o", "whole.safetensors", *more)
    assert done.returncode == 0, done.stderr
    for name in ("last.safetensors", "best.safetensors"):
        a = load_file(tmp_path / "two.run" / name)
        b = load_file(tmp_path / "whole.run" / name)
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
    log = [(tmp_path / f"{run}.run" / "metrics.csv").read_text() for run in ("two", "whole")]
    assert log[0] == log[1]


def test_training_by_steps_gives_the_metrics_of_one_process(tmp_path, odd):
    _, one = fit(1, tmp_path, odd, "-o", "one.safetensors", *STEPS, "--epochs", "2")
    _, two = fit(2, tmp_path, odd, "-o", "two.safetensors", *STEPS, "--epochs", "2")
    assert one["accuracy"] == two["accuracy"]
    rows = [
        np.genfromtxt(tmp_path / f"{run}.run" / "metrics.csv", delimiter=",", skip_header=1)
        for run in ("one", "two")
    ]
    np.testing.assert_allclose(rows[0], rows[1], rtol=2e-3)
    a, b = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "two.safetensors")
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=2e-3, atol=2e-3, err_msg=name)


def test_a_frozen_part_is_learnt_from_the_store_by_both(tmp_path, odd):
    more = ("--freeze", "6", "--epochs", "1", "--augment", "mirror", "--precision", "float32")
    _, one = fit(1, tmp_path, odd, "-o", "one.safetensors", *more, store="store of one")
    done, two = fit(2, tmp_path, odd, "-o", "two.safetensors", *more)
    assert done.returncode == 0, done.stderr
    assert two["plan"]["processes"] == 2
    assert two["freeze"] == one["freeze"]
    a, b = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "two.safetensors")
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=5e-3, atol=5e-3, err_msg=name)


@pytest.fixture
def hosts():
    """Two network namespaces that reach each other through one cable, each with its address."""
    names = f"tortie-{os.getpid()}-a", f"tortie-{os.getpid()}-b"
    addresses = "10.77.0.1", "10.77.0.2"
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "va", "netns", names[0], "type", "veth", "peer", "vb", "netns", names[1])
        for name, link, address in zip(names, ("va", "vb"), addresses, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    else:
        yield names, addresses
    finally:
        for name in names:
            with contextlib.suppress(OSError):
                subprocess.run(["ip", "netns", "del", name], capture_output=True)


def on_two_hosts(start, hosts, folder, *arguments):
    """One process on each host, each with a store of its own; only the first can write."""
    names, addresses = hosts
    running = []
    for number, (name, link) in enumerate(zip(names, ("va", "vb"), strict=True)):
        launcher = (
            "--nnodes", "2", "--node-rank", str(number), "--master-addr", addresses[0],
            "--master-port", "29511",
        )  # fmt: skip
        launch = [sys.executable, "-m", "torch.distributed.run", *launcher, "--nproc-per-node", "1"]
        inside = ["ip", "netns", "exec", name, *launch, "-m", "tortie", "fit"]
        own = folder / f"host{number}"
        own.mkdir()
        running.append(
            start(
                [*inside, *map(str, arguments)], cwd=own, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(own / "store", GLOO_SOCKET_IFNAME=link),
            )
        )  # fmt: skip
    return running


def test_two_hosts_fit_as_one(tmp_path, odd, hosts, start):
    arguments = (odd, "-o", "two.safetensors", *STEPS, "--epochs", "2")
    running = on_two_hosts(start, hosts, tmp_path, *arguments)
    said = [ended(process) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert "accuracy" in said[0][0] and said[1][0] == ""
    assert not (tmp_path / "host1" / "two.run").exists()
    fit(1, tmp_path, odd, "-o", "one.safetensors", *STEPS, "--epochs", "2")
    a = load_file(tmp_path / "one.safetensors")
    b = load_file(tmp_path / "host0" / "two.safetensors")
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=2e-3, atol=2e-3, err_msg=name)


def test_a_host_that_falls_silent_in_a_step_ends_the_other(tmp_path, hosts, start):
    """No packet says that it is gone: the time-out of a step does. Epochs are long, to meet one."""
    photographs = lay_out(tmp_path / "photographs", 150, ("train", "valid", "test"))
    running = on_two_hosts(
        start, hosts, tmp_path, photographs, "-o", "two.safetensors", *STEPS, "--epochs", "40"
    )
    metrics = tmp_path / "host0" / "two.run" / "metrics.csv"
    while not metrics.exists() and running[0].poll() is None:
        time.sleep(0.05)
    time.sleep(2)  # the checkpoint is written
    subprocess.run(["ip", "-n", hosts[0][0], "link", "set", "va", "down"], check=True)
    said = [ended(process)[1] for process in running]  # torch's own time-out is half an hour
    assert "another process of this fit has ended or cannot be reached" in said[0]
    assert all(process.returncode for process in running)
