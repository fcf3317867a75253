"""Two processes come to what one comes to; oracles are one process, and torch's own batch-norm."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.children import children, ended
from tests.learning.examples import job_of
from tests.learning.pairs import everything, learnt, small
from tortie import processes
from tortie.errors import TortieError, UsageError
from tortie.processes import ALONE, Processes, core_count, join

HOME = Path(__file__).parents[1]


def variables(rank, count, port):
    """As torchrun sets them."""
    return {
        **os.environ, "RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes found, each its own, how they ended, and the folder they wrote to."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("two")
    (folder / "runs").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "tests.learning.pairs", str(folder)]
    with children() as start:
        running = [
            start(
                command, cwd=HOME, env=variables(rank, 2, port), stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for rank in range(2)
        ]  # fmt: skip
        said = [ended(process)[0] for process in running]
    for rank in range(2):
        assert (folder / f"{rank}.npz").exists(), said[rank]
    found = [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]
    return found, said, [process.returncode for process in running], folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    torch.set_num_threads(1)
    (folder := tmp_path_factory.mktemp("one") / "runs").mkdir()
    return everything(ALONE, folder)


EXACT = ("norm of 7", "norm of 1", "norm, plain mean")
ROUNDED = ("judged 5", "judged 1", "judged 0", "trained", "mixed", "side heads", "parts",
           "one photograph", "three", "went on")  # fmt: skip


@pytest.mark.parametrize("name", [*EXACT, *ROUNDED])
def test_two_processes_come_to_what_one_comes_to(together, alone, name):
    """In double precision batch-norm agrees to its last digits; training to float32's rounding."""
    first, second = together[0]
    np.testing.assert_array_equal(first[name], second[name])
    tolerance = 1e-12 if name in EXACT else 2e-5
    np.testing.assert_allclose(first[name], alone[name], rtol=tolerance, atol=tolerance)


def test_training_has_moved_the_weights(alone):
    """Else the comparison would hold of processes that do nothing."""
    begun = torch.cat([one.flatten() for one in small().state_dict().values()]).numpy()
    assert np.abs(alone["trained"][: len(begun)] - begun).max() > 0.01
    assert np.abs(alone["mixed"] - alone["trained"]).max() > 1e-3


def test_a_batch_in_parts_is_the_batch(tmp_path):
    """Without batch-norm; 17 photographs in batches of 5 and 4 leave parts of unequal size."""
    whole = learnt(ALONE, tmp_path / "whole", norm=False)
    parts = learnt(ALONE, tmp_path / "parts", norm=False, accumulate=3)
    np.testing.assert_allclose(parts, whole, rtol=2e-5, atol=2e-6)


def test_a_run_of_two_processes_goes_on_bit_for_bit(together):
    for found in together[0]:
        np.testing.assert_array_equal(found["went on"], found["trained"])


def test_sums_are_over_all(together):
    np.testing.assert_array_equal(together[0][0]["whole"], [[2.0, 1.0]])


def test_other_photographs_end_all_and_the_first_says_so(together):
    first, second = (said.splitlines() for said in together[1])
    assert "TortieError process 1 of 2 has other photographs than the first" in first[-2]
    assert second[-1] == "SystemExit 1"


def test_where_the_first_fails_all_end_and_it_alone_says_why(together):
    _, said, codes, _ = together
    assert codes == [1, 1]
    assert said[0].splitlines()[-1] == "the disk is full"
    assert "full" not in said[1]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by Linux")
def test_no_thread_that_carried_tensors_outlives_python(together):
    """One that lets go of a tensor while Python shuts down would end the process in an abort.

    torch's own first group carries none; torch.distributed.nn keeps it as a default argument.
    """
    for rank in range(2):
        left = (together[3] / f"{rank}.threads").read_text().splitlines()
        assert left.count("gloo_tcp_loop") <= 1  # each group has one; three were made


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 5))
def test_shares_are_of_every_row_once(rows, count, wanted):
    shares = [Processes(count, rank).share(np.arange(100, 100 + rows)) for rank in range(count)]
    own = [row for share in shares if share.weight for row in share.rows]
    assert own == list(range(100, 100 + rows))
    assert sum(share.weight for share in shares) == pytest.approx(1 if rows else 0)
    assert max(shares[0].sizes) - min(shares[0].sizes) <= 1
    for share in shares:
        assert len(share.rows) == max(share.sizes[share.rank], min(rows, 1))
        if share.weight:
            np.testing.assert_array_equal(np.arange(100, 100 + rows)[share.place], share.rows)
    parts = {share.parts(wanted) for share in shares}
    assert len(parts) == 1  # else one would wait for another that does not come
    assert 1 <= parts.pop() <= wanted


def test_one_process_needs_no_accelerate(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert join("cpu") is ALONE
    for name, value in variables(0, 2, 1).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"accelerate: pip install 'tortie\[distributed\]'"):
        join("cpu")


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda pid: set(range(7)), raising=False)
    assert core_count() == 7
    for name, value in variables(0, 3, 1).items():
        monkeypatch.setenv(name, value)
    assert core_count() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "9")
    assert core_count() == 1


def test_depths_are_not_timed_on_several_processes():
    job_of(freeze="auto")
    job_of(freeze="none", processes=Processes(2))
    with pytest.raises(UsageError, match="--freeze auto times depths on one process"):
        job_of(freeze="auto", processes=Processes(2))


def test_a_process_that_ends_is_one_line():
    said = "[enforce fail at pair.cc:1] Connection closed. Check the logs.\nat: 0"
    wanted = r"has ended or cannot be reached \(Connection closed\)"
    with pytest.raises(TortieError, match=wanted), processes._reached():
        raise RuntimeError(said)
