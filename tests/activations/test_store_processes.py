import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tortie.activations.store import ActivationStore

LARGE = 10**9

# Writes entries first, first + 1, ...: as many as asked for, or until it is killed. Says each
# number that is committed.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from tortie.activations import writer as writer_file
from tortie.activations.store import ActivationStore
root, first, count, commit_bytes = Path(sys.argv[1]), *map(int, sys.argv[2:5])
writer_file._COMMIT_BYTES = commit_bytes
with ActivationStore(root, 10**9, lambda reason: sys.exit(reason)) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    with store.writer() as writer:
        for number in range(first, first + count):
            writer.put(number.to_bytes(32, "big"), np.full(500, number, np.float32))
            if number % 10 == 9:
                writer.commit()
                print(number, flush=True)
"""


def start(root, first, count, commit_bytes=100_000):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(first), str(count), str(commit_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    return process


def go(process):
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()


def numbers_in(store, numbers):
    arrays = store.get_many([number.to_bytes(32, "big") for number in numbers])
    for key, array in arrays.items():
        expected = np.full(500, int.from_bytes(key, "big"), np.float32)
        np.testing.assert_array_equal(array, expected, strict=True)
    return {int.from_bytes(key, "big") for key in arrays}


def kill_while_writing(root, first, after_commits):
    """Kills a writer; returns the numbers that it had committed."""
    process = start(root, first, 10**6)
    go(process)
    for _ in range(after_commits):
        committed = int(process.stdout.readline())
    process.kill()
    said = process.communicate()[0].split()
    committed = max([committed, *(int(line) for line in said if line.isdigit())])
    assert process.returncode == -signal.SIGKILL
    return set(range(first, committed))  # the last line may have been cut short: one fewer


def test_killed_while_writing(tmp_path):
    committed = kill_while_writing(tmp_path, 0, 5)
    with ActivationStore(tmp_path, LARGE) as store:
        assert committed - numbers_in(store, range(max(committed) + 100)) == set()
        with store.writer() as writer:
            writer.put(b"\xff" * 32, np.zeros(1, np.uint8))
        assert store.get_many([b"\xff" * 32])
        for path in tmp_path.glob("index.sqlite*"):
            path.unlink()
        assert committed - numbers_in(store, range(max(committed) + 100)) == set()


@pytest.mark.slow
def test_killed_again_and_again(tmp_path):
    committed = set()
    for round_number in range(30):
        committed |= kill_while_writing(tmp_path, round_number * 10**6, 1 + 7 * round_number % 40)
        with ActivationStore(tmp_path, LARGE) as store:
            assert numbers_in(store, sorted(committed)) == committed
    # One segment grew through all of it, or a few: none is lost or doubled.
    assert store.usage().segments <= 30


def test_two_processes_write_into_one_new_store(tmp_path):
    # They overlap in 300 to 599, and open the store at once.
    processes = [start(tmp_path, 0, 600), start(tmp_path, 300, 600)]
    for process in processes:
        go(process)
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with ActivationStore(tmp_path, LARGE) as store:
        assert numbers_in(store, range(1000)) == set(range(900))
        assert store.usage().entries == 900


@pytest.mark.slow
def test_four_processes_with_a_small_limit_and_a_reader(tmp_path):
    limit = 4_000_000
    source = WRITER.replace("10**9", str(limit)).replace("lambda reason: sys.exit(reason)", "print")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source, str(tmp_path), str(first), "3000", "50000"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        )
        for first in (0, 10_000, 20_000, 30_000)
    ]
    notes = []
    with ActivationStore(tmp_path, limit, notes.append) as store:
        while any(process.poll() is None for process in processes):
            numbers_in(store, range(0, 40_000, 7))
            # The limit, and what four writers may hold between two commits.
            assert store.usage().bytes <= limit + 4 * 300_000
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert notes == []


def test_a_file_size_limit_is_a_full_disk(tmp_path):
    # The system's own refusal, not a simulated one: files of 300,000 bytes at most.
    source = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from tortie.activations.store import ActivationStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
notes = []
store = ActivationStore(Path(sys.argv[1]), 10**9, notes.append)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
with store.writer() as writer:
    for number in range(300):
        writer.put(number.to_bytes(32, "big"), np.full(500, number, np.float32))
        if number == 99:
            writer.commit()
store.close()
print(len(notes), notes[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 cannot write to the activation store {tmp_path}: File too large\n"
    with ActivationStore(tmp_path, LARGE) as store:
        assert numbers_in(store, range(300)) == set(range(100))
        assert [path.stat().st_size for path in tmp_path.glob("segment-*")] == [100 * 2064]


# Python 3.12 and later warn of forks beside threads, such as those of OpenMP.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_reads_and_does_not_write_over_its_parent(tmp_path):
    with ActivationStore(tmp_path, LARGE) as store:
        with store.writer() as writer:
            writer.put((1).to_bytes(32, "big"), np.full(500, 1, np.float32))
            writer.commit()
            writer.put((2).to_bytes(32, "big"), np.full(500, 2, np.float32))
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    right = store._index._connection is None  # SQLite's must not be inherited
                    refused = not writer.put((3).to_bytes(32, "big"), np.zeros(1, np.uint8))
                    writer.__exit__(None, None, None)
                    seen = []
                    thread = threading.Thread(target=lambda: seen.append(numbers_in(store, [1, 2])))
                    thread.start()
                    thread.join(10)
                    right = right and seen == [{1}]
                    with store.writer() as own:
                        own.put((4).to_bytes(32, "big"), np.full(500, 4, np.float32))
                    code = 0 if right and refused else 2
                finally:
                    os._exit(code)
            deadline = time.monotonic() + 30
            while (status := os.waitpid(child, os.WNOHANG))[0] == 0:
                assert time.monotonic() < deadline, "the child hangs"
                time.sleep(0.01)
            assert os.waitstatus_to_exitcode(status[1]) == 0
        assert numbers_in(store, range(6)) == {1, 2, 4}
