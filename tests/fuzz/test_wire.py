"""Any bytes, and any messages, to every method of running services.

Whatever comes is answered, or refused with a status that says whose fault it is: never INTERNAL,
never UNKNOWN. The service is asked something sensible behind each, and answers.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import FixedDecoder, analyzing
from tests.analytics.harness import decoding as fixed_decoder
from tests.decoder.harness import decoding
from tests.encoder.harness import encoding
from tests.fake_codec import FakeCodec
from tests.fuzz.messages import damaged, messages
from ugicm.v1 import analytics_pb2, decoder_pb2, encoder_pb2
from ugicm.v1 import types_pb2 as types
from ugicm_servicekit.channel import connect

PICTURE = np.zeros((6, 7, 3), np.uint8)
STREAM = FakeCodec().encode(PICTURE)
SERVICES = {
    "encoder": encoder_pb2.DESCRIPTOR.services_by_name["EncoderService"],
    "decoder": decoder_pb2.DESCRIPTOR.services_by_name["DecoderService"],
    "analytics": analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"],
}
INTERNAL, UNKNOWN = grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN


def file_of(pixel_format):
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, pixel_format)
    return file.getvalue()


BLOBS = [STREAM, PICTURE.tobytes(), *map(file_of, ("PNG", "JPEG", "WEBP"))]
KEY = types.FrameKey(camera="gate", epoch=1, sequence=2)
MACHINE = types.View(preset=types.VIEW_PRESET_MACHINE)
FILE = types.Picture(format=types.PIXEL_FORMAT_PNG, data=file_of("PNG"))
ENCODE = encoder_pb2.EncodeRequest(picture=FILE, key=KEY, quality=5)
DECODE = decoder_pb2.DecodeRequest(stream=STREAM, views=[MACHINE], format=types.PIXEL_FORMAT_JPEG)
OPTIONS = analytics_pb2.AnalyzeOptions(view=MACHINE)
ANALYZE = analytics_pb2.AnalyzeRequest(stream=STREAM, options=OPTIONS)
# Requests that would be answered, of each method whose requests hold bytes of ours.
SOUND = {
    "Encode": ENCODE,
    "EncodeStream": encoder_pb2.EncodeStreamRequest(request_id=1, request=ENCODE),
    "Ingest": decoder_pb2.IngestRequest(frame=types.Frame(key=KEY, stream=STREAM)),
    "Decode": DECODE,
    "DecodeStream": decoder_pb2.DecodeStreamRequest(request_id=1, request=DECODE),
    "Analyze": ANALYZE,
    "AnalyzeStream": analytics_pb2.AnalyzeStreamRequest(request_id=1, request=ANALYZE),
}


class Service:
    """A running service; calls are made on its loop."""

    def __init__(self, name: str, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._managers: list[Any] = []
        self._port_file = folder / "port"
        self._service = SERVICES[name]
        self._channel = self._run(self._start(name, folder))

    def answers(self, method, requests: list[bytes]) -> list[bytes]:
        """Return a method's answers to requests; a refusal that blames us fails the test."""
        return self._run(self._ask(method, requests))

    def close(self) -> None:
        self._run(self._stop())
        self._loop.close()

    def _run(self, work):
        return self._loop.run_until_complete(work)

    async def _start(self, name, folder):
        if name == "encoder":
            self._server = (await self._enter(encoding(port_file=self._port_file))).server
        elif name == "decoder":
            self._server = (await self._enter(decoding(folder, port_file=self._port_file))).server
        else:
            address = await self._enter(fixed_decoder(FixedDecoder({STREAM: PICTURE})))
            analyzers = {"brightness": Brightness()}
            _, self._server = await self._enter(
                analyzing(
                    analyzers,
                    decoder=address,
                    port_file=self._port_file,
                    results=folder / "results.sqlite",
                )
            )
        address = f"127.0.0.1:{self._port_file.read_text().strip()}"
        return await self._enter(connect(address))

    async def _enter(self, manager):
        self._managers.append(manager)
        return await manager.__aenter__()

    async def _stop(self):
        for manager in reversed(self._managers):
            await manager.__aexit__(None, None, None)

    async def _ask(self, method, requests):
        # A stream of requests suits every method: the wire knows no other.
        call = self._channel.stream_stream(f"/{self._service.full_name}/{method.name}")(
            iter(requests)
        )
        answers = []
        try:
            if method.name == "Watch":  # which would go on
                await call.initial_metadata()
            else:
                answers = [answer async for answer in call]
        except grpc.aio.AioRpcError as error:
            # What grpc makes of an exception that nobody caught.
            assert error.code() is not UNKNOWN, error
        finally:
            call.cancel()
        # The server knows: a client that is refused while it sends may call that INTERNAL itself.
        assert not [key for key in self._server.refusals.counts if key[1] is INTERNAL]
        return answers


@pytest.fixture(scope="module", params=SERVICES)
def service(request, tmp_path_factory):
    service = Service(request.param, tmp_path_factory.mktemp(request.param))
    service.methods = list(SERVICES[request.param].methods)
    yield service
    service.close()


def lists_for(method, requests):
    return st.lists(requests, min_size=1, max_size=4 if method.client_streaming else 1)


def check_alive(service):
    lists = [method for method in service.methods if method.name in ("ListModels", "ListAnalyzers")]
    (answer,) = service.answers(lists[0], [b""])
    assert answer


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_answered_or_refused(service, data):
    method = data.draw(st.sampled_from(service.methods))
    requests = data.draw(lists_for(method, st.binary(max_size=200)))
    service.answers(method, requests)
    check_alive(service)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_messages_are_answered_or_refused(service, data):
    method = data.draw(st.sampled_from(service.methods))
    kind = method.input_type._concrete_class
    drawn = data.draw(lists_for(method, messages(kind, BLOBS)))
    requests = [message.SerializeToString() for message in drawn]
    service.answers(method, requests)
    check_alive(service)


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_messages_are_answered_or_refused(service, data):
    method = data.draw(st.sampled_from([each for each in service.methods if each.name in SOUND]))
    sound = SOUND[method.name].SerializeToString()
    requests = data.draw(lists_for(method, damaged(sound)))
    service.answers(method, requests)
    check_alive(service)
