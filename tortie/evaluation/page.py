"""The templates of the HTML pages: what a value holds is text, and is seen."""

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tortie.text import shown

_BREAK = re.compile(r"(?<=[/_,;@\\-])(?=[^/_ ,;@\\-])")  # at a blank it breaks anyhow

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup


def environment() -> "Environment":
    """Jinja2, with every value escaped: as HTML, and as :func:`tortie.text.shown` does.

    A mark of direction would turn the words beside it in a page as it does in a terminal.
    """
    from jinja2 import Environment, StrictUndefined

    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=_seen,
    )  # fmt: skip
    made.filters["breakable"] = breakable
    return made


def breakable(name: str) -> "Markup":
    """A file's name that may go on in a new line after a separator, and within a word else."""
    from markupsafe import Markup, escape

    parts = _BREAK.split(shown(name))
    return Markup("<wbr>").join(escape(one) for one in parts if one)


def template(name: str, made_by: "Environment | None" = None) -> "Template":
    """A template of this folder."""
    source = files("tortie.evaluation").joinpath(name).read_text(encoding="utf-8")
    return (made_by or environment()).from_string(source)


def _seen(value: Any) -> Any:
    """A text as it may be shown; markup of ours as it is."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
