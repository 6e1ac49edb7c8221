"""The three services with tokens, each RPC asked by whom it is and is not for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import FixedDecoder, analyzing
from tests.analytics.harness import decoding as fixed_decoder
from tests.decoder.harness import HUMAN, MACHINE, decoding, frame, order, request
from tests.encoder.harness import encoding, item, key, raw
from tests.fake_codec import FakeCodec
from tests.security.credentials import Authority, tokens_of_every_role
from ugicm.v1 import analytics_pb2, decoder_pb2, encoder_pb2
from ugicm.v1 import types_pb2 as types
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.roles import Role

PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
DENIED = PERMISSION_DENIED.value[0]
PICTURE = np.zeros((4, 5, 3), np.uint8)
STREAM = FakeCodec().encode(PICTURE)


@pytest.fixture
def tokens(tmp_path):
    return tokens_of_every_role(tmp_path)


def bearer(tokens, name):
    return [("authorization", "Bearer " + tokens.secrets[name])]


def withdraw(tokens, role):
    entries = tokens.path.read_text().split("[[token]]")
    kept = [entry for entry in entries if f'role = "{role}"' not in entry]
    tokens.path.write_text("[[token]]".join(kept))


@asynccontextmanager
async def as_role(running, tokens, name):
    async with open_channel(f"127.0.0.1:{running.port}", access=tokens.access(name)) as channel:
        yield DecoderServiceStub(channel)


async def status(call):
    """Return what a call of any arity ends with, once all of its answers have come."""
    if hasattr(call, "__aiter__"):
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in call:
                pass
    return await call.code()


async def test_another_cameras_item_fails_alone_and_the_stream_goes_on(tokens):
    async with encoding(tokens=tokens.path) as running:
        cameras = ["gate", "yard", "gate", "Gate", "gate"]
        items = [item(n, PICTURE, key=key(n, camera)) for n, camera in enumerate(cameras)]
        call = running.stub.EncodeStream(iter(items), metadata=bearer(tokens, "camera"))
        answers = [answer async for answer in call]
        assert [answer.failure.code for answer in answers] == [0, DENIED, 0, DENIED, 0]
        assert answers[1].failure.message == "camera camera does not speak for camera 'yard'"
        counted = ("/ugicm.v1.EncoderService/EncodeStream", PERMISSION_DENIED)
        assert running.server.refusals.counts == {counted: 2}


async def test_an_encoders_unlisted_cameras_fail_alone_and_are_not_stored(tokens, tmp_path):
    async with decoding(tmp_path, tokens=tokens.path) as running:
        async with as_role(running, tokens, "encoder") as encoder:
            items = [
                request(frame(STREAM, "gate")),
                request(frame(STREAM, "cellar")),
                request(types.Gap(camera="cellar", last_sequence=3, reason=1)),
                request(frame(STREAM, "yard")),
            ]
            answers = [answer async for answer in encoder.Ingest(iter(items))]
        assert [answer.failure.code for answer in answers] == [0, DENIED, DENIED, 0]
        async with as_role(running, tokens, "operator") as operator:
            listed = await operator.ListCameras(decoder_pb2.ListCamerasRequest())
        assert [camera.name for camera in listed.cameras] == ["gate", "yard"]


async def test_frames_are_ingested_after_their_cameras_token_has_gone(tokens, tmp_path):
    async with decoding(tmp_path, tokens=tokens.path) as running:
        withdraw(tokens, "camera")
        async with as_role(running, tokens, "encoder") as encoder:
            call = encoder.Ingest(iter([request(frame(STREAM, "gate"))]))
            (answer,) = [answer async for answer in call]
        assert answer.result == decoder_pb2.INGEST_RESULT_STORED


async def test_a_pipeline_gets_machine_views_and_no_streams(tokens, tmp_path):
    async with decoding(tmp_path, tokens=tokens.path) as running:
        async with as_role(running, tokens, "encoder") as encoder:
            _ = [answer async for answer in encoder.Ingest(iter([request(frame(STREAM))]))]
        async with as_role(running, tokens, "pipeline") as pipeline:
            parts = [part async for part in pipeline.Decode(order(key=key(), views=[MACHINE]))]
            assert parts[-1].WhichOneof("part") == "statistics"
            for views in ([HUMAN], [MACHINE, HUMAN]):
                call = pipeline.Decode(order(key=key(), views=views))
                assert await status(call) is PERMISSION_DENIED
            watch = {"start": types.WATCH_START_OLDEST, "mode": types.WATCH_MODE_EVERY}
            seen = pipeline.Watch(decoder_pb2.WatchFramesRequest(**watch))
            assert (await seen.read()).frame.key == key()
            seen.cancel()
            greedy = decoder_pb2.WatchFramesRequest(**watch, include_stream=True)
            assert await status(pipeline.Watch(greedy)) is PERMISSION_DENIED
            get = pipeline.GetFrame(decoder_pb2.GetFrameRequest(key=key()))
            assert await status(get) is PERMISSION_DENIED
        async with as_role(running, tokens, "operator") as operator:
            got = await operator.GetFrame(decoder_pb2.GetFrameRequest(key=key()))
            assert got.frame.stream == STREAM


async def test_a_pipelines_human_view_fails_alone_in_a_decode_stream(tokens, tmp_path):
    async with decoding(tmp_path, tokens=tokens.path) as running:
        views = [MACHINE, HUMAN, MACHINE]
        items = [
            decoder_pb2.DecodeStreamRequest(
                request_id=n, request=order(stream=STREAM, views=[view])
            )
            for n, view in enumerate(views)
        ]
        async with as_role(running, tokens, "pipeline") as pipeline:
            answers = [answer async for answer in pipeline.DecodeStream(iter(items))]
        failed = [answer.request_id for answer in answers if answer.failure.code == DENIED]
        ended = [a.request_id for a in answers if a.response.WhichOneof("part") == "statistics"]
        assert (failed, ended) == ([1], [0, 2])


async def test_a_pipelines_human_view_fails_alone_in_an_analyze_stream(tokens, tmp_path):
    (tmp_path / "decoder").mkdir()
    async with decoding(tmp_path / "decoder", tokens=tokens.path) as decoder:
        token_file = tmp_path / "analytics.token"
        token_file.write_text(tokens.secrets["pipeline"])
        upstream = {
            "decoder": f"127.0.0.1:{decoder.port}",
            "upstream_token_file": token_file,
            "tokens": tokens.path,
        }
        async with analyzing({"brightness": Brightness()}, **upstream) as (stub, _):
            items = [
                analytics_pb2.AnalyzeStreamRequest(
                    request_id=n,
                    request=analytics_pb2.AnalyzeRequest(
                        stream=STREAM, options=analytics_pb2.AnalyzeOptions(view=view)
                    ),
                )
                for n, view in enumerate([MACHINE, HUMAN, MACHINE])
            ]
            call = stub.AnalyzeStream(iter(items), metadata=bearer(tokens, "pipeline"))
            answers = [answer async for answer in call]
            assert [answer.failure.code for answer in answers] == [0, DENIED, 0]
            # The service itself is let in as a pipeline: operators get no human view through it.
            call = stub.Analyze(items[1].request, metadata=bearer(tokens, "operator"))
            assert await status(call) is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_service_that_the_decoder_does_not_let_in_says_so(tokens, tmp_path):
    (tmp_path / "decoder").mkdir()
    async with decoding(tmp_path / "decoder", tokens=tokens.path) as decoder:
        address = f"127.0.0.1:{decoder.port}"
        async with analyzing({"brightness": Brightness()}, decoder=address) as (stub, _):
            options = analytics_pb2.AnalyzeOptions(view=MACHINE)
            call = stub.Analyze(analytics_pb2.AnalyzeRequest(stream=STREAM, options=options))
            assert await status(call) is grpc.StatusCode.FAILED_PRECONDITION
        async with encoding(upstream=address) as running:
            call = running.stub.Encode(encoder_pb2.EncodeRequest(picture=raw(PICTURE), key=key()))
            assert await status(call) is grpc.StatusCode.UNAVAILABLE


async def test_a_frame_travels_from_camera_to_decoder_by_mutual_tls_and_tokens(tokens, tmp_path):
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client", "edge.example")
    tls = {"tls_cert": server.cert, "tls_key": server.key, "tls_ca": authority.ca}
    edge = tmp_path / "edge.token"
    edge.write_text(tokens.secrets["encoder"])
    shown = {"ca": authority.ca, "cert": client.cert, "key": client.key}
    operator = Access(**shown, token=tokens.secrets["operator"])
    served = decoding(tmp_path, tokens=tokens.path, access=operator, **tls)
    async with served as decoder:
        upstream = {
            "upstream": f"127.0.0.1:{decoder.port}",
            "upstream_tls_ca": authority.ca,
            "upstream_tls_cert": client.cert,
            "upstream_tls_key": client.key,
            "upstream_token_file": edge,
        }
        async with encoding(tokens=tokens.path, **upstream) as encoder:
            answer = await encoder.stub.Encode(
                encoder_pb2.EncodeRequest(picture=raw(PICTURE), key=key()),
                metadata=bearer(tokens, "camera"),
            )
            assert answer.delivery == encoder_pb2.DELIVERY_STORED
        decoded = await decoder.decode(key=key())
        assert np.array_equal(decoded.pixels[0], PICTURE)


async def test_a_fixed_decoder_is_asked_with_the_services_own_token(tokens, tmp_path):
    seen = []

    class Recording(FixedDecoder):
        async def Decode(self, request, context):
            seen.append(dict(context.invocation_metadata()).get("authorization"))
            async for part in super().Decode(request, context):
                yield part

    token_file = tmp_path / "token"
    token_file.write_text(tokens.secrets["pipeline"])
    async with (
        fixed_decoder(Recording({STREAM: PICTURE})) as address,
        analyzing(
            {"brightness": Brightness()}, decoder=address, upstream_token_file=token_file
        ) as (stub, _),
    ):
        options = analytics_pb2.AnalyzeOptions(view=MACHINE)
        await stub.Analyze(
            analytics_pb2.AnalyzeRequest(stream=STREAM, options=options),
            metadata=bearer(tokens, "operator"),
        )
    assert seen == ["Bearer " + tokens.secrets["pipeline"]]


async def test_a_watch_ends_when_its_token_is_withdrawn(tokens, tmp_path):
    async with (
        decoding(tmp_path, tokens=tokens.path) as running,
        as_role(running, tokens, "pipeline") as pipeline,
        as_role(running, tokens, "encoder") as encoder,
    ):
        watch = decoder_pb2.WatchFramesRequest(
            start=types.WATCH_START_OLDEST, mode=types.WATCH_MODE_EVERY
        )
        call = pipeline.Watch(watch)
        await call.initial_metadata()
        withdraw(tokens, "pipeline")
        _ = [answer async for answer in encoder.Ingest(iter([request(frame(STREAM))]))]
        assert await status(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_pixels_beyond_a_clients_share_are_refused_and_others_are_served(tmp_path):
    tokens = tokens_of_every_role(tmp_path)
    tokens.add(Role.CAMERA, "north")
    codec = FakeCodec()
    codec.go_on.clear()
    share = {"max_pixels_per_client": 2 * PICTURE.size // 3, "tokens": tokens.path}
    async with encoding(codec, **share) as running:

        def encode(name):
            message = encoder_pb2.EncodeRequest(picture=raw(PICTURE))
            return running.stub.Encode(message, metadata=bearer(tokens, name))

        calls = [encode("camera") for _ in range(3)]
        done, _ = await asyncio.wait(
            [asyncio.ensure_future(call.code()) for call in calls],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert [task.result() for task in done] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
        other = encode("north")
        codec.go_on.set()
        assert await other.code() is grpc.StatusCode.OK
        codes = [await call.code() for call in calls]
        assert codes.count(grpc.StatusCode.OK) == 2
