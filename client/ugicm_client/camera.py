"""A camera's side of the encoder: frames in order, each with its key."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from ugicm.v1 import encoder_pb2, encoder_pb2_grpc, types_pb2
from ugicm_client.channel import ServiceClient
from ugicm_client.errors import ServiceError, ServiceRefused, ServiceUnavailable
from ugicm_client.outbox import Outbox, Turn
from ugicm_client.pictures import Pixels
from ugicm_client.retries import Retries, may_pass
from ugicm_client.wire import picture_to_wire
from ugicm_servicekit.access import Access
from ugicm_servicekit.tracing import record_frame
from ugicm_servicekit.wire import FrameKey, key_from_wire, key_to_wire, nanoseconds_to_wire

__all__ = ["MOST_UNANSWERED", "CameraClient", "SentFrame"]

MOST_UNANSWERED = 16
"""How many frames of a camera may be on their way to the encoder, or in it."""


@dataclass(frozen=True)
class SentFrame:
    """What became of one frame.

    Attributes:
        key: the key it was sent with.
        outcome: the encoder's answer, or why there is none.
        seconds: from handing the frame to gRPC for the first time until the answer.
    """

    key: FrameKey
    outcome: encoder_pb2.EncodeResponse | ServiceError
    seconds: float


class CameraClient(ServiceClient):
    """Sends pictures to an encoder."""

    service = "encoder"

    def __init__(
        self, address: str, *, timeout_seconds: float = 120.0, access: Access | None = None
    ) -> None:
        super().__init__(address, timeout_seconds=timeout_seconds, access=access)
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
        first_sequence: int = 0,
        quality: int | None = None,
        max_bytes: int | None = None,
        model: str = "",
        omit_stream: bool = False,
        before_sending: Callable[[int], Awaitable[None]] | None = None,
        retries: Retries | None = None,
        most_unanswered: int = MOST_UNANSWERED,
    ) -> AsyncGenerator[SentFrame, None]:
        """Send frames as one camera, and yield what became of each, in order.

        Args:
            images: taken while fewer than ``most_unanswered`` frames wait for their answers; an
                error there is raised here, behind the answers for what came before.
            camera: the camera's name.
            epoch: of the keys; now, in microseconds, where ``None``.
            first_sequence: of the keys.
            quality: 0 to 100; the encoder's default where ``None``.
            max_bytes: instead of a quality.
            model: the encoder's default where empty.
            omit_stream: leaves the streams out of the answers.
            before_sending: awaited with each sequence before its frame is sent for the first time.
            retries: connects again when the connection is lost, or the token was withdrawn and
                its file has another, and sends again what was not answered or may be accepted
                later; where ``None``, each frame is sent once.
            most_unanswered: the fewer, the newer is what is sent of a live camera when the
                encoder is slower.

        Raises:
            ServiceError: the encoder does not answer, or ends the call, and there are no retries
                or they would be of no use.
        """
        epoch = time.time_ns() // 1000 if epoch is None else epoch

        async def requests() -> AsyncIterator[encoder_pb2.EncodeStreamRequest]:
            sequence = first_sequence
            async for image in images:
                request = _request(image, quality=quality, max_bytes=max_bytes, model=model)
                request.key.CopyFrom(key_to_wire(FrameKey(camera, epoch, sequence)))
                request.capture_time.CopyFrom(nanoseconds_to_wire(time.time_ns()))
                request.omit_stream = omit_stream
                if before_sending is not None:
                    await before_sending(sequence)
                yield encoder_pb2.EncodeStreamRequest(request_id=sequence, request=request)
                sequence += 1

        outbox = Outbox(requests(), most=most_unanswered)
        try:
            while not outbox.is_done:
                trouble: ServiceError | None = None
                shown = self._token_now()
                try:
                    async with aclosing(self._take_turn(Turn(outbox), retries)) as sent_frames:
                        async for sent in sent_frames:
                            yield sent
                except _PutOff as put_off:
                    trouble = put_off.reason
                except ServiceError as error:
                    has_successor = _is_for_token(error) and self._token_now() != shown
                    if retries is None or not (may_pass(error) or has_successor):
                        raise
                    trouble = error
                if retries is None:
                    break
                if not outbox.is_done:
                    await retries.wait(trouble or self._ended_early())
        finally:
            await outbox.close()
        outbox.check()

    async def _take_turn(
        self, turn: Turn, retries: Retries | None
    ) -> AsyncGenerator[SentFrame, None]:
        put_off: ServiceRefused | None = None
        with self._errors_explained():
            call = self._stub.EncodeStream(turn.requests())
            try:
                async for answer in call:
                    outcome: encoder_pb2.EncodeResponse | ServiceRefused = answer.response
                    if answer.HasField("failure"):
                        outcome = self._refusal_of(answer.failure)
                        if retries is not None and may_pass(outcome):
                            turn.put_off(answer.request_id)
                            put_off = put_off or outcome
                            continue
                    if retries is not None and put_off is None:
                        retries.reset()
                    request, seconds = turn.settle(answer.request_id)
                    key = key_from_wire(request.request.key)
                    record_frame("send", key, time.time_ns() - round(1e9 * seconds))
                    yield SentFrame(key, outcome, seconds)
            finally:
                turn.end()
                call.cancel()
        if put_off is not None:
            raise _PutOff(put_off)

    def _refusal_of(self, failure: types_pb2.Failure) -> ServiceRefused:
        hint = failure.retry_after_seconds if failure.HasField("retry_after_seconds") else None
        return self._refusal(failure.code, failure.message, hint)

    def _ended_early(self) -> ServiceUnavailable:
        return ServiceUnavailable(f"the {self.service} at {self.address} ended the call")


class _PutOff(Exception):
    """A turn ended with requests left for a later one."""

    def __init__(self, reason: ServiceRefused) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _is_for_token(error: ServiceError) -> bool:
    return isinstance(error, ServiceRefused) and error.status == "UNAUTHENTICATED"


def _request(
    image: Pixels, *, quality: int | None, max_bytes: int | None, model: str
) -> encoder_pb2.EncodeRequest:
    request = encoder_pb2.EncodeRequest(picture=picture_to_wire(image), model=model)
    if quality is not None:
        request.quality = quality
    elif max_bytes is not None:
        request.max_bytes = max_bytes
    return request
