"""Read what a request's address asks for."""

from __future__ import annotations

import math

from starlette.requests import Request

from ugicm.v1 import types_pb2
from ugicm_codec.views import parse_view
from ugicm_console.wire import time_from_json
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.wire import FrameKey, check_camera

__all__ = [
    "flag",
    "frame_key",
    "number",
    "optional_number",
    "time_range",
    "view_of",
    "whole_number",
]

_FLAGS = {"true": True, "false": False}
_MOST = 2**64 - 1


def flag(request: Request, name: str) -> bool:
    """Return ``true`` or ``false``, false where it is not given.

    Raises:
        BadRequest: it is neither.
    """
    text = request.query_params.get(name, "false")
    if text not in _FLAGS:
        raise BadRequest(f"{name} is true or false, got {text[:40]!r}")
    return _FLAGS[text]


def optional_number(request: Request, name: str) -> float | None:
    """Return a finite number; None where it is not given.

    Raises:
        BadRequest: it is none.
    """
    text = request.query_params.get(name) or None
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequest(f"{name} is a number, got {text[:40]!r}")
    return value


def number(request: Request, name: str) -> float:
    """Return a finite number.

    Raises:
        BadRequest: it is none, or not given.
    """
    value = optional_number(request, name)
    if value is None:
        raise BadRequest(f"{name} is missing")
    return value


def whole_number(text: str, name: str, *, most: int = _MOST) -> int:
    """Return a whole number from 0 to ``most``.

    Raises:
        BadRequest: it is none.
    """
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else -1
    if not 0 <= value <= most:
        raise BadRequest(f"{name} is a whole number from 0 to {most}, got {text[:40]!r}")
    return value


def view_of(request: Request) -> float:
    """Return the view asked for.

    Raises:
        BadRequest: none is.
        BadView: it is not from 0 to 1.
    """
    return parse_view(number(request, "view"))


def frame_key(request: Request) -> FrameKey:
    """Return the frame that the path names.

    Raises:
        BadRequest: it cannot name one.
    """
    parts = request.path_params
    check_camera(parts["camera"])
    return FrameKey(
        parts["camera"],
        whole_number(parts["epoch"], "an epoch"),
        whole_number(parts["sequence"], "a sequence"),
    )


def time_range(request: Request) -> types_pb2.TimeRange | None:
    """Return the time between ``start``, included, and ``end``; None where neither is given.

    Raises:
        BadRequest: one of them is no time.
    """
    start, end = optional_number(request, "start"), optional_number(request, "end")
    if start is None and end is None:
        return None
    return types_pb2.TimeRange(
        start=None if start is None else time_from_json(start),
        end=None if end is None else time_from_json(end),
    )
