"""Put something around the handlers of methods, whatever their arity."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeAlias

import grpc

__all__ = ["Around", "Handler", "around", "behaviour_of"]

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# Takes the request (or requests) and the context, and yields what the handler gets for requests.
Around: TypeAlias = Callable[[Any, Any], AbstractAsyncContextManager[Any]]


def behaviour_of(handler: Handler) -> Callable[[Any, Any], Any]:
    """Return the function that answers the method's calls."""
    behaviour: Callable[[Any, Any], Any] = getattr(handler, _kind(handler))
    return behaviour


def around(
    handler: Handler,
    manager: Around,
    *,
    before_response: Callable[[], None] = lambda: None,
    request_deserializer: Callable[[bytes], Any] | None,
    request_streaming: bool,
    response_serializer: Callable[[Any], bytes] | None = None,
) -> Handler:
    """Return a handler whose every call runs inside of what ``manager`` returns for it.

    Args:
        handler: the method's handler.
        manager: sees the errors of the call, and may raise others.
        before_response: called before each response of a method that streams them; may raise.
        request_deserializer: what ``manager`` gets is made by this; None: bytes.
        request_streaming: whether ``manager`` gets an iterator of requests or one request.
        response_serializer: makes bytes of responses; None: the handler's.
    """
    behaviour = behaviour_of(handler)

    async def awaited(requests: Any, context: Any) -> Any:
        async with manager(requests, context) as given:
            return await behaviour(given, context)

    async def iterated(requests: Any, context: Any) -> AsyncIterator[Any]:
        async with (
            manager(requests, context) as given,
            aclosing(behaviour(given, context)) as responses,
        ):
            async for response in responses:
                before_response()
                yield response

    make: Callable[..., Handler] = getattr(
        grpc,
        f"{_arity(request_streaming)}_{_arity(handler.response_streaming)}_rpc_method_handler",
    )
    return make(
        iterated if inspect.isasyncgenfunction(behaviour) else awaited,
        request_deserializer=request_deserializer,
        response_serializer=response_serializer or handler.response_serializer,
    )


def _kind(handler: Handler) -> str:
    return f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"
