"""A headless Chromium for tests, driven over a pipe by its DevTools protocol; no package needed."""

import base64
import contextlib
import io
import json
import os
import select
import shutil
import subprocess
import time

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


def camera(path, images):
    """Arguments for a browser whose camera shows these images, some ms each, again and again."""
    with path.with_suffix(".mjpeg").open("wb") as film:
        for image in images:
            frame = io.BytesIO()
            image.convert("RGB").resize((320, 240)).save(frame, "JPEG", quality=92)
            film.write(3 * frame.getvalue())
    return (
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film.name}",
    )  # fmt: skip


class Chromium:
    """One page of a browser without a profile, and without any host but those it is told of.

    Attributes:
        requests: addresses that the page asked for, but those of ``blob:``, ``data:`` and itself.
        errors: what its scripts did not catch, and what its console holds as errors.
    """

    def __init__(self, folder, *arguments, host=None):
        folder.mkdir(exist_ok=True)
        resolve = "MAP * ~NOTFOUND" + (f", EXCLUDE {host}" if host else "")
        to_read, to_write, theirs_in, theirs_out = self._pipes()
        command = [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}",
            f"--host-resolver-rules={resolve}", "--disable-background-networking",
            *arguments, "about:blank",
        ]  # fmt: skip
        script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command], pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._read, self._write = to_read, to_write
        self._buffer, self._number, self._answers = b"", 0, {}
        self.requests, self.errors, self.downloads = [], [], []
        self._session = None
        (target,) = [one for one in self.call("Target.getTargets")["targetInfos"]
                     if one["type"] == "page"]  # fmt: skip
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def _pipes(self):
        theirs_in, to_write = os.pipe()
        to_read, theirs_out = os.pipe()
        return to_read, to_write, theirs_in, theirs_out

    def close(self):
        with contextlib.suppress(OSError):
            self.call("Browser.close", root=True)
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method, root=False, **parameters):
        """What the browser answers to a command."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session and not root:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 120
        while number not in self._answers:
            self._listen(deadline)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _listen(self, deadline):
        left = deadline - time.monotonic()
        ready, _, _ = select.select([self._read], [], [], max(0.0, left))
        assert ready, "the browser does not answer"
        piece = os.read(self._read, 1 << 20)
        if not piece:
            raise OSError("the browser has gone")
        *messages, self._buffer = (self._buffer + piece).split(b"\0")
        for one in map(json.loads, messages):
            if "id" in one:
                self._answers[one["id"]] = one
            else:
                self._hear(one["method"], one["params"])

    def _hear(self, method, told):
        if method == "Network.requestWillBeSent":
            address = told["request"]["url"]
            if not address.startswith(("blob:", "data:")) and address != self.address:
                self.requests.append(address)
        elif method == "Runtime.exceptionThrown":
            thrown = told["exceptionDetails"]
            self.errors.append(thrown.get("exception", {}).get("description", thrown["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] == "error":
            self.errors.append(str([one.get("value") for one in told["args"]]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(told["entry"]["text"] + " " + told["entry"].get("url", ""))

    address = "about:blank"

    def open(self, address):
        """Go to an address; it may still be loading afterwards."""
        self.address = address
        self.call("Page.navigate", url=address)

    def evaluate(self, expression):
        """The value of an expression, or of its promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression, seconds=60):
        """The value of an expression, as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, (expression, self.errors, self.text())
            time.sleep(0.05)
        return value

    def text(self):
        """What the page reads."""
        return self.evaluate("document.body.innerText")

    def choose(self, selector, paths):
        """Give files to an ``<input type="file">``."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        self.call("DOM.setFileInputFiles", files=[str(one) for one in paths],
                  objectId=found["result"]["objectId"])  # fmt: skip

    def drop(self, selector, paths):
        """Drop files where an element is, as a user does from a window of files."""
        place = f"document.querySelector({selector!r})"
        x, y = self.evaluate(
            f"(() => {{ {place}.scrollIntoView(); const at = {place}.getBoundingClientRect(); "
            "return [at.x + at.width / 2, at.y + at.height / 2]; })()"
        )
        held = {"items": [], "files": [str(one) for one in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=held)

    def paste(self, image):
        """Put an image into the clipboard, and press Ctrl-V."""
        content = io.BytesIO()
        image.save(content, "PNG")
        packed = base64.b64encode(content.getvalue()).decode()
        self.call("Browser.grantPermissions", root=True,
                  permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])  # fmt: skip
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.evaluate(
            f"(async () => {{ const all = atob('{packed}'), type = 'image/png';"
            "const bytes = Uint8Array.from(all, (one) => one.charCodeAt());"
            "const image = new Blob([bytes], {type});"
            "await navigator.clipboard.write([new ClipboardItem({[type]: image})]); })()"
        )
        self.call("Input.dispatchKeyEvent", type="keyDown", key="v", code="KeyV", modifiers=2,
                  windowsVirtualKeyCode=86, commands=["paste"])  # fmt: skip

    def shoot(self):
        """Open the page's camera, and take a photograph."""
        self.evaluate("$('camera').click(); 0")
        self.until("document.activeElement === $('shoot')")
        self.evaluate("$('shoot').click(); 0")

    def go_offline(self):
        """Take the network away."""
        self.call("Network.emulateNetworkConditions", offline=True, latency=0,
                  downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip

    def look(self, width=1280, height=900, dark=False, touch=False):
        """See the page in another size, or in the dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=touch)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path, whole=True):
        """Keep what is seen as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def chromium(folder, *arguments, host=None):
    """A browser that is closed at the end."""
    browser = Chromium(folder, *arguments, host=host)
    try:
        yield browser
    finally:
        browser.close()
