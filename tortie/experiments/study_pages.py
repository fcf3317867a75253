"""What a reader gets: a table, a page a study, and one page of all that reads like an article."""

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from tortie.experiments.study_result import Result, markdown_table
from tortie.files import replacing
from tortie.text import utf8


def write_pages(result: Result, folder: Path) -> None:
    """Write ``table.md`` and ``README.md``.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    _write(folder / "table.md", markdown_table(*result.table()) + "\n")
    _write(folder / "README.md", page(result, "figure.svg", "figure-dark.svg"))


def page(result: Result, figure: str, dark: str) -> str:
    """The study as Markdown.

    Args:
        result: of the study.
        figure: where its figure is.
        dark: where its figure for dark pages is.
    """
    study, size = result.study, result.study.scales[result.scale]
    again = f"tortie study {study.name}" + (" --scale full" if result.scale == "full" else "")
    findings = "\n".join(f"- {line}" for line in result.findings())
    return f"""# {study.name}

**{study.claim}**

{study.source}

**Verdict: {result.verdict}.**

<picture>
<source media="(prefers-color-scheme: dark)" srcset="{dark}">
<img alt="{study.caption}" src="{figure}">
</picture>

{study.caption}

{study.method}

{markdown_table(*result.table())}

{brackets(result)}

## Verdict

{result_rule(result)}

{findings}

## The run

- scale: {result.scale}. {size.about}
- {how(result)}
- data: {result.data["about"]}; SHA-256 `{result.data["sha256"][:16]}`
- machine: {machine_line(result)}
- versions: {versions_line(result)}
- time: {duration(result.seconds)} for {len(result.cells)} cells

    {again}
"""


def result_rule(result: Result) -> str:
    """The rule, as a paragraph."""
    from tortie.experiments.intervals import RULE

    return RULE


def brackets(result: Result) -> str:
    """What stands in brackets in the table."""
    count = len(result.seeds)
    if count == 1:
        return "One seed has no interval."
    return f"In brackets: 95% intervals over {count} seeds."


def how(result: Result) -> str:
    """The seeds, in words."""
    seeds = result.seeds
    return f"seeds: {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed: {seeds[0]}"


def machine_line(result: Result) -> str:
    """The machine, in words."""
    found = result.machine
    where = "" if found["device"] == "cpu" else f", {found['device']}"
    load = found.get("load") or 0
    busy = f", beside other work (load {load:g})" if load > found["cores"] + 1 else ""
    return f"{found['processor']}, {found['cores']} cores, {found['instructions']}{where}{busy}"


def versions_line(result: Result) -> str:
    """The versions, in words."""
    names = ("tortie", "torch", "numpy", "scikit-learn", "scikit-image")
    return f"Python {result.machine['python']}, " + ", ".join(
        f"{name} {result.machine[name]}" for name in names
    )


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def write_article(results: Sequence[Result], folders: Sequence[Path], path: Path) -> None:
    """Write one self-contained page of all studies.

    Args:
        results: in order.
        folders: of each, with its figures.
        path: of the page.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("tortie.experiments").joinpath("studies.html.j2").read_text(encoding="utf-8")
    sections = [
        {
            "result": result,
            "study": result.study,
            "light": _data(folder / "figure.svg"),
            "dark": _data(folder / "figure-dark.svg"),
            "table": result.table(),
            "machine": machine_line(result),
            "versions": versions_line(result),
            "seeds": how(result),
            "brackets": brackets(result),
            "time": duration(result.seconds),
        }
        for result, folder in zip(results, folders, strict=True)
    ]
    counts = {
        verdict: sum(one.verdict == verdict for one in results)
        for verdict in ("held", "did not hold", "undecided at this scale")
    }
    html = environment.from_string(source).render(
        sections=sections, counts=counts, time=duration(sum(one.seconds for one in results))
    )
    with replacing(path) as file:
        file.write(utf8(html))


def _data(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(utf8(text))
