"""The pages of docs/studies: ``python -m tortie.experiments.documentation RUNS docs/studies``.

Each ``NAME.study`` in RUNS becomes ``NAME.md`` with its figures and ``NAME.json``, its result.
"""

import sys
from pathlib import Path

from tortie.experiments.intervals import overall
from tortie.experiments.study_pages import page
from tortie.experiments.study_result import Result, load_result
from tortie.files import replacing
from tortie.text import utf8

_FIGURES = {"figure.svg": ".svg", "figure-dark.svg": "-dark.svg"}


def document(result: Result) -> str:
    """The page of a study, with links to the figures beside it."""
    name = result.study.name
    text = page(result, f"{name}.svg", f"{name}-dark.svg")
    return text + f"\nAll measured values: [{name}.json]({name}.json).\n"


def contents(results: list[Result]) -> str:
    """The page that lists all studies."""
    rows = "\n".join(
        f"| [{one.study.name}]({one.study.name}.md) | {one.study.claim} | {one.verdict} "
        f"| {_minutes(one)} |"
        for one in results
    )
    slowest = max(results, key=lambda one: one.study.scales["quick"].minutes or 0)
    counts = {
        verdict: sum(overall(one.decided) == verdict for one in results)
        for verdict in ("held", "did not hold", "undecided at this scale")
    }
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"""# Studies

Claims of the papers and lectures, each an experiment that `tortie study NAME` runs in minutes.
{summary}. Seeds begin at 101: lower ones were seen while the
studies were written, and count for nothing. Minutes are of the scale `quick`, on two cores with
AVX2; the slowest is `{slowest.study.name}`. Written by `make studies`.

| study | claim | verdict | minutes |
|---|---|---|---:|
{rows}
"""


def _minutes(result: Result) -> str:
    minutes = result.study.scales["quick"].minutes
    return "" if minutes is None else f"{minutes:g}"


def main(runs: Path, docs: Path) -> None:
    """Write the pages of all studies that were run.

    Raises:
        TortieError: a result that cannot be read, or a folder that cannot be written.
    """
    from tortie.studies import find, names

    results = []
    docs.mkdir(parents=True, exist_ok=True)
    for name in names():
        folder = runs / f"{name}.study"
        if (folder / "result.json").exists():
            result = load_result(folder / "result.json", find(name))
            _copy(folder / "result.json", docs / f"{name}.json")
            for source, ending in _FIGURES.items():
                _copy(folder / source, docs / f"{name}{ending}")
            _write(docs / f"{name}.md", document(result))
        if (docs / f"{name}.json").exists():
            results.append(load_result(docs / f"{name}.json", find(name)))
    _write(docs / "README.md", contents(results))


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as file:
        file.write(source.read_bytes())


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(utf8(text))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
