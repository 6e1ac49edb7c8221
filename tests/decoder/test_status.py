"""Every error a call can raise has one status."""

from __future__ import annotations

from ugicm_codec.errors import CodecError
from ugicm_decoder.errors import StoreError
from ugicm_decoder.status import DECODER_STATUS
from ugicm_servicekit.errors import CallError
from ugicm_servicekit.status import leaves


def test_every_error_a_handler_can_raise_has_a_status():
    expected = leaves(CodecError) | leaves(CallError) | leaves(StoreError)
    assert set(DECODER_STATUS) == expected
