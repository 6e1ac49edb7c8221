"""Where a page begins: opaque to readers, and checked when it comes back."""

from __future__ import annotations

import base64
import binascii
import struct
from hashlib import sha256
from typing import Any

from ugicm_analytics.errors import BadPageToken

__all__ = ["read_token", "write_token"]

# Format number, digest of the query, two numbers that say where.
_TOKEN = struct.Struct(">B8sqq")
_FORMAT = 1


def write_token(query: Any, first: int, second: int = 0) -> str:
    """Return the token of a page of ``query`` that begins behind a place."""
    packed = _TOKEN.pack(_FORMAT, _digest(query), first, second)
    return base64.urlsafe_b64encode(packed).decode()


def read_token(query: Any, token: str) -> tuple[int, int] | None:
    """Return the place that a page begins behind; None for the first page.

    Raises:
        BadPageToken: the token is damaged, or of another query.
    """
    if not token:
        return None
    try:
        data = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadPageToken("the page token is damaged") from error
    if len(data) != _TOKEN.size or data[0] != _FORMAT:
        raise BadPageToken("the page token was not made by this version of analytics")
    _, digest, first, second = _TOKEN.unpack(data)
    if digest != _digest(query):
        raise BadPageToken("the page token belongs to a query with other conditions")
    return first, second


def _digest(query: Any) -> bytes:
    return sha256(repr(query).encode()).digest()[:8]
