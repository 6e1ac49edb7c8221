"""What a browser is told of every error that a request to the console can end with."""

from __future__ import annotations

import math
from collections.abc import Mapping

import grpc
from starlette.responses import JSONResponse, Response

from ugicm.v1.types_pb2 import Failure
from ugicm_client.errors import PictureTooLarge, UnreadablePicture
from ugicm_console import errors
from ugicm_servicekit.errors import BadAnswer
from ugicm_servicekit.status import STATUS, StatusTable, failure_of

__all__ = ["CONSOLE_STATUS", "HTTP_STATUS", "answer_to", "told"]

CONSOLE_STATUS: StatusTable = {
    **STATUS,
    BadAnswer: grpc.StatusCode.UNKNOWN,
    PictureTooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    UnreadablePicture: grpc.StatusCode.INVALID_ARGUMENT,
    errors.SessionExpired: grpc.StatusCode.UNAUTHENTICATED,
    errors.ForgedRequest: grpc.StatusCode.PERMISSION_DENIED,
    errors.UnknownPath: grpc.StatusCode.NOT_FOUND,
    errors.WrongMethod: grpc.StatusCode.UNIMPLEMENTED,
    errors.UnknownUpload: grpc.StatusCode.NOT_FOUND,
    errors.UploadTooLarge: grpc.StatusCode.OUT_OF_RANGE,
    errors.TooManyStreams: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotConfigured: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.RequestRefused: grpc.StatusCode.INVALID_ARGUMENT,
    errors.StreamDamaged: grpc.StatusCode.DATA_LOSS,
    errors.NotPossible: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ServiceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServiceTooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.ServiceFailed: grpc.StatusCode.UNKNOWN,
}

# The status of HTTP, and the word that the page reads.
HTTP_STATUS: Mapping[grpc.StatusCode, tuple[int, str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: (400, "invalid_argument"),
    grpc.StatusCode.UNAUTHENTICATED: (401, "unauthenticated"),
    grpc.StatusCode.PERMISSION_DENIED: (403, "permission_denied"),
    grpc.StatusCode.NOT_FOUND: (404, "not_found"),
    grpc.StatusCode.UNIMPLEMENTED: (405, "method_not_allowed"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "failed_precondition"),
    grpc.StatusCode.OUT_OF_RANGE: (413, "too_large"),
    grpc.StatusCode.DATA_LOSS: (422, "data_loss"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "resource_exhausted"),
    grpc.StatusCode.INTERNAL: (500, "internal"),
    grpc.StatusCode.UNKNOWN: (502, "internal"),
    grpc.StatusCode.UNAVAILABLE: (503, "unavailable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (504, "deadline_exceeded"),
}

# What the page tells apart where gRPC has one word for both.
_WORD_OF: Mapping[type[Exception], str] = {
    errors.SessionExpired: "session_expired",
    errors.ForgedRequest: "csrf",
}

_STATUS_OF_NUMBER = {code.value[0]: answer for code, answer in HTTP_STATUS.items()}


def told(error: Exception, *, route: str) -> tuple[int, dict[str, object]]:
    """Return the status and the words for ``error``, which is logged, in one line, and counted.

    Args:
        error: what a request, or a stream of events, ended with.
        route: the request's, for the log.
    """
    failure: Failure = failure_of(error, CONSOLE_STATUS, method=route)
    status, word = _STATUS_OF_NUMBER[failure.code]
    retry_after_seconds = (
        failure.retry_after_seconds if failure.HasField("retry_after_seconds") else None
    )
    return status, {
        "code": _WORD_OF.get(type(error), word),
        "message": failure.message,
        "retry_after_seconds": retry_after_seconds,
    }


def answer_to(error: Exception, *, route: str) -> Response:
    """Return the response that ``error`` ends a request with."""
    status, words = told(error, route=route)
    wait = words["retry_after_seconds"]
    headers = {"Retry-After": str(math.ceil(wait))} if isinstance(wait, float) else {}
    return JSONResponse({"error": words}, status, headers)
