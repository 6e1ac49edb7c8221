"""Where a reader goes on: opaque to it, and checked when it comes back."""

from __future__ import annotations

import base64
import binascii
import struct
from hashlib import sha256

from ugicm_decoder.errors import BadCursor
from ugicm_decoder.store import FrameQuery, FrameStore
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "camera_from_token",
    "camera_to_token",
    "cursor_from_position",
    "key_from_token",
    "key_to_token",
    "position_from_cursor",
]

# Format number, the store's id, position.
_CURSOR = struct.Struct(">B8sQ")
# Format number, digest of the query, epoch, sequence.
_FRAMES_TOKEN = struct.Struct(">B8sQQ")
_FORMAT = 1


def cursor_from_position(store: FrameStore, position: int) -> bytes:
    """Return the cursor behind ``position``."""
    return _CURSOR.pack(_FORMAT, store.id, position)


def position_from_cursor(store: FrameStore, cursor: bytes) -> int:
    """Return the position that ``cursor`` stands behind.

    Raises:
        BadCursor: it is damaged, of another store, or ahead of this one.
    """
    if len(cursor) != _CURSOR.size or cursor[0] != _FORMAT:
        raise BadCursor("the cursor was not made by a decoder of this version")
    _, store_id, position = _CURSOR.unpack(cursor)
    if store_id != store.id:
        raise BadCursor(
            f"the cursor belongs to store {store_id.hex()}, this is store {store.id.hex()}"
        )
    if position > store.newest_position:
        raise BadCursor(
            f"the cursor stands at {position}, the store ends at {store.newest_position}: "
            "was it restored from a copy?"
        )
    return int(position)


def key_to_token(query: FrameQuery, key: FrameKey) -> str:
    """Return the token of the page that begins behind ``key``."""
    return _to_text(_FRAMES_TOKEN.pack(_FORMAT, _digest(query), key.epoch, key.sequence))


def key_from_token(query: FrameQuery, token: str) -> FrameKey | None:
    """Return the key that the page begins behind; None for the first page.

    Raises:
        BadCursor: the token is damaged, or of another query.
    """
    if not token:
        return None
    data = _from_text(token)
    if len(data) != _FRAMES_TOKEN.size or data[0] != _FORMAT:
        raise BadCursor("the page token was not made by a decoder of this version")
    _, digest, epoch, sequence = _FRAMES_TOKEN.unpack(data)
    if digest != _digest(query):
        raise BadCursor("the page token belongs to a query with other conditions")
    return FrameKey(query.camera, epoch, sequence)


def camera_to_token(camera: str) -> str:
    """Return the token of the page that begins behind ``camera``."""
    return _to_text(camera.encode())


def camera_from_token(token: str) -> str:
    """Return the camera that the page begins behind; empty for the first page.

    Raises:
        BadCursor: the token is damaged.
    """
    try:
        return _from_text(token).decode()
    except UnicodeDecodeError as error:
        raise BadCursor("the page token is damaged") from error


def _digest(query: FrameQuery) -> bytes:
    return sha256(repr(query).encode()).digest()[:8]


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _from_text(token: str) -> bytes:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadCursor("the page token is damaged") from error
