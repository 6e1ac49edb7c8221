"""A camera's side of the encoder: frames in order, each with its key."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from itertools import count

from ugicm.v1 import encoder_pb2, encoder_pb2_grpc
from ugicm_client.channel import ServiceClient
from ugicm_client.errors import ServiceError
from ugicm_client.pictures import Pixels
from ugicm_client.wire import picture_to_wire
from ugicm_servicekit.wire import FrameKey, key_to_wire, nanoseconds_to_wire

__all__ = ["CameraClient", "SentFrame"]


@dataclass(frozen=True)
class SentFrame:
    """What became of one frame.

    Attributes:
        key: the key it was sent with.
        outcome: the encoder's answer, or why there is none.
        seconds: from handing the frame to gRPC until the answer.
    """

    key: FrameKey
    outcome: encoder_pb2.EncodeResponse | ServiceError
    seconds: float


class CameraClient(ServiceClient):
    """Sends pictures to an encoder."""

    service = "encoder"

    def __init__(self, address: str, *, timeout_seconds: float = 120.0) -> None:
        super().__init__(address, timeout_seconds=timeout_seconds)
        self._stub = encoder_pb2_grpc.EncoderServiceStub(self._channel)

    async def encode(
        self,
        image: Pixels,
        *,
        quality: int | None = None,
        max_bytes: int | None = None,
        model: str = "",
    ) -> encoder_pb2.EncodeResponse:
        """Return one picture's stream; it is not forwarded, as it has no key.

        Raises:
            ServiceError: the encoder does not answer, or refuses.
        """
        request = _request(image, quality=quality, max_bytes=max_bytes, model=model)
        with self._errors_explained():
            return await self._stub.Encode(request, timeout=self._timeout_seconds)

    async def stream(
        self,
        images: AsyncIterable[Pixels],
        *,
        camera: str,
        epoch: int | None = None,
        quality: int | None = None,
        max_bytes: int | None = None,
        model: str = "",
        omit_stream: bool = False,
    ) -> AsyncGenerator[SentFrame, None]:
        """Send frames as one camera, and yield what became of each, in order.

        Args:
            images: taken no faster than the encoder reads; an error there ends the call and is
                raised here.
            camera: the camera's name.
            epoch: of the keys; now, in microseconds, where ``None``.
            quality: 0 to 100; the encoder's default where ``None``.
            max_bytes: instead of a quality.
            model: the encoder's default where empty.
            omit_stream: leaves the streams out of the answers.

        Raises:
            ServiceError: the encoder does not answer, or ends the call.
        """
        epoch = time.time_ns() // 1000 if epoch is None else epoch
        sent_at: dict[int, float] = {}
        sequences = count()
        errors: list[Exception] = []

        async def requests() -> AsyncIterator[encoder_pb2.EncodeStreamRequest]:
            try:
                async for image in images:
                    sequence = next(sequences)
                    request = _request(image, quality=quality, max_bytes=max_bytes, model=model)
                    request.key.CopyFrom(key_to_wire(FrameKey(camera, epoch, sequence)))
                    request.capture_time.CopyFrom(nanoseconds_to_wire(time.time_ns()))
                    request.omit_stream = omit_stream
                    sent_at[sequence] = time.monotonic()
                    yield encoder_pb2.EncodeStreamRequest(request_id=sequence, request=request)
            except Exception as error:  # noqa: BLE001 - runs in gRPC's task; raised in the caller's
                errors.append(error)

        with self._errors_explained():
            call = self._stub.EncodeStream(requests())
            try:
                async for answer in call:
                    outcome: encoder_pb2.EncodeResponse | ServiceError = answer.response
                    if answer.HasField("failure"):
                        outcome = self._refusal(answer.failure.code, answer.failure.message)
                    key = FrameKey(camera, epoch, answer.request_id)
                    seconds = time.monotonic() - sent_at.pop(answer.request_id)
                    yield SentFrame(key, outcome, seconds)
            finally:
                call.cancel()
        if errors:
            raise errors[0]


def _request(
    image: Pixels, *, quality: int | None, max_bytes: int | None, model: str
) -> encoder_pb2.EncodeRequest:
    request = encoder_pb2.EncodeRequest(picture=picture_to_wire(image), model=model)
    if quality is not None:
        request.quality = quality
    elif max_bytes is not None:
        request.max_bytes = max_bytes
    return request
