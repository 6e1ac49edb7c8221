from __future__ import annotations

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ugicm.v1 import types_pb2
from ugicm_codec.bitstream import StreamInfo
from ugicm_codec.errors import BadView
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.streams import model_to_wire, stream_info_to_wire
from ugicm_servicekit.wire import (
    FrameKey,
    key_from_wire,
    key_to_wire,
    nanoseconds_from_wire,
    nanoseconds_to_wire,
    view_from_wire,
    view_to_wire,
)


@pytest.mark.parametrize(
    ("message", "view"),
    [
        (types_pb2.View(preset=types_pb2.VIEW_PRESET_HUMAN), 0.0),
        (types_pb2.View(preset=types_pb2.VIEW_PRESET_MACHINE), 1.0),
        (types_pb2.View(number=0.0), 0.0),
        (types_pb2.View(number=0.3), 0.3),
        (view_to_wire("machine"), 1.0),
        (view_to_wire(0.7), 0.7),
    ],
)
def test_a_view_comes_by_name_or_number(message, view):
    assert view_from_wire(message) == view


@pytest.mark.parametrize(
    "message",
    [
        types_pb2.View(),
        types_pb2.View(preset=types_pb2.VIEW_PRESET_UNSPECIFIED),
        types_pb2.View(preset=77),  # type: ignore[arg-type]
        types_pb2.View(number=1.01),
        types_pb2.View(number=-0.01),
        types_pb2.View(number=math.nan),
    ],
)
def test_a_view_that_nobody_chose_is_refused(message):
    with pytest.raises(BadView):
        view_from_wire(message)


def test_every_preset_of_the_contract_is_known():
    for number in types_pb2.ViewPreset.values():
        if number != types_pb2.VIEW_PRESET_UNSPECIFIED:
            view_from_wire(types_pb2.View(preset=number))


def test_a_frame_key_survives_the_wire():
    key = FrameKey("gate-1.north_side", 2**64 - 1, 2**64 - 1)
    assert key_from_wire(key_to_wire(key)) == key


def test_frame_keys_sort_in_the_order_of_frames():
    keys = [FrameKey("gate", 2, 0), FrameKey("gate", 1, 10), FrameKey("gate", 1, 2)]
    assert sorted(keys) == keys[::-1]


@pytest.mark.parametrize("camera", ["", "a/b", "a b", "gate\n", "é", "a" * 129])
def test_a_bad_camera_name_is_refused(camera):
    with pytest.raises(BadRequest, match="a camera's name has"):
        key_from_wire(types_pb2.FrameKey(camera=camera))


def test_times_keep_their_nanoseconds():
    assert nanoseconds_from_wire(nanoseconds_to_wire(1_700_000_000_123_456_789)) == (
        1_700_000_000_123_456_789
    )


@pytest.mark.parametrize(
    "message",
    [
        Timestamp(seconds=10**15),
        Timestamp(nanos=-1),
        Timestamp(nanos=10**9),
        Timestamp(seconds=2**63 // 10**9 + 1),
        Timestamp(seconds=-(2**63) // 10**9 - 1),
    ],
)
def test_a_time_out_of_range_is_refused(message):
    with pytest.raises(BadRequest, match="a time"):
        nanoseconds_from_wire(message)


def test_what_a_header_says_goes_on_the_wire():
    info = StreamInfo(
        version=1, latents_id=b"12345678", height=2, width=4, quality_step=3, num_bytes=100
    )
    assert stream_info_to_wire(info) == types_pb2.StreamInfo(
        version=1,
        latents_id=b"12345678",
        height=2,
        width=4,
        quality_step=3,
        num_bytes=100,
        bits_per_pixel=100.0,
    )


def test_what_a_model_file_says_goes_on_the_wire():
    from ugicm_codec import ModelInfo

    model = ModelInfo(
        name="default",
        backbone="bmshj2018",
        latents_id=b"12345678",
        sha256="ab" * 32,
        quality_steps=6,
        channels=64,
        latent_channels=96,
        training={},
    )
    assert model_to_wire(model) == types_pb2.Model(
        name="default",
        backbone="bmshj2018",
        latents_id=b"12345678",
        sha256="ab" * 32,
        num_quality_steps=6,
    )
