"""Scripts, styles and pieces of HTML of this package, read as they are or filled in."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined


@cache
def text(room: str, name: str) -> str:
    """A packaged file, such as ``text("browser", "page.css")``."""
    return files(f"tortie.{room}").joinpath(name).read_text("utf-8")


def render(room: str, name: str, filters: dict[str, Any] | None = None, **values: Any) -> str:
    """A packaged template, filled in; values are escaped.

    Args:
        room: that the template is in; it may take pieces of any room, as ``browser/parts.html.j2``.
        name: of the template.
        filters: of Jinja, by name.
        values: by name.
    """
    environment = Environment(
        loader=FunctionLoader(lambda path: text(*path.split("/"))), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(filters or {})
    return environment.get_template(f"{room}/{name}").render(**values)
