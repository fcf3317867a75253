"""The studio's page in a headless Chromium with a camera that is not there."""

import time

import pytest

import tortie
from tests.chromium import camera, chromium, needs_browser
from tests.conftest import photograph
from tests.studio.conftest import studio_at
from tortie.errors import UsageError
from tortie.export.runtime import runtime

pytestmark = [pytest.mark.slow, needs_browser]


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
    # Oracle: the class that each photograph was drawn of, in the studio and in the page.
    root, images = tmp_path / "taught", tmp_path / "images"
    images.mkdir()
    for number in range(14):
        photograph("blobs", 40 + number).save(images / f"{number:02}.jpg", quality=92)
    sees = {
        label: [photograph(label, 60 + i) for i in range(240)] for label in ("blobs", "stripes")
    }
    cameras = {label: camera(tmp_path / label, some) for label, some in sees.items()}
    with studio_at(root, images) as client:
        address = f"http://127.0.0.1:{client.port}"
        with chromium(tmp_path / "first", *cameras["blobs"], host="127.0.0.1") as browser:
            browser.open(address + "/")
            browser.until("typeof state !== 'undefined' && Boolean(state)")
            add_class(browser, "blobs")
            hold_camera_often(browser, "blobs")
            by_camera = browser.evaluate(count("blobs"))
            assert browser.errors == []
        with chromium(tmp_path / "second", *cameras["stripes"], host="127.0.0.1") as browser:
            browser.open(address + "/")
            browser.until("typeof state !== 'undefined' && Boolean(state)")
            add_class(browser, "stripes")
            hold_camera_often(browser, "stripes")
            browser.choose("[data-name=blobs] input[type=file]", sorted(images.iterdir())[:6])
            browser.until(f"{count('blobs')} === {by_camera + 6}")
            browser.drop("[data-name=blobs]", sorted(images.iterdir())[6:8])
            browser.until(f"{count('blobs')} === {by_camera + 8}")
            # The keys 1, 2, 3 label what is offered.
            browser.evaluate("queue.length = 0; offer()")
            browser.until("!$('label').hidden && queue.length && !asking")
            pressed = "new KeyboardEvent('keydown', {key: '1', bubbles: true})"
            browser.evaluate(f"document.body.dispatchEvent({pressed}); 0")
            browser.until(f"{count('blobs')} === {by_camera + 9}")
            # A photograph is chosen, moved, moved back, and removed.
            for label, left in (("stripes", 8), ("blobs", 9)):
                press_newest(browser, {"stripes": "blobs", "blobs": "stripes"}[label])
                browser.evaluate(
                    f"$('chosen-class').value = '{label}'; $('chosen').requestSubmit()"
                )
                browser.until(f"{count('blobs')} === {by_camera + left} && $('chosen').hidden")
            press_newest(browser, "blobs")
            browser.evaluate("$('chosen-remove').click(); 0")
            browser.until(f"{count('blobs')} === {by_camera + 8} && $('chosen').hidden")
            browser.evaluate("$('live').click(); 0")
            browser.until("$('answer-label').textContent === 'stripes'", 30)
            browser.until("state.figures_of === state.version", 120)
            assert "95% interval" in browser.evaluate("$('accuracy-more').textContent")
            assert browser.evaluate("state.figures.classes") == ["blobs", "stripes"]
            assert [one for one in browser.requests if not one.startswith(address)] == []
            assert browser.errors == []
            page = download_page(browser, tmp_path)
    # A burst has the photographs of its own hold alone; one may end and the next begin on a frame.
    for label in sees:
        digests = [p.name.split("-")[2] for p in (root / label).glob("burst-*")]
        assert len(digests) - len(set(digests)) <= 2, label
    # What was taught is an ordinary folder, from which a new process goes on.
    assert len(list((root / "blobs").iterdir())) == by_camera + 8
    assert len(list((root / ".removed" / "blobs").iterdir())) == 1
    assert tortie.ImageClassifier(threads=1).fit(root).classes_.tolist() == ["blobs", "stripes"]
    with chromium(tmp_path / "offline", *cameras["stripes"]) as browser:
        browser.go_offline()
        browser.open(page.as_uri())
        browser.until("document.readyState === 'complete' && $('state').hidden")
        browser.choose("#files", [images / "13.jpg"])
        browser.until("$('answers').querySelectorAll('.bars li').length === 2")
        assert browser.evaluate("$('answers').querySelector('.label').textContent") == "blobs"
        browser.evaluate("$('camera').click(); 0")
        browser.until("document.activeElement === $('shoot')")
        browser.evaluate("$('shoot').click(); 0")
        browser.until("$('answers').querySelectorAll('.bars li').length === 4")
        assert browser.evaluate("$('answers').querySelector('.label').textContent") == "stripes"
        assert browser.requests == [] and browser.errors == []


def hold_camera_often(browser, label):
    """Take three bursts, one at once after the other, and wait for all of them."""
    for _ in range(3):
        before = browser.evaluate(count(label))
        hold_camera(browser, label, 1.5)
        browser.until(f"{count(label)} >= {before} + 2")
    there = -1
    while there < (there := browser.evaluate(count(label))):
        time.sleep(1.5)  # the last photographs of a burst follow when the key is up


def press_newest(browser, label):
    browser.evaluate(f"{named(label)}.querySelector('.thumb').click(); 0")


def download_page(browser, folder):
    """The HTML page, by the studio's button."""
    try:
        runtime()
    except UsageError:
        pytest.skip("no runtime is here: make runtime")
    browser.call("Browser.setDownloadBehavior", root=True, behavior="allow",
                 downloadPath=str(folder))  # fmt: skip
    browser.evaluate("document.querySelector('[data-file=\"/api/page\"]').click(); 0")
    deadline = time.monotonic() + 240
    while not (folder / "classifier.html").exists():
        assert time.monotonic() < deadline, browser.text()
        time.sleep(0.2)
    return folder / "classifier.html"
