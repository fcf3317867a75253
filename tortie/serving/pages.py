"""The page where a classifier is tried, and the description of the API: packaged, in memory.

No folder is served: each address is one file of the package, read when the server starts.
"""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

from tortie.browser.parts import render, text

HTML = "text/html; charset=utf-8"
_CSS = "text/css; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
STYLE = "/page.css"
SCRIPTS = {
    "/camera.js": ("browser", "camera.js"),
    "/answers.js": ("browser", "answers.js"),
    "/photographs.js": ("browser", "photographs.js"),
    "/page.js": ("serving", "page.js"),
}
"""Scripts of the page, in the order in which they are run: address, room and name."""


def add_pages(app: FastAPI) -> None:
    """Add the page at ``/``, what it needs, and ``/docs``."""
    add_page(app, "/", render("serving", "page.html.j2", scripts=list(SCRIPTS)), SCRIPTS)
    add_file(app, "/docs", docs_page(app.openapi()), HTML)


def add_page(app: FastAPI, path: str, html: str, scripts: dict[str, tuple[str, str]]) -> None:
    """Add a page with the shared style, and its scripts."""
    add_file(app, path, html, HTML)
    add_file(app, STYLE, text("browser", "page.css"), _CSS)
    for address, (room, name) in scripts.items():
        add_file(app, address, text(room, name), _SCRIPT)


def add_file(app: FastAPI, path: str, content: str, kind: str) -> None:
    """Answer one address with this text, and no other."""

    async def page() -> Response:
        return Response(content.encode(), media_type=kind)

    app.add_api_route(path, page, include_in_schema=False)


def docs_page(document: dict[str, Any]) -> str:
    """An OpenAPI document as one page without a script.

    Args:
        document: OpenAPI 3.1.
    """
    filters = {"pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False)}
    return render("serving", "docs.html.j2", filters, api=document)
