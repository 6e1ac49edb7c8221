"""Turn domain errors into gRPC statuses, by one table."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError

from ugicm.v1.types_pb2 import Failure
from ugicm_codec import errors as codec_errors
from ugicm_servicekit import errors

__all__ = [
    "CODEC_STATUS",
    "STATUS",
    "StatusInterceptor",
    "StatusTable",
    "failure_of",
    "leaves",
    "or_failure",
]

_log = logging.getLogger(__name__)

# Statuses travel as HTTP/2 headers, of which gRPC takes 8 KiB in all, and some bytes take three.
_MAX_MESSAGE_BYTES = 1024

StatusTable: TypeAlias = Mapping[type[Exception], grpc.StatusCode]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Behaviour: TypeAlias = Callable[[Any, Any], Any]
_Result = TypeVar("_Result")

CODEC_STATUS: StatusTable = {
    codec_errors.NotAStream: grpc.StatusCode.INVALID_ARGUMENT,
    codec_errors.UnsupportedVersion: grpc.StatusCode.INVALID_ARGUMENT,
    codec_errors.StreamTooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    codec_errors.TruncatedStream: grpc.StatusCode.DATA_LOSS,
    codec_errors.TrailingBytes: grpc.StatusCode.DATA_LOSS,
    codec_errors.CorruptStream: grpc.StatusCode.DATA_LOSS,
    codec_errors.LatentsMismatch: grpc.StatusCode.DATA_LOSS,
    codec_errors.UnknownModel: grpc.StatusCode.FAILED_PRECONDITION,
    codec_errors.BadModelFile: grpc.StatusCode.FAILED_PRECONDITION,
    codec_errors.WrongModel: grpc.StatusCode.FAILED_PRECONDITION,
    codec_errors.UnusableDevice: grpc.StatusCode.FAILED_PRECONDITION,
    codec_errors.InexactArithmetic: grpc.StatusCode.FAILED_PRECONDITION,
    codec_errors.BadImage: grpc.StatusCode.INVALID_ARGUMENT,
    codec_errors.ImageTooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    codec_errors.BadQuality: grpc.StatusCode.INVALID_ARGUMENT,
    codec_errors.BadView: grpc.StatusCode.INVALID_ARGUMENT,
    codec_errors.BudgetTooSmall: grpc.StatusCode.INVALID_ARGUMENT,
}

# Every service's table begins with this one.
STATUS: StatusTable = {
    **CODEC_STATUS,
    errors.BadRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotReady: grpc.StatusCode.UNAVAILABLE,
    errors.Stopping: grpc.StatusCode.UNAVAILABLE,
    errors.Unreachable: grpc.StatusCode.UNAVAILABLE,
}

_CODE_OF_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def leaves(root: type[Exception]) -> set[type[Exception]]:
    """Return the classes under ``root`` that have no subclass: what a table must cover."""
    children = root.__subclasses__()
    return set().union(*map(leaves, children)) if children else {root}


def failure_of(error: Exception, table: StatusTable, *, method: str) -> Failure:
    """Return what the caller of ``method`` is told of ``error``.

    An error that the table does not know, or knows as INTERNAL, is a mistake of ours: its
    traceback is logged, and the caller does not get its text.
    """
    code = next(
        (table[kind] for kind in type(error).__mro__ if kind in table), grpc.StatusCode.INTERNAL
    )
    if code is grpc.StatusCode.INTERNAL:
        _log.error("%s failed", method, exc_info=error)
        return Failure(code=code.value[0], message="internal error")
    message = _one_line(str(error))
    _log.info("%s refused: %s: %s", method, code.name, message)
    failure = Failure(code=code.value[0], message=message)
    # Overloaded has it, and so have errors of the services that waiting may mend.
    retry_after_seconds = getattr(error, "retry_after_seconds", None)
    if retry_after_seconds is not None:
        failure.retry_after_seconds = retry_after_seconds
    return failure


async def or_failure(
    work: Awaitable[_Result], table: StatusTable, *, method: str
) -> _Result | Failure:
    """Return what one item of a stream of requests comes to, or why it failed."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - the outermost layer of an item
        return failure_of(error, table, method=method)


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """End calls whose handler raises with the status that the table gives.

    grpc's own AbortError passes, and so does cancellation, which is no Exception.
    """

    def __init__(self, table: StatusTable) -> None:
        self._table = table

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:  # grpc answers UNIMPLEMENTED
            return None
        method = str(handler_call_details.method)
        kind = f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"
        make: Callable[..., _Handler] = getattr(grpc, f"{kind}_rpc_method_handler")
        # Requests arrive here as bytes: a failure inside grpc's own parsing would be UNKNOWN.
        parse = handler.request_deserializer
        read = _parse_each if handler.request_streaming else _parse
        return make(
            self._guard(getattr(handler, kind), partial(read, parse), method),
            response_serializer=handler.response_serializer,
        )

    def _guard(self, behaviour: _Behaviour, read: Callable[[Any], Any], method: str) -> _Behaviour:
        async def awaited(request: Any, context: Any) -> Any:
            try:
                return await behaviour(read(request), context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the outermost layer of a call
                await self._abort(error, context, method)

        async def iterated(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async with aclosing(behaviour(read(request), context)) as responses:
                    async for response in responses:
                        yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the outermost layer of a call
                await self._abort(error, context, method)

        return iterated if inspect.isasyncgenfunction(behaviour) else awaited

    async def _abort(self, error: Exception, context: Any, method: str) -> NoReturn:
        failure = failure_of(error, self._table, method=method)
        metadata: tuple[tuple[str, str], ...] = ()
        if failure.HasField("retry_after_seconds"):
            # The name that gRPC's own retries obey.
            milliseconds = round(1000 * failure.retry_after_seconds)
            metadata = (("grpc-retry-pushback-ms", str(milliseconds)),)
        await context.abort(_CODE_OF_NUMBER[failure.code], failure.message, metadata)
        raise AssertionError("abort returned")


def _one_line(text: str) -> str:
    line = " ".join(text.split()).encode(errors="replace")
    return line[:_MAX_MESSAGE_BYTES].decode(errors="ignore")


def _parse(parse: Callable[[bytes], Any] | None, request: bytes) -> Any:
    if parse is None:
        return request
    try:
        return parse(request)
    except DecodeError as error:
        raise errors.BadRequest("the bytes are not the message that this method takes") from error


async def _parse_each(
    parse: Callable[[bytes], Any] | None, requests: AsyncIterable[bytes]
) -> AsyncIterator[Any]:
    async for request in requests:
        yield _parse(parse, request)


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"
