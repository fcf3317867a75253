"""The server's page in a headless Chromium, with a camera that shows a given picture."""

import pytest

from tests.chromium import camera, chromium, needs_browser
from tests.conftest import photograph
from tests.serving.conftest import running
from tortie.loading import load

pytestmark = [pytest.mark.slow, needs_browser]


def test_photographs_are_chosen_dropped_pasted_and_taken(fitted_file, tmp_path):
    # Oracle: the class that each photograph was drawn of.
    files = [tmp_path / f"{label}.png" for label in ("blobs", "stripes")]
    for number, path in enumerate(files):
        photograph(path.stem, 340 + number).save(path)
    (tmp_path / "no.jpg").write_bytes(b"no image")
    photograph("stripes", 360).save(tmp_path / "scan.tiff")
    shown = camera(tmp_path / "camera", [photograph("stripes", 350)])
    answers = "[...$('answers').querySelectorAll('.label')].map((one) => one.textContent)"
    with (
        running(lambda: load(fitted_file)) as client,
        chromium(tmp_path / "browser", *shown, host="127.0.0.1") as browser,
    ):
        client.until_ready()

        def labels(count):
            browser.until(f"$('answers').children.length === {count} && !running")
            return browser.evaluate(answers)

        address = f"http://127.0.0.1:{client.port}"
        browser.open(address + "/")
        browser.until(
            "document.readyState === 'complete' && $('about').textContent.includes('blobs')"
        )
        browser.choose("#files", files)
        assert labels(2) == ["stripes", "blobs"]  # the newest first
        assert (
            browser.evaluate("document.querySelectorAll('.where:not([hidden]) .heat').length") == 2
        )
        browser.drop("#give", files[:1])
        assert labels(3)[0] == "blobs"
        browser.paste(photograph("stripes", 345))
        assert labels(4)[0] == "stripes"
        browser.shoot()
        assert labels(5)[0] == "stripes"
        assert browser.errors == []
        browser.choose("#files", [tmp_path / "no.jpg"])  # a refusal, which the console tells
        assert labels(6)[0] == "No answer" and "not an image" in browser.text()
        # What no browser shows is classified all the same, without the icon of a broken image.
        assert browser.evaluate("$('answers').children[0].querySelector('.photograph')") is None
        browser.choose("#files", [tmp_path / "scan.tiff"])
        assert labels(7)[0] == "stripes"
        assert browser.evaluate("document.querySelectorAll('.unshown').length") == 2
        assert [one for one in browser.requests if not one.startswith(address)] == []
