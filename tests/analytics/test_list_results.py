"""Asking for kept results: by pages, and by what the caller may see."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import HUMAN, MACHINE, FixedDecoder, analyzing, decoding, key
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2 as types


@pytest.fixture
async def stub(tmp_path):
    """Analytics that has seen frames 0 to 4 of two cameras; 51 steps of brightness apart."""
    decoder = FixedDecoder(
        {sequence: np.full((4, 6, 3), 51 * sequence, np.uint8) for sequence in range(5)}
    )
    results = tmp_path / "results.sqlite"
    async with (
        decoding(decoder) as address,
        analyzing({"brightness": Brightness()}, decoder=address, results=results) as (stub, _),
    ):
        for camera in ("gate", "yard"):
            for sequence in range(5):
                await stub.Analyze(
                    pb.AnalyzeRequest(
                        key=key(sequence, camera), options=pb.AnalyzeOptions(view=MACHINE)
                    )
                )
        yield stub


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def pages(stub, **query):
    request, seen = pb.ListResultsRequest(**query), []
    while True:
        answer = await stub.ListResults(request)
        seen.append([(one.key.camera, one.key.sequence) for one in answer.analyses])
        if not answer.next_page_token:
            return seen
        request.page_token = answer.next_page_token


async def test_pages_hold_every_picture_once(stub):
    assert await pages(stub, cameras=["yard"], page_size=2) == [
        [("yard", 0), ("yard", 1)],
        [("yard", 2), ("yard", 3)],
        [("yard", 4)],
    ]
    newest = await pages(stub, page_size=4, newest_first=True)
    assert [len(page) for page in newest] == [4, 4, 2]
    assert len({one for page in newest for one in page}) == 10


async def test_a_filter_answers_with_nothing_of_another_camera_label_or_score(stub):
    answer = await stub.ListResults(
        pb.ListResultsRequest(cameras=["gate"], labels=["bright"], minimum_score=0.6)
    )
    assert [one.key for one in answer.analyses] == [key(3), key(4)]
    assert await pages(stub, labels=["dark"]) == [[]]
    assert await pages(stub, cameras=["door"]) == [[]]
    assert await pages(stub, view=HUMAN) == [[]]
    assert len((await pages(stub, view=MACHINE))[0]) == 10


async def test_a_kept_result_tells_when_it_was_stored_and_not_how_long_it_took(stub):
    answer = await stub.ListResults(pb.ListResultsRequest(page_size=1))
    (one,) = answer.analyses
    assert one.HasField("store_time")
    assert not one.HasField("statistics")
    assert (one.height, one.width, one.view) == (4, 6, 1.0)
    assert one.results[0].version == "1"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cameras": ["no camera"]}, "a camera's name"),
        ({"minimum_score": 1.5}, "minimum score"),
        ({"view": types.View(number=2)}, "view"),
        ({"page_token": "***"}, "page token is damaged"),
        ({"page_token": "AAAA"}, "page token was not made"),
        ({"capture_time": types.TimeRange(start=Timestamp(seconds=2**62))}, "a time"),
    ],
)
async def test_what_a_request_gets_wrong_is_named(stub, wrong, words):
    code, details = await refused(stub.ListResults(pb.ListResultsRequest(**wrong)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in details


async def test_a_page_token_belongs_to_its_query(stub):
    first = await stub.ListResults(pb.ListResultsRequest(page_size=1))
    other = pb.ListResultsRequest(cameras=["gate"], page_token=first.next_page_token)
    code, details = await refused(stub.ListResults(other))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "other conditions" in details


async def test_what_was_missed_cannot_be_listed_where_results_are_not_kept():
    async with analyzing({"brightness": Brightness()}, decoder="127.0.0.1:1") as (stub, _):
        code, _ = await refused(stub.ListMissed(pb.ListMissedRequest()))
    assert code is grpc.StatusCode.UNIMPLEMENTED
