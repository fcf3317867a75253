"""A studio that is killed at any moment: what it said that it kept is there, whole."""

import hashlib
import http.client
import json
import random
import socket
import sys
import threading
import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httptools")

from tests.children import children
from tests.serving.conftest import form
from tests.studio.conftest import StudioClient, jpeg
from tortie.images import find_files

pytestmark = pytest.mark.slow


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def until_it_answers(client):
    deadline = time.monotonic() + 60
    while True:
        try:
            client.get("/health")
            return client
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def change(client, draws, pool, kept, stop):
    """Add, move and remove photographs until the studio is gone; notes what it acknowledged."""
    while not stop.is_set():
        label, act = draws.choice("ab"), draws.random()
        try:
            if act < 0.6:
                content = draws.choice(pool)
                body, kind = form(("files", "a.jpg", content))
                path = f"/api/photographs?label={label}"
                if client.ask("POST", path, body, Content_Type=kind).status == 200:
                    kept.add(hashlib.sha256(content).hexdigest())
                continue
            own = [one["key"] for c in client.state()["classes"] for one in c["photographs"]]
            asked = {"keys": [draws.choice(own)], "label": label} if own else {}
            if asked:
                client.post("/api/move" if act < 0.85 else "/api/remove", **asked)
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            time.sleep(0.01)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_and_no_file_is_half(tmp_path, seed):
    # Oracle: the SHA-256 of what was sent. Every photograph that was acknowledged is in a class or
    # in .removed, and every photograph that the folder shows is one that was sent, whole.
    draws, kept, root = random.Random(seed), set(), tmp_path / "pets"
    pool = [jpeg("ab"[i % 2], i, (200, 150)) for i in range(40)]
    sent = {hashlib.sha256(content).hexdigest() for content in pool}
    for _ in range(3):
        with children() as start:
            port = free_port()
            command = [sys.executable, "-m", "tortie", "studio", root, "--port", str(port)]
            process = start([*command, "--precision", "float32", "--quiet"], stdout=-3, stderr=-3)
            client = until_it_answers(StudioClient(port, None))
            for name in "ab":
                client.post("/api/classes", name=name)
            stop = threading.Event()
            threads = [
                threading.Thread(
                    target=change, args=(client, random.Random(draws.random()), pool, kept, stop)
                )
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            time.sleep(draws.uniform(0.2, 2))
            process.kill()
            stop.set()
            for thread in threads:
                thread.join()
        shown = {hashlib.sha256(p.read_bytes()).hexdigest() for p in find_files([root]).paths}
        removed = {
            hashlib.sha256(p.read_bytes()).hexdigest() for p in root.glob(".removed/*/*.jpg")
        }
        assert shown <= sent
        assert kept <= shown | removed
    assert kept
