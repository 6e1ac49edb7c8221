"""Know a browser again: what it showed when it signed in, and until when that holds."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ugicm_console.errors import ForgedRequest, SessionExpired
from ugicm_console.metrics import SESSIONS
from ugicm_servicekit.errors import NotPermitted, Unauthenticated
from ugicm_servicekit.roles import Caller, rule_for
from ugicm_servicekit.tokens import Token, TokenFile

__all__ = ["Session", "Sessions"]

_NUM_BYTES = 32
# Whoever may not do this has nothing to see here.
_LEAST = "/ugicm.v1.DecoderService/ListCameras"


@dataclass(eq=False)
class Session:
    """One browser, signed in.

    Attributes:
        name: the secret in the browser's cookie.
        csrf: what its page repeats with every request that changes something.
        secret: the token to show to the services; None where they ask for none.
        token: what the token file says of it.
        ends: when it ends however much it is used, on the clock of ``Sessions``.
        used: when it was last used.
        num_streams: how many pages follow events.
    """

    name: str = field(repr=False)
    csrf: str = field(repr=False)
    secret: str | None = field(repr=False)
    token: Token | None
    ends: float
    used: float
    num_streams: int = 0

    @property
    def caller(self) -> Caller | None:
        """Whose session it is; None where nobody signs in."""
        return None if self.token is None else self.token.caller

    def may(self, method: str) -> bool:
        """Tell whether the services let the session's role call a method at all."""
        if self.caller is None:
            return True
        try:
            rule_for(self.caller, method)
        except NotPermitted:
            return False
        return True

    def check(self, method: str, request: Any) -> None:
        """See that the role allows the request, also where the services behind ask for no tokens.

        Raises:
            NotPermitted: it does not.
        """
        if self.caller is not None:
            rule_for(self.caller, method)(self.caller, request)

    def check_csrf(self, presented: str | None) -> None:
        """See that a request comes from the page that this session was given.

        Raises:
            ForgedRequest: it does not.
        """
        if presented is None or not hmac.compare_digest(presented.encode(), self.csrf.encode()):
            raise ForgedRequest("the request lacks the session's X-CSRF-Token: load the page again")


class Sessions:
    """The sessions of all browsers, in memory: a restart signs everybody out.

    Args:
        tokens: that may sign in; None: nobody has to.
        lifetime_seconds: of a session that is used all the time.
        idle_seconds: of one that is not used.
        max_sessions: one more ends the one that was idle longest.
        ended: is told of each session that ends.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        tokens: TokenFile | None,
        *,
        lifetime_seconds: float,
        idle_seconds: float,
        max_sessions: int,
        ended: Callable[[Session], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._lifetime_seconds = lifetime_seconds
        self._idle_seconds = idle_seconds
        self._max_sessions = max_sessions
        self._ended = ended
        self._clock = clock
        # In the order of their last use.
        self._sessions: dict[str, Session] = {}
        SESSIONS.set_function(lambda: len(self._sessions))

    @property
    def need_tokens(self) -> bool:
        """Whether browsers sign in."""
        return self._tokens is not None

    def sign_in(self, secret: str) -> Session:
        """Begin a session with a token.

        Raises:
            Unauthenticated: the token is unknown, or has expired; or none is asked for here.
            NotPermitted: its role may not look at frames.
        """
        if self._tokens is None:
            raise Unauthenticated("nobody signs in here: the console runs without tokens")
        token = self._tokens.identify(secret)
        rule_for(token.caller, _LEAST)
        return self._begin(secret, token)

    def begin(self) -> Session:
        """Begin a session of nobody.

        Raises:
            SessionExpired: browsers have to sign in.
        """
        if self._tokens is not None:
            raise SessionExpired("sign in first")
        return self._begin(None, None)

    def find(self, name: str | None) -> Session:
        """Return the session of a cookie, and note that it is used.

        Raises:
            SessionExpired: there is none, or it has ended.
        """
        session = None if name is None else self._sessions.get(name)
        if session is None:
            raise SessionExpired("there is no session, or it has ended: sign in again")
        self.check(session)
        return session

    def check(self, session: Session) -> None:
        """See that a session goes on, and note that it is used.

        Raises:
            SessionExpired: it has ended, or its token was withdrawn or has expired.
        """
        now = self._clock()
        if self._sessions.get(session.name) is not session:
            raise SessionExpired("the session has ended: sign in again")
        if now >= session.ends or now >= session.used + self._idle_seconds:
            self.end(session)
            raise SessionExpired("the session has ended: sign in again")
        if session.token is not None and self._tokens is not None:
            try:
                self._tokens.check(session.token)
            except Unauthenticated as error:
                self.end(session)
                raise SessionExpired(str(error)) from error
        session.used = now
        self._sessions[session.name] = self._sessions.pop(session.name)

    def end(self, session: Session) -> None:
        """Forget a session."""
        if self._sessions.pop(session.name, None) is not None:
            self._ended(session)

    def remaining_seconds(self, session: Session) -> float:
        """Return how long a session lasts if it is not used again."""
        return max(0.0, min(session.ends, session.used + self._idle_seconds) - self._clock())

    def _begin(self, secret: str | None, token: Token | None) -> Session:
        now = self._clock()
        for oldest in list(self._sessions.values()):
            is_over = now >= oldest.used + self._idle_seconds
            if not is_over and len(self._sessions) < self._max_sessions:
                break
            self.end(oldest)
        session = Session(
            name=secrets.token_urlsafe(_NUM_BYTES),
            csrf=secrets.token_urlsafe(_NUM_BYTES),
            secret=secret,
            token=token,
            ends=now + self._lifetime_seconds,
            used=now,
        )
        self._sessions[session.name] = session
        return session
