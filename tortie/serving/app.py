"""The HTTP API of a classifier: ``/predict``, ``/model``, ``/health``, ``/ready``, ``/metrics``."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tortie import __version__
from tortie.invalid_values import expected_value
from tortie.serving.body import BodyReader, check_header
from tortie.serving.guard import Guard, refused
from tortie.serving.limits import Access, Limits, Refusal
from tortie.serving.multipart import FIELDS, Upload
from tortie.serving.pages import add_pages
from tortie.serving.schema import ModelDocument, PredictedPhotograph, Refused, Status
from tortie.serving.service import Answer, Question, Service
from tortie.text import json_text

_QUERY = {"reject_below", "activation_map"}
_BINARY = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    name: {"type": "array", "items": _BINARY, "minItems": 1} for name in FIELDS
                },
                "minProperties": 1,
                "additionalProperties": False,
            }
        },
        "image/*": {"schema": _BINARY},
        "application/octet-stream": {"schema": _BINARY},
    },
}
_REASONS = {
    400: "Malformed, or without a photograph.",
    401: "No token, or a wrong one.",
    403: "Asked by a page of another site.",
    408: "The body came too slowly.",
    413: "Too many bytes, pixels or photographs.",
    415: "Not an image of a format that is read.",
    421: "The server does not go by that name.",
    422: "A photograph that is damaged, or an invalid value.",
    503: "Still loading, or the queue is full: Retry-After says when to come back.",
}
_PLAIN_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_GONE = 499  # as nginx logs it; nobody is there to read it


def make_app(service: Service, limits: Limits, access: Access, reject_below: float) -> FastAPI:
    """The application.

    Args:
        service: the classifier; it is started and closed with the application.
        limits: of a request.
        access: who may ask.
        reject_below: where a request says nothing, photographs whose highest probability is below
            this get no label.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title=f"tortie: {service.name}",
        version=__version__,
        description="Predicts the class of photographs, with calibrated probabilities.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": Refused, "description": _REASONS[code]} for code in (403, 421)},
    )
    app.add_middleware(Guard, access=access)
    add_handlers(app)
    _add_state(app, service)
    _add_predict(app, service, BodyReader(limits), limits, reject_below)
    add_pages(app)
    return app


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Refused, "description": _REASONS[code]} for code in codes}


def add_handlers(app: FastAPI) -> None:
    """Make every error of an application JSON with its reason."""

    @app.exception_handler(Refusal)
    async def refuse(request: Request, error: Refusal) -> Response:
        return refused(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        value = repr(first["input"])[:60]
        reason = f"{first['loc'][-1]} is {value}: {expected_value(first)}"
        return refused(Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, reason))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return refused(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the server"))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        answer = refused(Refusal(HTTPStatus(error.status_code), str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer


def _add_state(app: FastAPI, service: Service) -> None:
    """Whether the server lives and is ready, what it counts, and what it serves."""

    @app.get("/health", summary="Whether the server lives", response_model=Status)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/ready", summary="Whether the classifier is loaded", response_model=Status,
        responses=_refusals(503),
    )  # fmt: skip
    async def ready() -> dict[str, str]:
        assert service.classifier
        return {"status": "ready"}

    @app.get(
        "/model", summary="What the classifier is, and how good", response_model=ModelDocument,
        responses=_refusals(401, 503),
    )  # fmt: skip
    async def model() -> Response:
        return Response(json_text(service.model()), media_type="application/json")

    @app.get(
        "/metrics", summary="Counters for Prometheus", response_class=Response,
        responses={**_refusals(401), 200: {"content": _PLAIN_TEXT}},
    )  # fmt: skip
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_predict(
    app: FastAPI, service: Service, reader: BodyReader, limits: Limits, default_reject: float
) -> None:
    """Predictions of the photographs of a request."""

    @app.post(
        "/predict", summary="Predict the class of photographs",
        response_model=list[PredictedPhotograph],
        responses=_refusals(400, 401, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": _BODY},
    )  # fmt: skip
    async def predict(
        request: Request,
        reject_below: Annotated[
            float | None, Query(ge=0, le=1, description="Give no label below this probability.")
        ] = None,
        activation_map: Annotated[
            bool, Query(description="Tell where the network looked, too.")
        ] = False,
    ) -> Response:
        begin = time.perf_counter()
        status = 500
        try:
            unknown = sorted(request.query_params.keys() - _QUERY)
            if unknown:
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"no parameter {unknown[0][:60]!r}")
            service.check_room()
            async with reader.uploads(request) as uploads:
                reasons = await _reasons(uploads, limits.pixels)
                if len(reasons) == len(uploads):
                    response = _all_refused(uploads, reasons)
                else:
                    below = default_reject if reject_below is None else reject_below
                    answers = await _answers(request, service, uploads, reasons, activation_map)
                    response = _told(uploads, reasons, answers, below, activation_map)
            status = response.status_code
        except Refusal as refusal:
            status = refusal.status
            raise
        except ClientDisconnect:
            status = _GONE
            service.metrics.gone()
            return Response(status_code=400)
        finally:
            service.metrics.request(status, time.perf_counter() - begin)
        return response


async def _reasons(uploads: Sequence[Upload], pixels: int) -> dict[int, Refusal]:
    """Why photographs are refused before their turn, by position."""
    reasons: dict[int, Refusal] = {}
    for number, upload in enumerate(uploads):
        try:
            await check_header(upload.content, pixels)
        except Refusal as refusal:
            reasons[number] = refusal
    return reasons


async def _answers(
    request: Request,
    service: Service,
    uploads: Sequence[Upload],
    reasons: dict[int, Refusal],
    activation_map: bool,
) -> dict[int, Answer]:
    """What the classifier says, by position.

    Raises:
        Refusal: the queue is full.
        ClientDisconnect: the client has gone; its photographs are taken out of the queue.
    """
    asked = [number for number in range(len(uploads)) if number not in reasons]
    futures = service.ask([Question(uploads[number].content, activation_map) for number in asked])
    all_answers: asyncio.Future[list[Answer]] = asyncio.gather(*futures)
    all_answers.add_done_callback(_forget)  # asyncio reports an error that nobody asks for
    gone = asyncio.ensure_future(request.receive())  # after the body, it tells only of the end
    try:
        both: set[asyncio.Future[Any]] = {all_answers, gone}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not all_answers.done():
            raise ClientDisconnect
        return dict(zip(asked, all_answers.result(), strict=True))
    finally:
        gone.cancel()
        all_answers.cancel()


def _forget(answers: "asyncio.Future[Any]") -> None:
    """Ask for an error, or for its cancellation, of which its client is not told any more."""
    if not answers.cancelled():
        answers.exception()


def _told(
    uploads: Sequence[Upload],
    reasons: dict[int, Refusal],
    answers: dict[int, Answer],
    reject_below: float,
    activation_map: bool,
) -> Response:
    """The answer in the words of ``predict --json``."""
    document: list[dict[str, Any]] = []
    for number, upload in enumerate(uploads):
        if number in reasons:
            document.append({"path": upload.name, "reason": reasons[number].reason})
            continue
        answer = answers[number]
        document.append(answer.prediction.rejecting(reject_below).document(upload.name))
        if activation_map and not answer.prediction.reason:
            seen = answer.activation_map
            document[-1]["activation_map"] = None if seen is None else asdict(seen)
    if all(one.get("reason") for one in document):
        late = Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, document[0]["reason"])
        return _all_refused(uploads, {0: late, **reasons}, document)
    return Response(json_text(document), media_type="application/json")


def _all_refused(
    uploads: Sequence[Upload],
    reasons: dict[int, Refusal],
    document: Sequence[dict[str, Any]] | None = None,
) -> Response:
    """The refusal of a request of which no photograph can be read."""
    first = reasons[0]
    if len(uploads) == 1:
        return refused(first)
    told = document or [
        {"path": upload.name, "reason": reasons[number].reason}
        for number, upload in enumerate(uploads)
    ]
    whole = Refusal(first.status, f"none of {len(uploads)} photographs can be read")
    return refused(whole, photographs=list(told))
