"""The Python of the documentation runs."""

import re
from pathlib import Path

import matplotlib
import pytest
import torch

from tests.conftest import lay_out, photograph

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_every_example_in_python_runs(tmp_path, monkeypatch):
    lay_out(tmp_path / "photos")
    for label in ("blobs", "stripes"):
        (tmp_path / "others" / label).mkdir(parents=True)
        for number in range(5):
            photograph(label, 500 + number).save(tmp_path / "others" / label / f"{number}.png")
    (tmp_path / "new.jpg").write_bytes(min((tmp_path / "photos").rglob("*.*")).read_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"no photograph")
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    torch.manual_seed(0)
    namespace: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) > 10
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), namespace)
    assert namespace["logits"].shape == (2, 5)
    assert sorted(set(namespace["labels"])) == ["blobs", "stripes"]


HOME = PAGE.parents[1]


@pytest.mark.parametrize(
    "page", [*HOME.glob("*.md"), *(HOME / "docs").glob("*.md")], ids=lambda page: page.name
)
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target
