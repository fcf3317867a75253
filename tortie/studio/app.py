"""The HTTP side of the studio: what the page asks for, with the guards of the server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from tortie import __version__
from tortie.browser.parts import render, text
from tortie.errors import TortieError, UsageError
from tortie.serving.app import add_handlers
from tortie.serving.body import BodyReader, check_header
from tortie.serving.guard import Guard, refused
from tortie.serving.limits import Access, Limits, Refusal
from tortie.serving.pages import STYLE, add_file, add_page
from tortie.studio.studio import Studio
from tortie.text import json_text

_SCRIPTS = {
    "/camera.js": ("browser", "camera.js"),
    "/answers.js": ("browser", "answers.js"),
    "/studio.js": ("studio", "studio.js"),
    "/studio-live.js": ("studio", "studio-live.js"),
}
_OPEN = frozenset({"/", STYLE, "/studio.css", *_SCRIPTS, "/health"})
_REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
Result = TypeVar("Result")


class Named(BaseModel):
    """A class, by its name."""

    name: str = Field(max_length=200)


class Renamed(Named):
    """A class and its new name."""

    to: str = Field(max_length=200)


class Chosen(BaseModel):
    """Photographs, and for some requests a class."""

    keys: list[str] = Field(max_length=10_000)
    label: str = Field(default="", max_length=200)


def make_studio_app(studio: Studio, limits: Limits, access: Access) -> FastAPI:
    """The application.

    Args:
        studio: what it shows; it is started and closed with the application.
        limits: of a request.
        access: who may ask.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        studio.start()
        yield
        await asyncio.to_thread(studio.close)

    app = FastAPI(
        title="tortie studio", version=__version__, lifespan=lifespan, docs_url=None,
        redoc_url=None, openapi_url=None,
    )  # fmt: skip
    app.add_middleware(Guard, access=access, open_paths=_OPEN)
    add_handlers(app)

    @app.exception_handler(UsageError)
    async def wrong(request: Request, error: UsageError) -> Response:
        return refused(Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)))

    @app.exception_handler(TortieError)
    async def failed(request: Request, error: TortieError) -> Response:
        return refused(Refusal(HTTPStatus.INSUFFICIENT_STORAGE, str(error)))

    html = render("studio", "studio.html.j2", scripts=list(_SCRIPTS), most_bytes=limits.body_bytes)
    add_page(app, "/", html, _SCRIPTS)
    add_file(app, "/studio.css", text("studio", "studio.css"), "text/css; charset=utf-8")
    _add_folder(app, studio, BodyReader(limits), limits)
    _add_tests(app, studio, BodyReader(limits), limits)
    _add_results(app, studio)
    return app


async def _json(work: Callable[[], Any]) -> Response:
    """What some work gives, in a thread, as JSON."""
    return Response(json_text(await asyncio.to_thread(work)), media_type="application/json")


def _add_folder(app: FastAPI, studio: Studio, reader: BodyReader, limits: Limits) -> None:
    """The classes and their photographs: to see, and to change."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/api/state")
    async def state() -> Response:
        return await _json(studio.state)

    @app.post("/api/look")
    async def look() -> Response:
        return await _json(studio.look)

    @app.post("/api/classes")
    async def add_class(asked: Named) -> Response:
        return await _json(lambda: studio.changed(studio.folder.add_class, asked.name))

    @app.post("/api/classes/rename")
    async def rename(asked: Renamed) -> Response:
        return await _json(lambda: studio.changed(studio.folder.rename_class, asked.name, asked.to))

    @app.post("/api/classes/remove")
    async def remove_class(asked: Named) -> Response:
        return await _json(lambda: studio.changed(studio.folder.remove_class, asked.name))

    @app.post("/api/photographs")
    async def add(
        request: Request,
        label: Annotated[str, Query(max_length=200)],
        burst: Annotated[str | None, Query(pattern="^[0-9a-z]{1,32}$")] = None,
    ) -> Response:
        async with reader.uploads(request) as uploads:
            refusals = []
            for upload in uploads:
                try:
                    await check_header(upload.content, limits.pixels)
                except Refusal as refusal:
                    refusals.append({"path": upload.name, "reason": refusal.reason})
                    continue
                await asyncio.to_thread(studio.folder.add, label, upload.content, burst)
            return await _json(lambda: studio.look() | {"refused": refusals})

    @app.post("/api/move")
    async def move(asked: Chosen) -> Response:
        return await _json(lambda: studio.move(asked.keys, asked.label))

    @app.post("/api/remove")
    async def remove(asked: Chosen) -> Response:
        return await _json(lambda: studio.remove(asked.keys))

    @app.get("/api/thumbnail/{key}")
    async def small(key: str) -> Response:
        return await _json(lambda: {"image": studio.thumbnail(key)})


def _add_tests(app: FastAPI, studio: Studio, reader: BodyReader, limits: Limits) -> None:
    """The test area, and photographs to label."""

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        async with reader.uploads(request) as uploads:
            for upload in uploads:
                await check_header(upload.content, limits.pixels)
            contents = [upload.content for upload in uploads]
            found = await asyncio.to_thread(studio.teacher.predict, contents)
            told = [one.document(own.name) for one, own in zip(found, uploads, strict=True)]
            return Response(json_text(told), media_type="application/json")

    @app.get("/api/unlabelled")
    async def unlabelled() -> Response:
        return await _json(studio.to_label)

    @app.post("/api/label")
    async def label(asked: Chosen) -> Response:
        return await _json(lambda: studio.label(asked.keys, asked.label))


def _add_results(app: FastAPI, studio: Studio) -> None:
    """What is taken home: the classifier, the page, the report."""

    def attached(content: bytes, kind: str, name: str) -> Response:
        return Response(
            content, media_type=kind,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )  # fmt: skip

    @app.get("/api/classifier")
    async def classifier() -> Response:
        content = await asyncio.to_thread(studio.classifier_file)
        return attached(content, "application/octet-stream", "classifier.safetensors")

    @app.get("/api/page")
    async def page() -> Response:
        content = await asyncio.to_thread(studio.page_file)
        return attached(content, "text/html; charset=utf-8", "classifier.html")

    @app.get("/api/report")
    async def report() -> Response:
        content = await asyncio.to_thread(studio.report_file)
        return Response(
            content, media_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": _REPORT_POLICY},
        )  # fmt: skip
