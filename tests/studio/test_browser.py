"""The studio's page in a headless Chromium with a camera that is not there."""

import time

import pytest

import tortie
from tests.chromium import chromium, needs_browser
from tests.conftest import photograph
from tests.studio.conftest import studio_at
from tortie.errors import UsageError
from tortie.export.runtime import runtime

pytestmark = [pytest.mark.slow, needs_browser]
FAKE_CAMERA = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"


def named(label):
    return f"document.querySelector('[data-name={label}]')"


def count(label):
    return f"state.classes.find((one) => one.name === '{label}').photographs.length"


def add_class(browser, label):
    browser.evaluate(f"$('new-name').value = '{label}'; $('new').requestSubmit(); 0")
    browser.until(f"Boolean({named(label)})")


def hold_camera(browser, label, seconds):
    """Hold the key on a class's camera button."""
    browser.evaluate(
        f"(async () => {{ const hold = {named(label)}.querySelector('.hold');"
        "hold.dispatchEvent(new KeyboardEvent('keydown', {key: ' '})); "
        f"await sleep({seconds}); "
        "hold.dispatchEvent(new KeyboardEvent('keyup', {key: ' '})); })()"
    )


def test_teach_two_classes_by_camera_and_files_and_take_the_page_home(tmp_path):
    root, images = tmp_path / "taught", tmp_path / "images"
    images.mkdir()
    for number in range(14):
        photograph("blobs", 40 + number).save(images / f"{number:02}.jpg", quality=92)
    with (
        studio_at(root, images) as client,
        chromium(tmp_path, *FAKE_CAMERA, host="127.0.0.1") as browser,
    ):
        browser.call("Browser.setDownloadBehavior", root=True, behavior="allow",
                     downloadPath=str(tmp_path))  # fmt: skip
        address = f"http://127.0.0.1:{client.port}"
        browser.open(address + "/")
        browser.until("typeof state !== 'undefined' && Boolean(state)")
        add_class(browser, "screen")
        add_class(browser, "blobs")
        browser.choose("[data-name=blobs] input[type=file]", sorted(images.iterdir())[:8])
        browser.until(f"{count('blobs')} === 8")
        for _ in range(3):
            before = browser.evaluate(count("screen"))
            hold_camera(browser, "screen", 1.5)
            browser.until(f"{count('screen')} >= {before} + 2")
        # The keys 1, 2, 3 label what is offered.
        browser.evaluate("queue.length = 0; offer()")
        browser.until("!$('label').hidden && queue.length && !asking")
        pressed = "new KeyboardEvent('keydown', {key: '1', bubbles: true})"
        browser.evaluate(f"document.body.dispatchEvent({pressed}); 0")
        browser.until(f"{count('blobs')} === 9")
        # A photograph is chosen, moved, and removed.
        browser.evaluate(f"{named('blobs')}.querySelector('.thumb').click(); 0")
        browser.evaluate("$('chosen-class').value = 'screen'; $('chosen').requestSubmit(); 0")
        browser.until(f"{count('blobs')} === 8 && $('chosen').hidden")
        browser.evaluate("$('live').click(); 0")
        browser.until("$('answer-label').textContent === 'screen'", 30)
        browser.until("state.figures_of === state.version", 120)
        assert [one for one in browser.requests if not one.startswith(address)] == []
        assert browser.errors == []
        try:
            runtime()
        except UsageError:
            pytest.skip("no runtime is here: make runtime")
        browser.evaluate("document.querySelector('[data-file=\"/api/page\"]').click(); 0")
        deadline = time.monotonic() + 240
        while not (tmp_path / "classifier.html").exists():
            assert time.monotonic() < deadline, browser.text()
            time.sleep(0.2)
    # What was taught is an ordinary folder, from which a new process goes on.
    assert len(list((root / "blobs").iterdir())) == 8
    assert tortie.ImageClassifier(threads=1).fit(root).classes_.tolist() == ["blobs", "screen"]
    with chromium(tmp_path / "offline") as browser:
        browser.open((tmp_path / "classifier.html").as_uri())
        browser.until("document.readyState === 'complete' && $('state').hidden")
        browser.choose("#files", [images / "13.jpg"])
        browser.until("$('answers').querySelectorAll('.bars li').length === 2")
        assert browser.evaluate("$('answers').querySelector('.label').textContent") == "blobs"
        assert browser.requests == [] and browser.errors == []
