"""Let browsers in: whose pages may ask, who signs in, and what each is told of that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ugicm_console.errors import ForgedRequest, SessionExpired
from ugicm_console.requests import body_of
from ugicm_console.services import Services
from ugicm_console.sessions import Session, Sessions
from ugicm_servicekit.addresses import is_loopback
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.settings import ListenerSettings

__all__ = ["Access", "UploadLimits", "hosts_of"]

_SAFE = frozenset({"GET", "HEAD"})
# What browsers say of requests that come from a page of ours, or from the address bar.
_OWN_SITES = frozenset({"same-origin", "none"})
_MAX_SIGN_IN_BYTES = 4096


@dataclass(frozen=True)
class UploadLimits:
    """What a page is told before it uploads."""

    max_upload_bytes: int
    max_uploads: int


class Access:
    """Checks requests before anybody answers them, and answers for the session itself.

    Args:
        sessions: of all browsers.
        services: that decide what a role may do.
        limits: on uploads.
        hosts: names that browsers may know the console by; None: any. A page of another site
            that lets its name point here (DNS rebinding) would else be of our own origin.
        is_encrypted: whether the console is served with TLS.
        request_seconds: how long a sign-in may take to arrive.
    """

    def __init__(
        self,
        sessions: Sessions,
        services: Services,
        limits: UploadLimits,
        *,
        hosts: frozenset[str] | None,
        is_encrypted: bool,
        request_seconds: float,
    ) -> None:
        self._sessions = sessions
        self._services = services
        self._limits = limits
        self._hosts = hosts
        self._is_encrypted = is_encrypted
        self._request_seconds = request_seconds
        # The prefix lets no page but one of this very host, over TLS, set it.
        self._cookie = "__Host-ugicm_session" if is_encrypted else "ugicm_session"

    def check_origin(self, request: Request) -> None:
        """See that the browser asks for a page of this console, and from one.

        Raises:
            ForgedRequest: it does not.
        """
        host = request.headers.get("host", "")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            raise ForgedRequest(
                f"this console is not known as {_name_of(host)[:80]!r}: see its setting hosts"
            )
        if request.method in _SAFE:
            return
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin")
        if site not in _OWN_SITES or (origin is not None and urlsplit(origin).netloc != host):
            raise ForgedRequest("the request comes from a page of another site")

    def session_of(self, request: Request) -> Session:
        """Return the session of a request, which may change something only with its CSRF token.

        Raises:
            SessionExpired: there is none, or it has ended.
            ForgedRequest: the token is missing or wrong.
        """
        session = self._sessions.find(request.cookies.get(self._cookie))
        if request.method not in _SAFE:
            session.check_csrf(request.headers.get("x-csrf-token"))
        return session

    async def show(self, request: Request) -> Response:
        """Tell a page whether it is signed in; where nobody signs in, it is from now on."""
        try:
            return self._told(self._sessions.find(request.cookies.get(self._cookie)))
        except SessionExpired:
            if self._sessions.need_tokens:
                return JSONResponse({"signed_in": False, "sign_in": "token"})
        session = self._sessions.begin()
        return self._with_cookie(self._told(session), session)

    async def sign_in(self, request: Request) -> Response:
        """Begin a session with the token in the request's body."""
        body = await body_of(
            request, max_bytes=_MAX_SIGN_IN_BYTES, timeout_seconds=self._request_seconds
        )
        session = self._sessions.sign_in(_token_in(body))
        return self._with_cookie(self._told(session), session)

    async def sign_out(self, request: Request, session: Session) -> Response:
        """End the session."""
        self._sessions.end(session)
        response = Response(status_code=204)
        response.delete_cookie(
            self._cookie, secure=self._is_encrypted, httponly=True, samesite="strict"
        )
        return response

    def _told(self, session: Session) -> JSONResponse:
        caller, services = session.caller, self._services
        has_encoder, has_analytics = services.encoder is not None, services.analytics is not None
        can = {
            "upload": has_encoder and session.may("/ugicm.v1.EncoderService/Encode"),
            "analyze": has_analytics and session.may("/ugicm.v1.AnalyticsService/Analyze"),
            "search": has_analytics and session.may("/ugicm.v1.AnalyticsService/ListResults"),
        }
        return JSONResponse(
            {
                "signed_in": True,
                "sign_in": "token" if self._sessions.need_tokens else "none",
                "name": None if caller is None else caller.name,
                "role": None if caller is None else caller.role.value,
                "csrf": session.csrf,
                "expires_in_seconds": self._sessions.remaining_seconds(session),
                "can": can,
                "limits": {
                    "max_upload_bytes": self._limits.max_upload_bytes,
                    "max_uploads": self._limits.max_uploads,
                },
            }
        )

    def _with_cookie(self, response: Response, session: Session) -> Response:
        response.set_cookie(
            self._cookie,
            session.name,
            path="/",
            secure=self._is_encrypted,
            httponly=True,
            samesite="strict",
        )
        return response


def hosts_of(settings: ListenerSettings, hosts: tuple[str, ...]) -> frozenset[str] | None:
    """Return the names that browsers may know the console by; None: any."""
    if hosts:
        return frozenset(hosts)
    if is_loopback(settings.host):
        return frozenset({"localhost", "127.0.0.1", "::1", settings.host})
    return None


def _name_of(host: str) -> str:
    """Return the name in a header ``Host``, which may have a port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _token_in(body: bytes) -> str:
    """Return the token that a page sends to sign in.

    Raises:
        BadRequest: the body is something else.
    """
    try:
        fields: Any = json.loads(body)
    except ValueError:
        fields = None
    token = fields.get("token") if isinstance(fields, dict) else None
    # It travels on as an HTTP/2 header, which holds nothing else.
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise BadRequest('a sign-in is {"token": "..."}, of plain characters')
    return token.strip()
