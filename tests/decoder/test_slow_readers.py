"""A reader that stops: its call holds little, others are served, and it goes on where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.decoder.harness import HUMAN, frame, order, pictures, ready, request, started
from tests.fake_codec import FakeCodec, picture
from ugicm.v1 import decoder_pb2 as pb
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_servicekit.channel import connect

_SIDE = 1024
_NUM_VIEWS = 32
# All views of a stalled call, if it were answered into memory.
_ANSWER_BYTES = 3 * _SIDE**2 * _NUM_VIEWS


def resident_bytes(process):
    return 4096 * int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])


def decode(stub, asked):
    return stub.Decode(asked)


def decode_stream(stub, asked):
    """Ask for each view by an item of its own."""
    items = [
        pb.DecodeStreamRequest(request_id=number, request=order(stream=asked.stream, views=[view]))
        for number, view in enumerate(asked.views)
    ]
    return stub.DecodeStream(iter(items))


async def views_of(*read, rest):
    """Return the pixels of every view in an answer, of which some parts have been read."""
    answers: list[list[pb.DecodeResponse]] = [[]]
    for part in [*read, *[part async for part in rest]]:
        response = part.response if isinstance(part, pb.DecodeStreamResponse) else part
        answers[-1].append(response)
        if response.WhichOneof("part") == "statistics":
            answers.append([])
    return [pixels for answer in answers[:-1] for pixels in pictures(answer).pixels]


@pytest.mark.parametrize("call", [decode, decode_stream])
async def test_memory_is_bounded_while_a_reader_stops_and_cameras_stream(tmp_path, call):
    codec = FakeCodec()
    large = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    asked = order(stream=codec.encode(large), views=[HUMAN] * _NUM_VIEWS)
    small = codec.encode(picture())
    store = f"--store={tmp_path / 'frames.sqlite'}"
    flags = ("--port=0", store, "--views-cache-bytes=0", f"--max-views={_NUM_VIEWS}")
    async with (
        started("-m", "tests.decoder.fake_service", *flags) as (process, address),
        connect(address) as stalled_channel,
        connect(address) as channel,
    ):
        await ready(channel)
        stub = DecoderServiceStub(channel)
        # What the process takes once it has done all of this before.
        await views_of(rest=stub.Decode(order(stream=asked.stream)))
        await ingest(stub, small, range(100))
        before = resident_bytes(process)

        stalled = aiter(call(DecoderServiceStub(stalled_channel), asked))
        first = await anext(stalled)
        for turn in range(1, 6):
            await ingest(stub, small, range(100 * turn, 100 * turn + 100))
            (view,) = await views_of(rest=stub.Decode(order(stream=small)))
            np.testing.assert_array_equal(view, picture())
        assert resident_bytes(process) - before < _ANSWER_BYTES / 2

        views = await views_of(first, rest=stalled)
    assert len(views) == _NUM_VIEWS
    assert not any(pixels.any() for pixels in views)


async def ingest(stub, stream, sequences):
    frames = [request(frame(stream, sequence=sequence)) for sequence in sequences]
    async for answer in stub.Ingest(iter(frames)):
        assert answer.WhichOneof("outcome") == "result"
