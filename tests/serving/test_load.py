"""Overload, slow and gone clients, and the end of the server, with a classifier that is slow."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cli import test_cli
from tests.serving.conftest import form, running
from tests.serving.test_predict import jpeg
from tortie.evaluation.predict import Predictions
from tortie.serving import server as serving
from tortie.serving.app import make_app
from tortie.serving.batcher import Batcher
from tortie.serving.limits import Access, Limits, Refusal
from tortie.serving.service import Service

command = test_cli.run


class Slow:
    """A classifier of two classes whose batches begin when they are let, and are remembered."""

    temperature, crops = 1.0, 1
    metadata = SimpleNamespace(classes=["a", "b"])

    def __init__(self):
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.batches = []

    def live(self):
        return self

    def __call__(self, contents):
        self.batches.append(len(contents))
        self.begun.release()
        assert self.go.wait(60)
        n = len(contents)
        half = np.full((n, 2), 0.5, np.float32)
        return Predictions(
            np.arange(n), half, half, half[None], half[None], None, None, [None] * n, {}, n
        )


def in_background(call):
    """Calls in a thread; its result is in the list that is returned, once the thread is joined."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    return thread, found


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_full_queue_refuses_at_once_and_answers_what_it_accepted():
    slow, content = Slow(), jpeg()
    with running(lambda: slow, Limits(queue=10, files=8), threads=1) as client:
        client.until_ready()
        asked = [in_background(lambda: client.predict(content))]
        assert slow.begun.acquire(timeout=30)  # one is under way
        asked += [in_background(lambda: client.predict(content)) for _ in range(10)]
        wait_until(lambda: client.service.waiting == 10)
        for _ in range(20):
            refused = client.predict(content)
            assert refused.status == 503 and int(refused.headers["retry-after"]) >= 1
            assert refused.json == {"error": "the queue is full"}
        slow.go.set()
        for thread, found in asked:
            thread.join()
            assert found[0].status == 200
        assert slow.batches == [1, 8, 2]


def test_a_form_that_finds_too_little_room_is_refused_whole():
    slow = Slow()
    with running(lambda: slow, Limits(queue=4, files=4), threads=1) as client:
        client.until_ready()
        first = in_background(lambda: client.predict(jpeg()))
        assert slow.begun.acquire(timeout=30)
        second = in_background(lambda: client.predict(jpeg()))
        wait_until(lambda: client.service.waiting == 1)
        assert client.form(*[("file", f"{i}.jpg", jpeg()) for i in range(4)]).status == 503
        slow.go.set()
        for thread, found in (first, second):
            thread.join()
            assert found[0].status == 200


def test_a_client_that_has_gone_is_dropped_before_its_turn(caplog):
    slow, content = Slow(), jpeg()
    with running(lambda: slow, threads=1) as client:
        client.until_ready()
        first = in_background(lambda: client.predict(content))
        assert slow.begun.acquire(timeout=30)
        head = (
            f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", client.port)) as gone:
                waiting = client.service.waiting
                gone.sendall(head.encode() + content)
                wait_until(lambda waiting=waiting: client.service.waiting > waiting)
        wait_until(lambda: b"tortie_clients_gone_total 5.0" in client.get("/metrics").body)
        last = in_background(lambda: client.predict(content))
        wait_until(lambda: client.service.waiting >= 1)
        slow.go.set()
        for thread, found in (first, last):
            thread.join()
            assert found[0].status == 200
        assert slow.batches == [1, 1]
    gc.collect()  # asyncio tells of an error that nobody asked for when it is let go
    assert caplog.records == []


def test_slow_sockets_stop_nobody_and_are_closed(fitted_file):
    # 200 connections: some send nothing, some half a header, some half a body, some a form's begin.
    body, kind = form(("file", "a.jpg", jpeg()))
    start = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: "
    begun = [
        b"",
        b"POST /pre",
        start.encode() + b"99999\r\n\r\n",
        start.encode() + b"99999\r\n\r\n",
    ]
    begun[3] += body[:2000]
    slow = Slow()
    slow.go.set()
    with (
        running(lambda: slow, Limits(seconds=3)) as client,
        contextlib.ExitStack() as stack,
    ):
        client.until_ready()
        connections = []
        for number in range(200):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", client.port)))
            one.sendall(begun[number % 4])
            one.settimeout(30)
            connections.append(one)
        for _ in range(20):
            assert client.predict(jpeg()).status == 200
        for number, one in enumerate(connections):
            said = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := one.recv(65536):
                    said += piece
            if number % 4 >= 2:
                assert said.startswith(b"HTTP/1.1 408 ") and b"longer than 3 seconds" in said
            else:
                assert said == b""
        assert client.predict(jpeg()).status == 200


def test_a_body_that_trickles_is_refused():
    slow = Slow()
    slow.go.set()
    with running(lambda: slow, Limits(seconds=1)) as client:
        client.until_ready()
        with socket.create_connection(("127.0.0.1", client.port), timeout=30) as trickle:
            trickle.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
            )
            trickle.settimeout(0.05)
            said = b""
            while not said:
                trickle.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    said = trickle.recv(65536)
            assert said.startswith(b"HTTP/1.1 408 ")


def test_a_batch_that_fails_is_an_error_and_no_end():
    def fail(items):
        if "bad" in items:
            raise ValueError("bad")
        return items

    async def ask(batcher, item):
        return await batcher.submit([item])[0]

    batcher = Batcher(fail, 1, 4)
    with pytest.raises(ValueError, match="bad"):
        asyncio.run(ask(batcher, "bad"))
    assert asyncio.run(ask(batcher, "good")) == "good"
    with pytest.raises(Refusal, match="full"):
        batcher.check_room(5)
    batcher.close()


def test_no_thread_takes_all_that_waits_while_another_works(monkeypatch):
    # Oracle: what the test itself holds back. A thread that works alone on the first item leaves
    # eight to the other, which takes its half of them, and the rest when that is answered.
    monkeypatch.setattr("tortie.serving.batcher._MOMENT", 60.0)
    go, sizes = threading.Event(), []

    def run(items):
        sizes.append(len(items))
        assert items != ["first"] or go.wait(60)
        return items

    async def ask(batcher):
        first = batcher.submit(["first"])
        while not sizes:
            await asyncio.sleep(0.001)
        some = batcher.submit(["few", "few"])
        await asyncio.sleep(0.05)
        assert sizes == [1]  # the free thread waits for more, as another works
        more = batcher.submit(["more"] * 6)
        await asyncio.gather(*some, *more)
        go.set()
        await asyncio.gather(*first)

    batcher = Batcher(run, 2, 16)
    asyncio.run(ask(batcher))
    batcher.close()
    assert sizes == [1, 4, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="other builds of torch have other threads")
def test_torch_that_is_loaded_after_the_threads_began_multiplies_on_each_alone(monkeypatch):
    # Oracle: torch itself. The classifier is loaded beside the threads that will ask it; threads
    # that were set up before torch was there made operators share threads, at twice the CPU time.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    batcher = Batcher(lambda items: [torch.get_num_threads() for _ in items], 1, 1)

    async def ask():
        return await batcher.submit([None])[0]

    try:
        with monkeypatch.context() as unloaded:
            unloaded.delitem(sys.modules, "torch")
            assert asyncio.run(ask()) == 2
        assert asyncio.run(ask()) == 1
    finally:
        batcher.close()
        torch.set_num_threads(before)


def test_a_failure_within_is_json_too():
    class Failing(Slow):
        def __call__(self, contents):
            raise ValueError("within")

    with running(Failing) as client:
        client.until_ready()
        answer = client.predict(jpeg())
        assert answer.status == 500 and answer.json == {"error": "an error of the server"}
        assert client.get("/health").status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_well_from_its_announcement_on(number):
    # Invariant: whoever reads the address may end the server in the same moment.
    slow, announced = Slow(), []
    service = Service("slow", lambda: slow, Limits(), 1)
    app = make_app(service, Limits(), Access(), 0.0)
    before = signal.getsignal(number)

    def announce():
        with socket.create_connection(listening.getsockname()[:2], timeout=30):
            announced.append(True)  # and somebody listens
        os.kill(os.getpid(), number)

    with serving.listen("127.0.0.1", 0) as listening:
        server = serving.Server(serving.make_config(app, Limits()), announce)
        server.run([listening])
    assert announced == [True] and server.started
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("wrong", [["--crops", "7"], ["--threads", "0"], ["--engine", "none"], []])
def test_no_address_is_told_before_the_arguments_are_checked(command, fitted_file, wrong):
    # Invariant: an address on stdout is that of a server that serves.
    model = fitted_file if wrong else "none.safetensors"
    code, out, err = command("serve", model, "--port", "0", *wrong)
    assert code in (1, 2) and out == ""
    assert len(err.splitlines()) == 1 and (wrong[0][2:] if wrong else model) in err


def serve(start, *arguments, **environment):
    command = [
        sys.executable,
        "-m",
        "tortie",
        "serve",
        "--port",
        "0",
        "--json",
        *map(str, arguments),
    ]
    return start(command, stdout=-1, stderr=-1, env=os.environ | environment)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_what_it_accepted(start, fitted_file, number):
    from tests.serving.conftest import Client

    process = serve(start, fitted_file)
    lines = ""
    while not lines.rstrip().endswith("}"):
        lines += process.stdout.readline()
    client = Client(int(json.loads(lines)["address"].rpartition(":")[2]), None)
    client.until_ready()
    content = jpeg()
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as under_way:
        head = (
            f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        under_way.sendall(head.encode() + content[:-1])
        client.get("/health")
        process.send_signal(number)
        time.sleep(0.3)
        under_way.sendall(content[-1:])
        assert under_way.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert process.wait(30) == 0
    assert process.stderr.read() == ""


def test_a_classifier_that_cannot_be_loaded_ends_the_server(start, tmp_path):
    process = serve(start, tmp_path / "none.safetensors")
    assert process.wait(60) in (1, 2)
    assert "none.safetensors" in process.stderr.read()


def test_others_than_this_machine_need_a_token(start, fitted_file):
    process = serve(start, fitted_file, "--host", "0.0.0.0", TORTIE_TOKEN="")
    assert process.wait(60) == 2
    assert "TORTIE_TOKEN" in process.stderr.read()
