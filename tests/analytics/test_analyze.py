"""Analyzing one picture: of a frame, of a stream, or as it is."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest

from tests.analytics.analyzers import Brightness, Broken, Everything, bright
from tests.analytics.harness import (
    CAPTURE_TIME,
    HUMAN,
    MACHINE,
    MODEL_SHA256,
    FixedDecoder,
    Refusal,
    analyzing,
    decoding,
    key,
    rgb,
)
from tests.analytics.photos import photo
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import decoder_pb2
from ugicm.v1 import types_pb2 as types
from ugicm_analyzers.registry import load_analyzers

GREY = np.full((5, 7, 3), 51, np.uint8)
NOWHERE = "127.0.0.1:1"


def request(*analyzers, minimum_score=None, **source):
    options = pb.AnalyzeOptions(
        analyzers=[pb.AnalyzerChoice(name=name) for name in analyzers],
        view=source.pop("view", None if "picture" in source else MACHINE),
        minimum_score=minimum_score,
    )
    return pb.AnalyzeRequest(options=options, **source)


@pytest.fixture
def decoder():
    return FixedDecoder({7: GREY, b"a stream": GREY})


@pytest.fixture
async def stub(decoder):
    analyzers = {one.info.name: one for one in (Brightness(), Broken(), Everything())}
    async with decoding(decoder) as address, analyzing(analyzers, decoder=address) as (stub, _):
        yield stub


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_detections_are_those_of_the_library_on_the_pixels_that_the_decoder_made():
    analyzers = load_analyzers(["faces", "people"])
    pixels = photo("astronaut.png")
    servicer = FixedDecoder({7: pixels})
    async with decoding(servicer) as address, analyzing(analyzers, decoder=address) as (stub, _):
        answer = await stub.Analyze(request(key=key(7), minimum_score=0.0))
    analysis = answer.analysis
    assert (analysis.height, analysis.width) == (512, 512)
    assert [result.analyzer for result in analysis.results] == ["faces", "people"]
    for result in analysis.results:
        (findings,) = analyzers[result.analyzer].analyze([pixels], ())
        assert len(result.detections) > 0
        assert [
            (one.label, one.score, one.box.left, one.box.top, one.box.right, one.box.bottom)
            for one in result.detections
        ] == [
            (one.label, one.score, one.box.left, one.box.top, one.box.right, one.box.bottom)
            for one in findings.detections
        ]


async def test_a_frame_is_answered_with_its_key_time_view_and_model(stub):
    answer = await stub.Analyze(request("brightness", key=key(7)))
    analysis = answer.analysis
    assert analysis.key == key(7)
    assert analysis.capture_time == CAPTURE_TIME
    assert analysis.view == 1.0
    assert analysis.model_sha256 == MODEL_SHA256
    assert (analysis.height, analysis.width) == (5, 7)
    (result,) = analysis.results
    assert (result.analyzer, result.version) == ("brightness", "1")
    assert [one.score for one in result.classifications] == [51 / 255]


async def test_time_is_told_by_stage(stub):
    answer = await stub.Analyze(request("brightness", key=key(7)))
    statistics = answer.analysis.statistics
    assert statistics.decode_seconds > 0
    assert statistics.queue_seconds >= 0
    assert answer.analysis.results[0].seconds > 0


async def test_a_stream_is_decoded_for_the_view_that_is_asked_for(stub):
    machine = await stub.Analyze(request("brightness", stream=b"a stream"))
    human = await stub.Analyze(request("brightness", stream=b"a stream", view=HUMAN))
    assert machine.analysis.results[0].classifications[0].score == 51 / 255
    assert human.analysis.results[0].classifications[0].score == 0.0
    assert not human.analysis.HasField("key")


async def test_a_picture_needs_no_decoder():
    analyzers = {"brightness": Brightness()}
    async with analyzing(analyzers, decoder=NOWHERE) as (stub, _):
        answer = await stub.Analyze(request(picture=rgb(GREY)))
    analysis = answer.analysis
    assert (analysis.height, analysis.width) == (5, 7)
    assert analysis.results[0].classifications[0].score == bright(GREY).score
    assert not analysis.HasField("view")
    assert analysis.statistics.decode_seconds == 0


async def test_without_a_choice_all_run_that_need_no_labels(stub):
    answer = await stub.Analyze(request(key=key(7)))
    assert [result.analyzer for result in answer.analysis.results] == ["brightness", "broken"]


async def test_an_analyzer_that_breaks_leaves_the_others_their_results(stub, caplog):
    answer = await stub.Analyze(request("broken", "brightness", key=key(7)))
    broken, brightness = answer.analysis.results
    assert broken.failure.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in broken.failure.message
    assert "ZeroDivisionError" in caplog.text
    assert not brightness.HasField("failure")
    assert len(brightness.classifications) == 1


async def test_findings_of_every_kind_arrive_the_likeliest_first(stub):
    choice = pb.AnalyzerChoice(name="everything", labels=["cat", "dog"])
    options = pb.AnalyzeOptions(analyzers=[choice], minimum_score=0.4)
    answer = await stub.Analyze(pb.AnalyzeRequest(picture=rgb(GREY), options=options))
    (result,) = answer.analysis.results
    assert list(result.detections) == [
        pb.Detection(label="cat", score=0.75, box=pb.Box(left=1, top=0, right=2, bottom=2)),
        pb.Detection(
            label="cat",
            score=0.5,
            box=pb.Box(left=0, top=0, right=1.5, bottom=2),
            mask=pb.Mask(runs=[0, 2, 4]),
        ),
    ]
    assert list(result.classifications) == [
        pb.Classification(label="dog", score=0.6),
        pb.Classification(label="cat", score=0.4),
    ]
    assert list(result.segments) == [pb.Segment(label="dog", mask=pb.Mask(runs=[1, 5]))]


async def test_the_minimum_score_is_the_analyzers_own_where_the_request_has_none(stub):
    choice = pb.AnalyzerChoice(name="everything", labels=["cat", "dog"])
    options = pb.AnalyzeOptions(analyzers=[choice])
    answer = await stub.Analyze(pb.AnalyzeRequest(picture=rgb(GREY), options=options))
    assert [one.score for one in answer.analysis.results[0].detections] == [0.75, 0.5]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (pb.AnalyzeRequest(), "key, a stream or a picture"),
        (request("dogs" * 100_000, key=key(7)), "'dogsdogs"),
        (request("dogs", key=key(7)), "'dogs'; there are brightness, broken, everything"),
        (request("broken", "broken", key=key(7)), "broken 2 times"),
        (request("everything", key=key(7)), "needs labels"),
        (request(key=key(7), minimum_score=1.5), "minimum score"),
        (request(key=key(7), minimum_score=float("nan")), "minimum score"),
        (request(key=key(7), view=types.View()), "view"),
        (request(key=key(7), view=types.View(number=2)), "view"),
        (request(key=types.FrameKey()), "camera"),
        (request(picture=rgb(GREY), view=MACHINE), "no view"),
        (request(picture=types.Picture(format=2, data=b"no PNG")), "PNG"),
        (
            pb.AnalyzeRequest(
                picture=rgb(GREY),
                options=pb.AnalyzeOptions(
                    analyzers=[pb.AnalyzerChoice(name="broken", labels=["cat"])]
                ),
            ),
            "its own labels",
        ),
    ],
)
async def test_what_a_request_gets_wrong_is_named(stub, decoder, wrong, words):
    code, details = await refused(stub.Analyze(wrong))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in details
    assert "\n" not in details
    assert decoder.decoded == []


async def test_where_every_analyzer_needs_labels_one_is_to_be_named():
    async with analyzing({"everything": Everything()}, decoder=NOWHERE) as (stub, _):
        code, details = await refused(stub.Analyze(request(picture=rgb(GREY))))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "everything need" in details


async def test_a_picture_above_the_limit_is_refused_inline_and_decoded(decoder):
    analyzers = {"brightness": Brightness()}
    async with (
        decoding(decoder) as address,
        analyzing(analyzers, decoder=address, max_pixels=34) as (stub, _),
    ):
        for source in ({"picture": rgb(GREY)}, {"key": key(7)}):
            code, details = await refused(stub.Analyze(request(**source)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "5x7 pixels exceed 34" in details


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ],
)
async def test_what_the_decoder_refuses_is_passed_on_in_its_words(stub, decoder, code):
    decoder.pictures[7] = Refusal(code)
    assert await refused(stub.Analyze(request(key=key(7)))) == (code, "the decoder's own words")


async def test_a_full_decoder_is_passed_on_with_its_hint(stub, decoder):
    hint = (("grpc-retry-pushback-ms", "1500"),)
    decoder.pictures[7] = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, metadata=hint)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Analyze(request(key=key(7)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1500"


async def test_a_decoder_that_is_not_there_is_unavailable():
    async with analyzing({"brightness": Brightness()}, decoder=NOWHERE) as (stub, _):
        answer = await refused(stub.Analyze(request(key=key(7))))
    expected = f"the decoder at {NOWHERE} is not available"
    assert answer == (grpc.StatusCode.UNAVAILABLE, expected)


async def test_a_decoder_that_is_too_slow_is_given_up_before_the_caller_gives_up(decoder):
    decoder.gate.clear()
    analyzers = {"brightness": Brightness()}
    async with (
        decoding(decoder) as address,
        analyzing(analyzers, decoder=address, decode_seconds=0.05) as (stub, _),
    ):
        call = stub.Analyze(request(key=key(7)), timeout=30)
        code, _ = await refused(call)
        assert call.time_remaining() > 0
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


def without_statistics(parts):
    return parts[:-1]


def without_start(parts):
    return parts[1:]


def without_a_chunk(parts):
    return parts[:-2] + parts[-1:]


def with_a_chunk_too_many(parts):
    return [*parts[:-1], parts[-2], parts[-1]]


def of_another_format(parts):
    parts[1].picture.format = types.PIXEL_FORMAT_PNG
    return parts


def of_no_height(parts):
    size = {"height": 0, "width": 7, "num_bytes": 0}
    empty = decoder_pb2.PictureStart(format=types.PIXEL_FORMAT_RGB, **size)
    return [parts[0], decoder_pb2.DecodeResponse(picture=empty), parts[-1]]


@pytest.mark.parametrize(
    "spoil",
    [
        without_statistics,
        without_start,
        without_a_chunk,
        with_a_chunk_too_many,
        of_another_format,
        of_no_height,
    ],
)
async def test_an_answer_against_the_contract_is_no_picture(stub, decoder, spoil, caplog):
    whole = decoder.parts
    decoder.parts = lambda pixels, view: spoil(whole(pixels, view))
    answer = await refused(stub.Analyze(request(key=key(7))))
    assert answer == (grpc.StatusCode.INTERNAL, "internal error")
    assert "BadAnswer" in caplog.text


async def test_a_decoder_that_breaks_is_told_in_the_log_only(stub, decoder, caplog):
    decoder.pictures[7] = Refusal(grpc.StatusCode.UNKNOWN, "a secret")
    answer = await refused(stub.Analyze(request(key=key(7))))
    assert answer == (grpc.StatusCode.INTERNAL, "internal error")
    assert [(one.levelname, "a secret" in one.exc_text) for one in caplog.records] == [
        ("ERROR", True)
    ]


async def test_more_pictures_than_may_wait_are_refused():
    brightness = Brightness()
    analyzers = {"brightness": brightness}
    one = request(picture=rgb(GREY))
    async with analyzing(analyzers, decoder=NOWHERE, max_batch=1, max_queued=0) as (stub, _):
        with brightness.holding_up():
            running = asyncio.ensure_future(stub.Analyze(one))
            await brightness.until_held_up()
            code, _ = await refused(stub.Analyze(one))
        await running
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_caller_that_leaves_takes_its_call_to_the_decoder_along(stub, decoder):
    decoder.gate.clear()
    call = stub.Analyze(request(key=key(7)))
    await decoder.begun.wait()
    call.cancel()
    await decoder.ended.wait()


async def test_a_decoder_that_never_ends_its_answer_is_left(stub, decoder):
    decoder.gate_at_end.clear()
    whole = decoder.parts
    decoder.parts = lambda pixels, view: with_a_chunk_too_many(whole(pixels, view))
    code, _ = await refused(stub.Analyze(request(key=key(7))))
    assert code is grpc.StatusCode.INTERNAL
    await decoder.ended.wait()


async def test_analyzers_are_listed_with_what_they_say_of_themselves(stub):
    answer = await stub.ListAnalyzers(pb.ListAnalyzersRequest())
    assert list(answer.analyzers) == [
        pb.Analyzer(
            name="brightness", task=pb.ANALYZER_TASK_CLASSIFY, version="1", labels=["bright"]
        ),
        pb.Analyzer(name="broken", task=pb.ANALYZER_TASK_DETECT, version="1", labels=["none"]),
        pb.Analyzer(
            name="everything", task=pb.ANALYZER_TASK_SEGMENT, version="2", needs_labels=True
        ),
    ]


async def test_results_that_nobody_keeps_cannot_be_listed(stub):
    code, _ = await refused(stub.ListResults(pb.ListResultsRequest()))
    assert code is grpc.StatusCode.UNIMPLEMENTED
