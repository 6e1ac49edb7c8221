"""Turn domain errors into gRPC statuses, by one table."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError

from ugicm.v1.types_pb2 import Failure
from ugicm_codec import errors as codec_errors
from ugicm_servicekit import errors, metrics
from ugicm_servicekit.audit import AUDITED, AuditLog
from ugicm_servicekit.calls import Call, begin_call, current_call
from ugicm_servicekit.handlers import Handler, around
from ugicm_servicekit.refusals import Refusals
from ugicm_servicekit.roles import GRANTS, OPEN

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
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    errors.ReloadFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_CODE_OF_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def leaves(root: type[Exception]) -> set[type[Exception]]:
    """Return the classes under ``root`` that have no subclass: what a table must cover."""
    children = root.__subclasses__()
    return set().union(*map(leaves, children)) if children else {root}


def failure_of(error: Exception, table: StatusTable, *, method: str) -> Failure:
    """Return what the caller of ``method`` is told of ``error``.

    An error that the table does not know, or knows as INTERNAL, is a mistake of ours: its
    traceback is logged, and the caller does not get its text. The refusal is counted, and written
    to the audit log where the caller was not let in.
    """
    code = next(
        (table[kind] for kind in type(error).__mro__ if kind in table), grpc.StatusCode.INTERNAL
    )
    call = current_call()
    call.refusals.add(call.method, code)
    reason = type(error).__name__
    metrics.REFUSALS.labels(call.method.removeprefix("/"), code.name, reason).inc()
    if code is grpc.StatusCode.INTERNAL:
        _log.error("%s failed", method, exc_info=error)
        return Failure(code=code.value[0], message="internal error")
    message = _one_line(str(error))
    if code in AUDITED:
        call.audit.refused(call, code, message)
    else:
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

    Args:
        table: the status of every error that a handler may raise.
        refusals: where each refusal is counted.
    """

    def __init__(self, table: StatusTable, refusals: Refusals) -> None:
        self._table = table
        self._refusals = refusals
        self._audit = AuditLog()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:  # grpc answers UNIMPLEMENTED
            return None
        method = str(handler_call_details.method)
        # Callers choose the names of methods; what is counted has names of ours.
        counted = method if method in GRANTS or method in OPEN else "unknown"
        # Requests arrive here as bytes: a failure inside grpc's own parsing would be UNKNOWN.
        parse = handler.request_deserializer
        read = partial(_parse_each if handler.request_streaming else _parse, parse)

        @asynccontextmanager
        async def guarded(requests: Any, context: Any) -> AsyncIterator[Any]:
            begin_call(Call(counted, context.peer(), refusals=self._refusals, audit=self._audit))
            try:
                yield read(requests)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the outermost layer of a call
                await self._abort(error, context, method)

        return around(
            handler,
            guarded,
            request_deserializer=None,
            request_streaming=handler.request_streaming,
        )

    async def _abort(self, error: Exception, context: Any, method: str) -> NoReturn:
        failure = failure_of(error, self._table, method=method)
        metadata: tuple[tuple[str, str], ...] = ()
        if failure.HasField("retry_after_seconds"):
            # The name that gRPC's own retries obey.
            milliseconds = round(1000 * failure.retry_after_seconds)
            metadata = (("grpc-retry-pushback-ms", str(milliseconds)),)
        try:
            await context.abort(_CODE_OF_NUMBER[failure.code], failure.message, metadata)
        except grpc.aio.AbortError as aborted:
            # The context keeps the error, and the error's frames the context: some 200 objects that
            # would wait for a garbage collection, which stops every call.
            context.add_done_callback(partial(_forget_frames, aborted))
            raise
        raise AssertionError("abort returned")


def _forget_frames(raised: BaseException | None, context: Any) -> None:
    while raised is not None:
        raised.__traceback__ = None
        raised = raised.__context__


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
