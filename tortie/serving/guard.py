"""Who may ask: the token, and no other site's page through a browser of one who may.

A page of another site can send requests to an address on this machine (cross-site), and can have
its own name point here (rebinding). Browsers say which page asks, in ``Origin`` and
``Sec-Fetch-Site``, and which name was looked up, in ``Host``. An address as ``Host`` cannot be
rebound: nothing is looked up.
"""

import hmac
import ipaddress
import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tortie.serving.limits import Access, Refusal
from tortie.serving.pages import SCRIPTS, STYLE

OPEN = frozenset({"/", STYLE, *SCRIPTS, "/docs", "/openapi.json", "/health", "/ready"})
"""Paths that need no token: they tell nothing of the classifier."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def refused(refusal: Refusal, **more: Any) -> Response:
    """The answer to a request that is refused: JSON with the reason."""
    body = json.dumps({"error": refusal.reason, **more})
    return Response(body, refusal.status, refusal.headers, "application/json")


class Guard:
    """Lets through who may ask, and sets the headers that every answer has.

    Args:
        app: what answers.
        access: who may ask.
        open_paths: that need no token.
    """

    def __init__(self, app: ASGIApp, access: Access, open_paths: frozenset[str] = OPEN) -> None:
        self._app = app
        self._access = access
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not _is_ours(host, self._access.hosts):
            raise Refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this server does not go by that name: --allow-host NAME allows it",
            )
        origin = headers.get("origin")
        if origin is not None and not _is_same(origin, host):
            raise Refusal(HTTPStatus.FORBIDDEN, "a page of another site may not ask")
        site = headers.get("sec-fetch-site", "none")
        if scope["method"] not in ("GET", "HEAD") and site not in ("none", "same-origin"):
            raise Refusal(HTTPStatus.FORBIDDEN, "a page of another site may not ask")
        if self._access.token is not None and scope["path"] not in self._open:
            _check_token(headers.get("authorization", ""), self._access.token)


def _check_token(authorization: str, token: str) -> None:
    kind, _, given = authorization.partition(" ")
    right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    if kind.lower() != "bearer" or not right:
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "no token, or a wrong one: send Authorization: Bearer TOKEN",
            WWW_Authenticate="Bearer",
        )


def _is_ours(host: str, names: frozenset[str]) -> bool:
    """Whether ``NAME[:PORT]`` is an address, ``localhost`` or a name that was allowed."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    """Whether a page of ``SCHEME://HOST[:PORT]`` came from the host that is asked."""
    scheme, separator, rest = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and rest.lower() == host.lower()
