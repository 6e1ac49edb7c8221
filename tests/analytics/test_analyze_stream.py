"""Analyzing as requests come."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import MACHINE, FixedDecoder, Refusal, analyzing, decoding
from ugicm.v1 import analytics_pb2 as pb


def grey(level):
    return np.full((4, 6, 3), level, np.uint8)


def item(number, stream):
    options = pb.AnalyzeOptions(view=MACHINE)
    request = pb.AnalyzeRequest(stream=stream, options=options)
    return pb.AnalyzeStreamRequest(request_id=number, request=request)


@pytest.fixture
def decoder():
    return FixedDecoder({b"%d" % level: grey(level) for level in range(0, 256, 51)})


@pytest.fixture
def brightness():
    return Brightness()


@pytest.fixture
async def analytics(decoder, brightness):
    analyzers = {"brightness": brightness}
    async with (
        decoding(decoder) as address,
        analyzing(analyzers, decoder=address, analyze_ahead=2) as running,
    ):
        yield running


def score(response):
    return response.response.analysis.results[0].classifications[0].score


async def test_answers_come_in_the_order_of_the_requests(analytics):
    stub, _ = analytics
    levels = [255, 0, 102, 51, 204, 153]
    items = [item(10 + level, b"%d" % level) for level in levels]
    answers = [response async for response in stub.AnalyzeStream(iter(items))]
    assert [answer.request_id for answer in answers] == [10 + level for level in levels]
    assert [score(answer) for answer in answers] == [level / 255 for level in levels]


async def test_an_item_that_fails_is_answered_and_the_stream_goes_on(analytics, decoder):
    stub, _ = analytics
    decoder.pictures[b"bad"] = Refusal(grpc.StatusCode.DATA_LOSS, "a checksum is wrong")
    nothing = pb.AnalyzeStreamRequest(request_id=3)
    items = [item(1, b"51"), item(2, b"bad"), nothing, item(4, b"102")]
    good, bad, empty, next_good = [one async for one in stub.AnalyzeStream(iter(items))]
    assert score(good) == 0.2
    assert (bad.request_id, bad.failure.code) == (2, grpc.StatusCode.DATA_LOSS.value[0])
    assert bad.failure.message == "a checksum is wrong"
    assert empty.failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert score(next_good) == 0.4


async def test_no_more_items_are_worked_on_than_the_settings_allow(analytics, decoder, brightness):
    stub, _ = analytics
    with brightness.holding_up():
        call = stub.AnalyzeStream(iter([item(number, b"51") for number in range(6)]))
        await brightness.until_held_up()
        # Others are answered meanwhile, so the server has had the time to read on.
        await stub.ListAnalyzers(pb.ListAnalyzersRequest())
        assert len(decoder.decoded) <= 2
    assert [one.request_id async for one in call] == list(range(6))


async def test_a_stream_ends_when_the_server_drains_and_what_was_taken_is_answered(analytics):
    stub, server = analytics
    call = stub.AnalyzeStream()
    await call.write(item(1, b"51"))
    assert score(await call.read()) == 0.2
    server.stop()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
