"""The studio's page in a headless Chromium with a camera that is not there."""

import time

import numpy as np
import pytest
from PIL import Image

import tortie
from tests.chromium import camera, chromium, needs_browser
from tests.conftest import lay_out, photograph
from tests.studio.conftest import studio_at
from tortie.errors import UsageError
from tortie.export.runtime import runtime
from tortie.serving.limits import Limits

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


def test_all_that_fits_is_added_and_what_is_left_out_stays_to_be_read(tmp_path):
    # Oracle: the files of the folder. A request takes 1 MiB here: not three of 450 kB, not eight.
    root, files = lay_out(tmp_path / "taught", count=2), tmp_path / "files"
    files.mkdir()
    noise = np.random.default_rng(0)
    large = [files / f"large-{number}.png" for number in range(4)]
    for path in large:
        Image.fromarray(noise.integers(0, 256, (390, 390, 3), np.uint8)).save(path)
    small = [files / f"small-{number:02}.jpg" for number in range(12)]
    for number, path in enumerate(small):
        photograph("blobs", 20 + number).save(path)
    (files / "hi.txt").write_text("hi")
    (files / "nothing.jpg").write_bytes(b"")
    (files / "huge.jpg").write_bytes(bytes(2**20))
    others = [files / name for name in ("hi.txt", "nothing.jpg", "huge.jpg")]
    limits = Limits(body_bytes=2**20, seconds=20)
    with (
        studio_at(root, limits=limits) as client,
        chromium(tmp_path / "browser", host="127.0.0.1") as browser,
    ):
        browser.open(f"http://127.0.0.1:{client.port}/")
        browser.until("typeof state !== 'undefined' && state && state.ready")
        browser.look(390, 844, touch=True)
        browser.choose(
            "[data-name=blobs] input[type=file]", [others[0], *large, *others[1:], *small]
        )
        browser.until("$('said').textContent.startsWith('16 photographs added')")
        said = browser.evaluate("$('said').textContent")
        for words in (
            "hi.txt: not an image",
            "nothing.jpg: empty",
            "huge.jpg: over the limit of 1 MiB",
        ):
            assert words in said
        assert len(list((root / "blobs").iterdir())) == 2 + 16
        assert browser.errors == []
        # Where the user is, the message is.
        browser.evaluate("scrollTo(0, document.body.scrollHeight); 0")
        assert browser.evaluate("scrollY") > 844
        top, bottom = browser.evaluate(
            "(({top, bottom}) => [top, bottom])($('said').getBoundingClientRect())"
        )
        assert 0 <= top < bottom <= 844
        browser.evaluate("$('said-close').click(); 0")
        assert browser.evaluate("[$('said').textContent, $('message').offsetHeight]") == ["", 0]
        # A class that went meanwhile: each request is refused, and said once.
        (root / "stripes").rename(tmp_path / "elsewhere")
        browser.choose("[data-name=stripes] input[type=file]", small[:2])
        browser.until("$('said').textContent.includes('no class')")


def test_keys_label_after_a_class_was_named(tmp_path):
    # Oracle: what a person does: a name, Enter, and the key of the class that was made.
    root, images = lay_out(tmp_path / "taught", count=2), tmp_path / "images"
    images.mkdir()
    for number in range(8):
        photograph("blobs", 40 + number).save(images / f"{number:02}.jpg", quality=92)
    with (
        studio_at(root, images) as client,
        chromium(tmp_path / "browser", host="127.0.0.1") as browser,
    ):
        browser.open(f"http://127.0.0.1:{client.port}/")
        browser.until("typeof state !== 'undefined' && state && !$('label').hidden && !asking")
        assert "8 photographs without a label" in browser.evaluate("$('label-left').textContent")
        browser.evaluate("$('new-name').focus(); 0")
        press(browser, *"waves", "Enter")
        browser.until(f"Boolean({named('waves')}) && document.activeElement === $('label')")
        for left in (7, 6):
            press(browser, "3")
            browser.until(f"$('label-left').textContent.startsWith('{left} photograph') && !asking")
        assert browser.evaluate("$('new-name').value") == ""
        assert browser.evaluate(count("waves")) == 2
        # So does the name of a class that was changed.
        browser.evaluate(f"{named('waves')}.querySelector('.name').select(); 0")
        press(browser, *"sea", "Enter")
        browser.until(f"Boolean({named('sea')}) && document.activeElement === $('label')")
        press(browser, "2")
        browser.until("$('label-left').textContent.startsWith('5 photographs') && !asking")
        assert len(list((root / "sea").iterdir())) == 3  # the second by name: its key is 2
        many = "{classes: [...'abcdefghijklm'], confusion: []}"
        browser.evaluate(f"drawConfusion({many}); 0")
        assert "up to 12 classes" in browser.evaluate("$('confusion').textContent")
        assert browser.errors == []


def press(browser, *keys):
    """Press keys, one after the other."""
    for key in keys:
        text = "\r" if key == "Enter" else key
        number = {"windowsVirtualKeyCode": 13} if key == "Enter" else {}
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, **number)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key=key, **number)


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
