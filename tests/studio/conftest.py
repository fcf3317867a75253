"""A studio in a thread of this process, and a client of plain sockets."""

import contextlib
import io
import json
import threading
import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httptools")

from tests.conftest import photograph
from tests.serving.conftest import Client, form
from tortie.learning.options import FitOptions
from tortie.serving import server as serving
from tortie.serving.limits import Access, Limits
from tortie.studio.app import make_studio_app
from tortie.studio.photograph_folder import PhotographFolder
from tortie.studio.studio import Studio
from tortie.studio.teacher import Teacher


class StudioClient(Client):
    """Asks a studio that runs here."""

    def post(self, path, **asked):
        return self.ask("POST", path, json.dumps(asked), Content_Type="application/json")

    def send(self, label, *contents, burst=""):
        """Add photographs to a class; the answer."""
        body, kind = form(*(("files", "a.jpg", content) for content in contents))
        query = f"?label={label}" + (f"&burst={burst}" if burst else "")
        return self.ask("POST", "/api/photographs" + query, body, Content_Type=kind)

    def state(self):
        return self.get("/api/state").json

    def measured(self):
        """The state once its figures are those of its snapshot."""
        deadline = time.monotonic() + 120
        while (state := self.state())["figures_of"] < state["version"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return state


def jpeg(label, number, size=None):
    content = io.BytesIO()
    image = photograph(label, number)
    (image.resize(size) if size else image).save(content, "JPEG", quality=92)
    return content.getvalue()


@contextlib.contextmanager
def studio_at(root, unlabelled=None, access=None, limits=None):
    """A studio that runs inside the block."""
    folder = PhotographFolder(root)
    teacher = Teacher(folder, FitOptions.of(threads=1, precision="float32"), unlabelled)
    studio, limits = Studio(folder, teacher), limits or Limits(seconds=5)
    app = make_studio_app(studio, limits, access or Access())
    server = serving.Server(serving.make_config(app, limits))
    with serving.listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            client = StudioClient(port, studio)
            while not server.started:
                time.sleep(0.01)
            yield client
        finally:
            server.end()
            thread.join(60)
    assert not thread.is_alive()
