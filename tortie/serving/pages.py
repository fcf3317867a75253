"""The page where a classifier is tried, and the description of the API: packaged, in memory.

No folder is served: each address is one file of the package, read when the server starts.
"""

import json
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

_HTML = "text/html; charset=utf-8"
_FILES = {
    "/": ("page.html", _HTML),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


def add_pages(app: FastAPI) -> None:
    """Add the page at ``/``, what it needs, and ``/docs``."""
    for path, (name, kind) in _FILES.items():
        _add(app, path, files("tortie.serving").joinpath(name).read_bytes(), kind)
    _add(app, "/docs", docs_page(app.openapi()).encode(), _HTML)


def _add(app: FastAPI, path: str, content: bytes, kind: str) -> None:
    async def page() -> Response:
        return Response(content, media_type=kind)

    app.add_api_route(path, page, include_in_schema=False)


def docs_page(document: dict[str, Any]) -> str:
    """An OpenAPI document as one page without a script.

    Args:
        document: OpenAPI 3.1.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    source = files("tortie.serving").joinpath("docs.html.j2").read_text("utf-8")
    return environment.from_string(source).render(api=document)
