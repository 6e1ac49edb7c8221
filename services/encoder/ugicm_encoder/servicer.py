"""Translate between the wire and the encoder's codecs and upstream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from ugicm.v1 import encoder_pb2, encoder_pb2_grpc, types_pb2
from ugicm_codec import Limits, inspect
from ugicm_encoder import metrics
from ugicm_encoder.coding import Coder
from ugicm_encoder.delivery import Admission, Delivery
from ugicm_encoder.overtaking import Overtaking
from ugicm_encoder.status import ENCODER_STATUS
from ugicm_servicekit.authorisation import check_item
from ugicm_servicekit.clients import pixels_under_way
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.flow import in_order
from ugicm_servicekit.logs import about_frame
from ugicm_servicekit.models import Models
from ugicm_servicekit.pictures import count_pixels
from ugicm_servicekit.status import or_failure
from ugicm_servicekit.streams import stream_info_to_wire
from ugicm_servicekit.tracing import frame_span
from ugicm_servicekit.wire import key_from_wire, nanoseconds_from_wire, nanoseconds_to_wire

__all__ = ["EncoderServicer"]


_LABEL_OF_DELIVERY = {
    number: name.removeprefix("DELIVERY_").lower() for name, number in encoder_pb2.Delivery.items()
}


@dataclass(frozen=True)
class _Encoded:
    """A request's frame, and the answer that lacks only what became of it.

    Attributes:
        admission: how to deliver the frame; None where there is nothing to deliver.
    """

    frame: types_pb2.Frame
    response: encoder_pb2.EncodeResponse
    admission: Admission | None


@dataclass(frozen=True)
class _Item:
    """One item of EncodeStream, coded or refused."""

    number: int
    key: types_pb2.FrameKey
    outcome: _Encoded | types_pb2.Failure


class EncoderServicer(encoder_pb2_grpc.EncoderServiceServicer):
    """``ugicm.v1.EncoderService`` over loaded models and, where there is one, a delivery.

    Args:
        models: what can encode.
        coder: turns pictures into streams.
        delivery: takes the frames that have a key; where it is None they are returned only.
        limits: on pictures.
        encode_ahead: how many items of one EncodeStream may be coded at once; as many coded ones
            may be on their way upstream.
        stopping: set when calls that last must end.
        clock_ns: the time, in nanoseconds since 1970.
    """

    def __init__(
        self,
        models: Models,
        coder: Coder,
        delivery: Delivery | None,
        *,
        limits: Limits,
        encode_ahead: int,
        stopping: asyncio.Event,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._models = models
        self._coder = coder
        self._delivery = delivery
        self._limits = limits
        self._encode_ahead = encode_ahead
        self._stopping = stopping
        self._clock_ns = clock_ns

    async def Encode(
        self, request: encoder_pb2.EncodeRequest, context: Any
    ) -> encoder_pb2.EncodeResponse:
        return await self._deliver(await self._encode(request))

    async def EncodeStream(
        self, request_iterator: AsyncIterator[encoder_pb2.EncodeStreamRequest], context: Any
    ) -> AsyncIterator[encoder_pb2.EncodeStreamResponse]:
        # Coding may overtake; what is handed on and answered keeps the order of the requests.
        encoded = in_order(
            request_iterator,
            self._encode_item,
            ahead=self._encode_ahead,
            stopping=self._stopping,
        )
        answers = in_order(
            encoded,
            partial(self._deliver_item, Overtaking()),
            ahead=self._encode_ahead,
            stopping=asyncio.Event(),
        )
        async with aclosing(encoded), aclosing(answers):
            async for answer in answers:
                yield answer

    async def ListModels(
        self, request: types_pb2.ListModelsRequest, context: Any
    ) -> types_pb2.ListModelsResponse:
        return self._models.to_wire()

    async def _encode(self, request: encoder_pb2.EncodeRequest) -> _Encoded:
        check_item(request)
        if not request.HasField("key"):
            return await self._coded(request)
        key = key_from_wire(request.key)
        about_frame(key)
        with frame_span("encode", key):
            return await self._coded(request)

    async def _coded(self, request: encoder_pb2.EncodeRequest) -> _Encoded:
        frame = types_pb2.Frame()
        admission = None
        if request.HasField("key"):
            key = key_from_wire(request.key)
            frame.key.CopyFrom(request.key)
            if self._delivery is not None:
                admission = await self._delivery.admit(key, request.picture)
                if admission is None:
                    metrics.FRAMES.labels("duplicate").inc()
                    return _Encoded(frame, _duplicate(request), None)
        captured_ns = (
            nanoseconds_from_wire(request.capture_time)
            if request.HasField("capture_time")
            else self._clock_ns()
        )
        frame.capture_time.CopyFrom(nanoseconds_to_wire(captured_ns))
        codec = self._models.named(request.model)
        try:
            with pixels_under_way(await count_pixels(request.picture, self._limits)):
                coded = await self._coder.code(codec, request)
        except Overloaded as error:
            if admission is not None:
                await admission.put_off(error.retry_after_seconds)
            raise
        frame.stream = coded.stream
        response = encoder_pb2.EncodeResponse(
            stream=b"" if request.omit_stream else coded.stream,
            info=stream_info_to_wire(inspect(coded.stream, self._limits)),
            model=codec.model.name,
            model_sha256=codec.model.sha256,
            delivery=encoder_pb2.DELIVERY_RETURNED,
            statistics=encoder_pb2.EncodeStatistics(
                queue_seconds=coded.queue_seconds,
                picture_seconds=coded.picture_seconds,
                encode_seconds=coded.encode_seconds,
            ),
        )
        if request.HasField("key"):
            response.key.CopyFrom(request.key)
        return _Encoded(frame, response, admission)

    async def _deliver(self, encoded: _Encoded) -> encoder_pb2.EncodeResponse:
        response = encoded.response
        if encoded.admission is None:
            return response
        started = time.perf_counter()
        key = key_from_wire(encoded.frame.key)
        about_frame(key)
        with frame_span("deliver", key):
            response.delivery = await encoded.admission.deliver(encoded.frame)
        metrics.FRAMES.labels(_LABEL_OF_DELIVERY[response.delivery]).inc()
        response.statistics.delivery_seconds = time.perf_counter() - started
        return response

    async def _encode_item(self, item: encoder_pb2.EncodeStreamRequest) -> _Item:
        # A copy: the picture goes when its stream comes.
        key = types_pb2.FrameKey()
        key.CopyFrom(item.request.key)
        work = self._encode(item.request)
        outcome = await or_failure(work, ENCODER_STATUS, method="EncodeStream")
        return _Item(item.request_id, key, outcome)

    async def _deliver_item(
        self, overtaking: Overtaking, item: _Item
    ) -> encoder_pb2.EncodeStreamResponse:
        outcome: encoder_pb2.EncodeResponse | types_pb2.Failure
        if isinstance(item.outcome, types_pb2.Failure):
            outcome = item.outcome
        else:
            work = self._deliver_in_order(overtaking, item.outcome)
            outcome = await or_failure(work, ENCODER_STATUS, method="EncodeStream")
        if isinstance(outcome, types_pb2.Failure):
            if outcome.HasField("retry_after_seconds"):
                overtaking.refuse(item.key)
            return encoder_pb2.EncodeStreamResponse(request_id=item.number, failure=outcome)
        return encoder_pb2.EncodeStreamResponse(request_id=item.number, response=outcome)

    async def _deliver_in_order(
        self, overtaking: Overtaking, encoded: _Encoded
    ) -> encoder_pb2.EncodeResponse:
        if encoded.admission is not None:
            overtaking.check(encoded.frame.key)
        return await self._deliver(encoded)


def _duplicate(request: encoder_pb2.EncodeRequest) -> encoder_pb2.EncodeResponse:
    return encoder_pb2.EncodeResponse(key=request.key, delivery=encoder_pb2.DELIVERY_DUPLICATE)
