"""Cursors outlive the process that made them, so their bytes are fixed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ugicm_decoder import cursors
from ugicm_decoder.errors import BadCursor
from ugicm_decoder.store import FrameQuery
from ugicm_servicekit.wire import FrameKey

STORE = SimpleNamespace(id=b"storename"[:8], newest_position=1000)


def test_cursor_bytes_are_fixed():
    cursor = bytes.fromhex("01 73746f72656e616d 0000000000000102")
    assert cursors.cursor_from_position(STORE, 258) == cursor
    assert cursors.position_from_cursor(STORE, cursor) == 258


def test_a_cursor_of_another_store_is_refused():
    other = SimpleNamespace(id=bytes(8), newest_position=1000)
    with pytest.raises(BadCursor, match="0000000000000000"):
        cursors.position_from_cursor(STORE, cursors.cursor_from_position(other, 1))


def test_a_page_goes_on_behind_its_key():
    query, key = FrameQuery("gate", epoch=3), FrameKey("gate", 3, 2**64 - 1)
    assert cursors.key_from_token(query, cursors.key_to_token(query, key)) == key
    assert cursors.key_from_token(query, "") is None


@pytest.mark.parametrize("token", ["ß", "a", "AAAA\n", "////", "_w=="])
def test_damaged_tokens_are_refused(token):
    with pytest.raises(BadCursor):
        cursors.key_from_token(FrameQuery("gate"), token)


@pytest.mark.parametrize("token", ["a", "_w=="])
def test_damaged_camera_tokens_are_refused(token):
    with pytest.raises(BadCursor):
        cursors.camera_from_token(token)
