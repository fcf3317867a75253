"""Claims: the server is 1.5 times as fast as its peers, and near the library itself (goal: 85%).

One photograph a request, multipart, 16 clients, server and clients on the same cores: `tortie
serve`; FastAPI with eager PyTorch and PIL; LitServe with batches of 8. Beside them the library
alone: decode and network, the store empty. Then the latency at 70% of the server's rate, and four
times as many photographs as the queue takes: who is refused, and the server's memory.

    python benchmarks/bench_server.py MODEL IMAGES [--peers PYTHON] [--seconds 6] [--rounds 2]
"""

import argparse
import asyncio
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from machine import describe

import tortie
from tortie.images import find_files

CLIENTS = 16
PEERS = Path(__file__).parent / "peers" / "plain_server.py"


def request_of(content: bytes) -> bytes:
    """A multipart request of one photograph, whole."""
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + content + b"\r\n--b--\r\n"
    )
    head = (
        "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(form)}\r\n\r\n"
    )
    return head.encode() + form


async def ask(streams: tuple, request: bytes) -> int:
    """The status of one answer."""
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(None, 2)[1])


async def closed_loop(port: int, requests: list[bytes], clients: int, seconds: float) -> Counter:
    """Answers by status, of clients each of which asks again as soon as it is answered."""
    statuses: Counter = Counter()
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            statuses[await ask(streams, requests[number % len(requests)])] += 1
            number += clients
        streams[1].close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return statuses


async def open_loop(port: int, requests: list[bytes], rate: float, seconds: float) -> list[float]:
    """Seconds of each answer, where requests come evenly, whatever the answers do."""
    taken: list[float] = []

    async def one(number: int) -> None:
        begin = time.perf_counter()
        streams = await asyncio.open_connection("127.0.0.1", port)
        await ask(streams, requests[number % len(requests)])
        taken.append(time.perf_counter() - begin)
        streams[1].close()

    begin, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    return taken


@contextmanager
def server(command: list[str], port: int, request: bytes) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while asyncio.run(status(port, request)) != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[1]} did not start")
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):  # LitServe's workers outlive it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def status(port: int, request: bytes) -> int:
    try:
        streams = await asyncio.open_connection("127.0.0.1", port)
        return await ask(streams, request)
    except (OSError, asyncio.IncompleteReadError):
        return 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def library(model: Path, paths: list[Path]) -> tuple[float, float]:
    """Photographs a second that the library decodes and predicts, nothing stored; CPU ms of one."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORTIE_CACHE"] = folder
        classifier = tortie.load(model)
        classifier.predict_proba(paths[:1])
        begin, used = time.perf_counter(), time.process_time()
        classifier.predict_proba(paths)
        count = len(paths) - 1  # the first is stored
        used = 1000 * (time.process_time() - used) / count
        return count / (time.perf_counter() - begin), used


def cpu_seconds(process: subprocess.Popen) -> float:
    """Of a process and its children, so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == process.pid:  # each server leads a group of its own
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(process: subprocess.Popen) -> float:
    """Resident MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--peers", help="Python of an environment with the peers")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.images is None:
        print("bench_server: skipped, it needs a classifier and a folder of photographs")
        return
    print(describe())
    paths = list(find_files([arguments.images]).paths)
    requests = [request_of(path.read_bytes()) for path in paths]
    seconds = arguments.seconds
    rates: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    commands = {
        "tortie serve": [sys.executable, "-m", "tortie", "serve", str(arguments.model), "--port"]
    }
    for peer in ("fastapi", "litserve") if arguments.peers else ():
        commands[peer] = [arguments.peers, str(PEERS), peer]
    for _ in range(arguments.rounds):
        rate, milliseconds = library(arguments.model, paths)
        rates.setdefault("library", []).append(rate)
        used.setdefault("library", []).append(milliseconds)
        print(f"  library: {rate:.1f}, CPU {milliseconds:.1f} ms", flush=True)
        for name, command in commands.items():
            port = free_port()
            with server([*command, str(port)], port, requests[0]) as process:
                asyncio.run(closed_loop(port, requests, CLIENTS, 1))
                before, own = cpu_seconds(process), time.process_time()
                done = asyncio.run(closed_loop(port, requests, CLIENTS, seconds))
                spent = 1000 * (cpu_seconds(process) - before) / done[200]
                own = 1000 * (time.process_time() - own) / done[200]
            assert set(done) == {200}, done
            rates.setdefault(name, []).append(done[200] / seconds)
            used.setdefault(name, []).append(spent)
            print(
                f"  {name}: {rates[name][-1]:.1f}, CPU {spent:.1f} ms; of the clients {own:.2f} ms",
                flush=True,
            )
    for name, found in rates.items():
        spread = ", ".join(f"{one:.1f}" for one in found)
        print(
            f"{name:12} {statistics.median(found):7.1f} photographs a second ({spread}), "
            f"{statistics.median(used[name]):.1f} ms of CPU each"
        )
    load(
        commands["tortie serve"], requests, 0.7 * statistics.median(rates["tortie serve"]), seconds
    )


def load(command: list[str], requests: list[bytes], rate: float, seconds: float) -> None:
    """The latency at a rate, then overload."""
    port = free_port()
    with server([*command, str(port), "--queue", "32"], port, requests[0]) as process:
        asyncio.run(closed_loop(port, requests, CLIENTS, 1))
        taken = sorted(asyncio.run(open_loop(port, requests, rate, seconds)))
        p50, p99 = taken[len(taken) // 2], taken[int(0.99 * len(taken))]
        print(
            f"at {rate:.0f} a second: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, "
            f"{p99 / p50:.1f} times"
        )
        before = memory(process)
        answers = asyncio.run(closed_loop(port, requests, 4 * 32, seconds))
        middle = memory(process)
        answers += asyncio.run(closed_loop(port, requests, 4 * 32, seconds))
        print(
            f"overload, 128 clients: {answers[200]} answered, {answers[503]} refused (503), others "
            f"{sum(answers.values()) - answers[200] - answers[503]}; "
            f"{before:.0f}, {middle:.0f}, {memory(process):.0f} MB"
        )


if __name__ == "__main__":
    main()
