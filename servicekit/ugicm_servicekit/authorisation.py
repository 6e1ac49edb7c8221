"""Let in who has a token, to what the token's role may do."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from ugicm_servicekit.calls import name_caller
from ugicm_servicekit.errors import CallError, Unauthenticated
from ugicm_servicekit.handlers import Handler, around
from ugicm_servicekit.roles import OPEN, STREAMED, Rule, rule_for
from ugicm_servicekit.tokens import Token, TokenFile

__all__ = ["METADATA_KEY", "SCHEME", "Authorisation", "check_item"]

METADATA_KEY = "authorization"
SCHEME = "Bearer "


@dataclass(frozen=True)
class _Permit:
    """What the running call may ask for, and how long."""

    token: Token
    rule: Rule
    tokens: TokenFile

    def check(self, request: Any) -> None:
        self.rule(self.token.caller, request)

    def check_token(self) -> None:
        self.tokens.check(self.token)


_permit: contextvars.ContextVar[_Permit | None] = contextvars.ContextVar(
    "ugicm_permit", default=None
)


def check_item(request: Any) -> None:
    """See that the running call may ask for this item of its stream of requests.

    Servicers call it for each item: only they can answer one item and go on with the others.

    Raises:
        NotPermitted: its caller may not.
    """
    permit = _permit.get()
    if permit is not None:  # None: no tokens are required
        permit.check(request)


class Authorisation(grpc.aio.ServerInterceptor):
    """Ends calls without a valid token, and those that the token's role may not make.

    Both are refused before any of the request is read. A token that expires, or is withdrawn,
    ends its streams at their next message: the next request, where the client streams them, so
    that what was accepted before is still answered; else the next response.

    The handlers inside take their requests as streams, of one where a method takes one: ``Shares``
    sees to it.

    Args:
        tokens: that are known.
    """

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of one call, or put a refusal in its place."""
        details: Any = handler_call_details
        method = str(details.method)
        if method in OPEN:
            return await continuation(handler_call_details)
        caller = ""
        try:
            token = self._tokens.identify(_presented(details.invocation_metadata))
            caller = token.caller.name
            handler = await continuation(handler_call_details)
            if handler is None:
                return None  # grpc answers UNIMPLEMENTED
            permit = _Permit(token, rule_for(token.caller, method), self._tokens)
        except CallError as error:
            return grpc.stream_stream_rpc_method_handler(_refusing(error, caller))
        streamed = method in STREAMED

        @asynccontextmanager
        async def permitted(requests: Any, context: Any) -> AsyncIterator[Any]:
            name_caller(caller)
            _permit.set(permit)
            yield _while_valid(requests, permit) if streamed else _checked(requests, permit)

        return around(
            handler,
            permitted,
            before_response=_nothing if streamed else permit.check_token,
            request_deserializer=handler.request_deserializer,
            request_streaming=True,
        )


def _presented(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the token that a call carries.

    Raises:
        Unauthenticated: it carries none.
    """
    values = [str(value) for key, value in metadata if key == METADATA_KEY]
    if len(values) != 1 or not values[0].startswith(SCHEME):
        raise Unauthenticated(f"a call needs the metadata {METADATA_KEY}: {SCHEME}TOKEN")
    return values[0].removeprefix(SCHEME)


def _refusing(error: CallError, caller: str) -> Callable[[Any, Any], Awaitable[None]]:
    async def refuse(requests: Any, context: Any) -> None:
        name_caller(caller)
        raise error

    return refuse


async def _checked(requests: Any, permit: _Permit) -> AsyncIterator[Any]:
    async for request in requests:
        permit.check(request)
        yield request


async def _while_valid(requests: Any, permit: _Permit) -> AsyncIterator[Any]:
    async for request in requests:
        permit.check_token()
        yield request


def _nothing() -> None:
    pass
