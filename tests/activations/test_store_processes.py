"""The store among processes: killed, forked, without rights, without room, without locks."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tortie.activations import database
from tortie.activations.store import ActivationStore

LARGE = 10**9

# Writes entries first, first + 1, ...: as many as asked for, or until it is killed. Says each
# number that is committed.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from tortie.activations.store import ActivationStore
root, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:4])
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


def python(source, *arguments, **options):
    """A process that runs a piece of Python."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        **options,
    )


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
    process = python(WRITER, root, first, 10**6)
    go(process)
    for _ in range(after_commits):
        committed = int(process.stdout.readline())
    process.kill()
    said = process.communicate()[0].split("\n")[:-1]
    committed = max([committed, *map(int, said)])
    assert process.returncode == -signal.SIGKILL
    return set(range(first, committed + 1))


def test_killed_while_writing(tmp_path):
    committed = kill_while_writing(tmp_path, 0, 5)
    with ActivationStore(tmp_path, LARGE) as store:
        assert committed - numbers_in(store, range(max(committed) + 100)) == set()
        with store.writer() as writer:
            writer.put(b"\xff" * 32, np.zeros(1, np.uint8))
        assert store.get_many([b"\xff" * 32])


@pytest.mark.slow
def test_four_writers_killed_again_and_again(tmp_path):
    committed, chance, notes = set(), random.Random(0), []
    for step in range(12):
        processes = [python(WRITER, tmp_path, (4 * step + i) * 10**6, 10**6) for i in range(4)]
        for process in processes:
            go(process)
        for i, process in enumerate(processes):
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
            said = process.communicate()[0].split("\n")[:-1]
            first = (4 * step + i) * 10**6
            committed |= set(range(first, max(map(int, said), default=first - 1) + 1))
        with ActivationStore(tmp_path, LARGE, notes.append) as store:
            assert committed - numbers_in(store, sorted(committed)) == set()
    assert notes == []
    assert len(committed) > 100


def test_two_processes_write_into_one_new_store(tmp_path):
    # They overlap in 300 to 599, and open the store at once.
    processes = [python(WRITER, tmp_path, 0, 600), python(WRITER, tmp_path, 300, 600)]
    for process in processes:
        go(process)
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    with ActivationStore(tmp_path, LARGE) as store:
        assert numbers_in(store, range(1000)) == set(range(900))
        assert store.usage().entries == 900


@pytest.mark.slow
def test_four_processes_with_a_small_limit_and_a_reader(tmp_path):
    limit = 8_000_000
    source = WRITER.replace("10**9", str(limit)).replace("lambda reason: sys.exit(reason)", "print")
    processes = [
        python(source, tmp_path, first, 3000, stderr=subprocess.PIPE)
        for first in (0, 10_000, 20_000, 30_000)
    ]
    readers = [threading.Thread(target=process.communicate, args=("\n",)) for process in processes]
    for reader in readers:
        reader.start()
    notes, most = [], 0
    with ActivationStore(tmp_path, limit, notes.append) as store:
        while any(process.poll() is None for process in processes):
            numbers_in(store, range(0, 40_000, 7))
            most = max(most, store.usage().bytes)
    for reader in readers:
        reader.join()
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert notes == []
    assert most <= limit


def test_a_file_size_limit_is_a_full_disk(tmp_path):
    # The system's own refusal, not a simulated one: files of 400,000 bytes at most.
    source = """
    import resource, signal, sys
    from pathlib import Path
    import numpy as np
    from tortie.activations.store import ActivationStore
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    notes = []
    store = ActivationStore(Path(sys.argv[1]), 10**9, notes.append)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    with store.writer() as writer:
        for number in range(600):
            writer.put(number.to_bytes(32, "big"), np.full(500, number, np.float32))
            if number == 29:
                writer.commit()
    print(len(store.get_many([n.to_bytes(32, "big") for n in range(600)])), writer.full)
    store.close()
    print(*notes, sep="\\n")
    """
    process = python(source, tmp_path)
    assert process.communicate()[0].splitlines() == [
        "30 True", f"cannot write to the activation store {tmp_path}: disk I/O error",
    ]  # fmt: skip
    assert process.returncode == 0
    with ActivationStore(tmp_path, LARGE) as store:
        assert numbers_in(store, range(600)) == set(range(30))


READER = """
import os, sys, urllib.parse  # which Python imports late, and the other user may not read
from pathlib import Path
import numpy as np
from tortie.activations.store import ActivationStore
if os.geteuid() == 0:  # whom no permission stops
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
store = ActivationStore(Path(sys.argv[1]), 10**9, print)
keys = [number.to_bytes(32, "big") for number in range(5)]
print(store.read_only, len(store.get_many(keys)), len(store.contains_many(keys)))
with store.writer() as writer:
    writer.put(b"k" * 32, np.zeros(1, np.uint8))
print(writer.full, len(store.get_many(keys)))
store.close()
"""


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_a_folder_that_cannot_be_written_is_still_read(killed):
    folder = Path(tempfile.mkdtemp())  # pytest's own are closed to other users
    try:
        with ActivationStore(folder / "store", LARGE) as store:
            with store.writer() as writer:
                for number in range(5):
                    writer.put(number.to_bytes(32, "big"), np.full(500, number, np.float32))
            if killed:  # leaves a log behind
                store.close()
                process = python(WRITER, folder / "store", 5, 10**6)
                go(process)
                process.stdout.readline()
                process.kill()
                process.communicate()
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        process = python(READER, folder / "store")
        lines = process.communicate()[0].splitlines()
        assert lines == [
            "True 5 5",
            f"cannot write to the activation store {folder / 'store'}:"
            " attempt to write a readonly database",
            "True 5",
        ]  # fmt: skip
    finally:
        for path in (folder, folder / "store"):
            path.chmod(0o755)
        shutil.rmtree(folder)


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
static int there(int fd) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof path - 1) > 0 && strstr(path, getenv("DRIVE"));
}
static int lacks(const char *what, int fd) {
    return strstr(getenv("LACKS"), what) && fd >= 0 && there(fd);
}
int flock(int fd, int operation) {
    if (lacks("flock", fd)) { errno = EOPNOTSUPP; return -1; }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, operation);
}
static int control(const char *name, int fd, int command, void *argument) {
    if (lacks("fcntl", fd) && (command == F_SETLK || command == F_SETLKW || command == F_GETLK)) {
        errno = ENOLCK; return -1;
    }
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, name))(fd, command, argument);
}
int fcntl(int fd, int command, ...) {
    va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list);
    return control("fcntl", fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
    va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list);
    return control("fcntl64", fd, command, argument);
}
#define MAP(NAME) void *NAME(void *at, size_t size, int access, int flags, int fd, off_t offset) { \
    if ((flags & MAP_SHARED) && lacks("mmap", fd)) { errno = ENODEV; return MAP_FAILED; } \
    return ((void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, #NAME))( \
        at, size, access, flags, fd, offset); }
MAP(mmap)
MAP(mmap64)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler on Linux"
)
@pytest.mark.parametrize("lacks", ["flock", "fcntl", "mmap", "flock fcntl mmap"])
def test_a_drive_without_locks_or_shared_memory_stores_nothing(tmp_path, lacks):
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    compiled = ["cc", "-shared", "-fPIC", "-o", str(shim), str(tmp_path / "shim.c"), "-ldl"]
    subprocess.run(compiled, check=True)
    drive = tmp_path / "drive"
    source = """
    import sys
    from pathlib import Path
    import numpy as np
    from tortie.activations import database
    from tortie.activations.store import ActivationStore
    database._SECONDS = 1
    store = ActivationStore(Path(sys.argv[1]), 10**9, print)
    with store.writer() as writer:
        writer.put(b"k" * 32, np.zeros(1, np.uint8))
    print(writer.full, store.get_many([b"k" * 32]))
    """
    environment = os.environ | {"LD_PRELOAD": str(shim), "DRIVE": str(drive), "LACKS": lacks}
    process = python(source, drive, env=environment)
    note, *rest = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert note.startswith(f"cannot open the activation store {drive}: ")
    assert note.endswith("; nothing is stored")
    assert rest == ["True {}"]
    with ActivationStore(drive, LARGE, lambda reason: pytest.fail(reason)) as store:  # locks again
        with store.writer() as writer:
            assert writer.put(b"k" * 32, np.zeros(1, np.uint8))
        assert store.get_many([b"k" * 32])


def test_without_fcntl_there_is_a_store(tmp_path):
    # As on Windows, where the module is missing; locks are then files that exist.
    source = """
    import sys
    sys.modules["fcntl"] = None
    from pathlib import Path
    import numpy as np
    import tortie
    import tortie.classifier, tortie.cli.main
    from tortie.activations.store import ActivationStore
    with ActivationStore(Path(sys.argv[1]), 10**9, print) as store:
        with store.writer() as writer:
            writer.put(b"k" * 32, np.arange(3, dtype=np.uint8))
        print(store.get_many([b"k" * 32])[b"k" * 32])
    """
    process = python(source, tmp_path)
    assert process.communicate()[0].splitlines()[-1] == "[0 1 2]"
    assert process.returncode == 0


# Python 3.12 and later warn of forks beside threads, such as those of OpenMP.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_a_connection_and_a_writer_of_its_own(tmp_path):
    with ActivationStore(tmp_path, LARGE) as store:
        with store.writer() as writer:
            writer.put((1).to_bytes(32, "big"), np.full(500, 1, np.float32))
            writer.commit()
            writer.put((2).to_bytes(32, "big"), np.full(500, 2, np.float32))
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    right = store._connection is None  # SQLite's must not be inherited
                    refused = not writer.put((3).to_bytes(32, "big"), np.zeros(1, np.uint8))
                    writer.__exit__(None, None, None)
                    seen = []
                    thread = threading.Thread(target=lambda: seen.append(numbers_in(store, [1, 2])))
                    thread.start()
                    thread.join(30)
                    right = right and seen == [{1}]
                    with store.writer() as own:
                        own.put((4).to_bytes(32, "big"), np.full(500, 4, np.float32))
                    code = 0 if right and refused else 2
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert numbers_in(store, range(6)) == {1, 2, 4}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_waits_for_threads_that_read_and_write(tmp_path):
    # Each child must find SQLite and the store's lock free, whatever other threads were doing.
    with ActivationStore(tmp_path, LARGE) as store, store.writer() as writer:
        stop, errors = threading.Event(), []

        def work():
            try:
                number = 0
                while not stop.is_set():
                    writer.put(number.to_bytes(32, "big"), np.full(500, number, np.float32))
                    writer.commit()
                    assert number in numbers_in(store, [number])
                    number += 1
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    numbers_in(store, range(10))
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stop.set()
        thread.join()
        assert errors == []


# Holds a lock of the store, as a process does that was stopped in the middle of its work.
HOLDER = """
import sqlite3, sys
from filelock import FileLock
path, which = sys.argv[1:]
if which == "file":
    lock = FileLock(path + ".lock")
    lock.acquire()
else:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("which", ["file", "database"])
def test_a_lock_that_a_stopped_process_holds_is_said_while_it_is_waited_for(
    tmp_path, which, monkeypatch
):
    monkeypatch.setattr(database, "_SAID_AFTER", 0.2)
    notes = []
    with ActivationStore(tmp_path / "store", LARGE, notes.append) as store:
        if which == "file":
            store.close()  # so that it has to be opened again
        holder = python(HOLDER, store.path, which)
        assert holder.stdout.readline() == "ready\n"

        def let_go(reason):
            notes.append(str(reason))
            holder.stdin.close()  # which ends it

        monkeypatch.setattr(store, "_tell", let_go)
        monkeypatch.setattr(database.warnings, "warn", lambda said, *_, **__: let_go(said))
        with store.writer() as writer:
            writer.put(b"k" * 32, np.zeros(1, np.uint8))
        assert holder.wait(60) == 0
        holder.stdout.close()
        assert len(notes) == 1
        assert notes[0].startswith(
            f"waiting for another process that holds the lock of {store.path}"
        )
        assert b"k" * 32 in store.get_many([b"k" * 32])
