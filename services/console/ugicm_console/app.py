"""Every address that the console answers at, and what all of its answers have in common."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ugicm_console.access import Access
from ugicm_console.errors import UnknownPath, WrongMethod
from ugicm_console.events import Events
from ugicm_console.findings import Findings
from ugicm_console.frames import Frames
from ugicm_console.metrics import REQUEST_SECONDS, REQUESTS
from ugicm_console.requests import ClientDisconnect
from ugicm_console.sessions import Session
from ugicm_console.status import answer_to
from ugicm_console.system import System
from ugicm_console.uploads import Uploads
from ugicm_servicekit.addresses import join_address
from ugicm_servicekit.audit import AuditLog
from ugicm_servicekit.calls import Call, begin_call, name_caller
from ugicm_servicekit.refusals import Refusals

__all__ = ["STATIC", "make_app"]

STATIC = Path(__file__).parent / "static"

_Answer: TypeAlias = Callable[[Request], Awaitable[Response]]
_SignedIn: TypeAlias = Callable[[Request, Session], Awaitable[Response]]

_FRAME = "/api/frames/{camera}/{epoch}/{sequence}"
_UPLOAD = "/api/uploads/{upload}"
# What nginx writes of a browser that did not wait for its answer.
_GONE = 499

# Scripts and styles from this console's own files only; pictures also from memory.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ENCRYPTED_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}


def make_app(
    access: Access,
    *,
    frames: Frames,
    findings: Findings,
    uploads: Uploads,
    events: Events,
    system: System,
    is_encrypted: bool,
) -> ASGIApp:
    """Return the whole console.

    Args:
        access: checks each request, and answers for sessions.
        frames: answers for what the decoder has.
        findings: answers for what analytics finds.
        uploads: answers for users' own pictures.
        events: tells of what happens.
        system: answers for the services' state.
        is_encrypted: whether it is served with TLS.
    """
    routes = _Routes(access)
    signed_in = routes.signed_in

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    listed: list[BaseRoute] = [
        routes.open("GET", "/", page),
        routes.open("GET", "/api/session", access.show),
        routes.open("POST", "/api/session", access.sign_in),
        signed_in("DELETE", "/api/session", access.sign_out),
        signed_in("GET", "/api/cameras", frames.cameras),
        signed_in("GET", "/api/cameras/{camera}/frames", frames.frames),
        signed_in("GET", _FRAME, frames.frame),
        signed_in("GET", f"{_FRAME}/picture", frames.picture),
        signed_in("GET", f"{_FRAME}/stream", frames.stream),
        signed_in("GET", f"{_FRAME}/analysis", findings.of_frame),
        signed_in("GET", "/api/analyzers", findings.analyzers),
        signed_in("GET", "/api/results", findings.results),
        signed_in("POST", "/api/uploads", uploads.add),
        signed_in("GET", "/api/uploads", uploads.uploads),
        signed_in("DELETE", _UPLOAD, uploads.remove),
        signed_in("GET", f"{_UPLOAD}/original", uploads.original),
        signed_in("GET", f"{_UPLOAD}/jpeg", uploads.jpeg),
        signed_in("GET", f"{_UPLOAD}/stream", uploads.stream),
        signed_in("GET", f"{_UPLOAD}/picture", uploads.picture),
        signed_in("GET", f"{_UPLOAD}/analysis", uploads.analysis),
        signed_in("GET", "/api/events", events.follow),
        signed_in("GET", "/api/status", system.status),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(routes=listed, exception_handlers={HTTPException: routes.unknown})
    headers = {**_HEADERS, **(_ENCRYPTED_HEADERS if is_encrypted else {})}
    return _with_headers(app, headers)


class _Routes:
    """Makes routes whose requests are checked, counted, and answered whatever happens."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._refusals = Refusals()
        self._audit = AuditLog()

    def signed_in(self, method: str, path: str, answer: _SignedIn) -> Route:
        """Return a route for browsers that have a session."""

        async def checked(request: Request) -> Response:
            session = self._access.session_of(request)
            if session.caller is not None:
                name_caller(session.caller.name)
            return await answer(request, session)

        return self.open(method, path, checked)

    def open(self, method: str, path: str, answer: _Answer) -> Route:
        """Return a route for any browser that knows the console by its name."""
        name = f"{method} {path}"

        async def endpoint(request: Request) -> Response:
            started = time.perf_counter()
            self._begin(request, name)
            try:
                self._access.check_origin(request)
                response = await answer(request)
            except ClientDisconnect:
                response = Response(status_code=_GONE)
            except Exception as error:  # noqa: BLE001 - the outermost layer of a request
                response = answer_to(error, route=name)
            response.headers.setdefault("Cache-Control", "no-store")
            REQUESTS.labels(name, str(response.status_code)).inc()
            REQUEST_SECONDS.labels(name).observe(time.perf_counter() - started)
            return response

        return Route(path, endpoint, methods=[method])

    async def unknown(self, request: Request, error: Exception) -> Response:
        """Answer a request that has no route."""
        self._begin(request, "unknown")
        is_method = isinstance(error, HTTPException) and error.status_code == 405
        refusal: Exception = UnknownPath(f"there is nothing at {request.url.path[:200]!r}")
        if is_method:
            refusal = WrongMethod(f"{request.url.path[:200]!r} does not take {request.method}")
        return answer_to(refusal, route="unknown")

    def _begin(self, request: Request, name: str) -> None:
        client = request.client
        peer = "" if client is None else join_address(client.host, client.port)
        begin_call(Call(name, peer, refusals=self._refusals, audit=self._audit))


def _with_headers(app: ASGIApp, headers: dict[str, str]) -> ASGIApp:
    """Return ``app`` with headers on each of its answers; its own files are asked for anew."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent.update(headers)
                sent.setdefault("Cache-Control", "no-cache")
            await send(message)

        await app(scope, receive, send_on)

    return answer
