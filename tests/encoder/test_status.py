"""Every error a call can raise has one status."""

from __future__ import annotations

from ugicm_codec.errors import CodecError
from ugicm_encoder.errors import CodingProcessEnded, EncoderError, SpoolUnusable
from ugicm_encoder.status import ENCODER_STATUS
from ugicm_servicekit.errors import CallError
from ugicm_servicekit.status import leaves


def test_every_error_a_handler_can_raise_has_a_status():
    expected = leaves(CodecError) | leaves(CallError) | leaves(EncoderError)
    # They end the start of the process; later a picture is coded without the one that ended.
    expected -= {CodingProcessEnded, SpoolUnusable}
    assert set(ENCODER_STATUS) == expected
