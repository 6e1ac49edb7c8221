"""Hand frames to the decoder while their callers wait, and learn what became of each."""

from __future__ import annotations

import asyncio

import grpc

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_encoder.errors import (
    DeliveryError,
    FrameDamaged,
    FrameRefused,
    FrameTaken,
    UpstreamFailed,
    UpstreamFull,
    UpstreamUnavailable,
)
from ugicm_encoder.link import Link
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.wire import key_from_wire

__all__ = ["Upstream", "refusal"]

_ERROR_OF_CODE: dict[int, type[DeliveryError]] = {
    grpc.StatusCode.ALREADY_EXISTS.value[0]: FrameTaken,
    grpc.StatusCode.DATA_LOSS.value[0]: FrameDamaged,
    grpc.StatusCode.INVALID_ARGUMENT.value[0]: FrameRefused,
    grpc.StatusCode.PERMISSION_DENIED.value[0]: FrameRefused,
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]: UpstreamFull,
    grpc.StatusCode.UNAVAILABLE.value[0]: UpstreamUnavailable,
}


class Upstream:
    """The decoder behind a channel; frames go through one Ingest call, opened when needed.

    Args:
        channel: to the decoder.
        address: of the decoder, for messages.
        timeout_seconds: how long storing one frame may take.
        max_request_bytes: the largest message that the channel sends.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        address: str,
        *,
        timeout_seconds: float,
        max_request_bytes: int,
    ) -> None:
        self._max_request_bytes = max_request_bytes
        self._stub = DecoderServiceStub(channel)
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._link: Link | None = None

    async def deliver(self, frame: types_pb2.Frame) -> decoder_pb2.IngestResult.ValueType:
        """Return once the decoder has the frame durably, and whether it had it before.

        Frames arrive in the order of these calls.

        Raises:
            DeliveryError: the decoder is not there, does not answer, or did not store the frame.
            FrameTooLarge: the decoder does not take so many bytes.
            Overloaded: it has no room now.
        """
        key = key_from_wire(frame.key)
        if self._link is None or self._link.is_down:
            self._link = Link(self._stub, self._address, max_request_bytes=self._max_request_bytes)
        link = self._link
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await link.send(decoder_pb2.IngestRequest(frame=frame))
        except TimeoutError as error:
            # A call that stalls holds what was sent; the next frame opens a fresh one.
            await link.close("it did not answer in time")
            raise UpstreamUnavailable(
                f"the decoder at {self._address} did not answer for frame {key} "
                f"within {self._timeout_seconds:g} s"
            ) from error
        if response.WhichOneof("outcome") == "failure":
            raise refusal(response.failure, f"the decoder refused frame {key}")
        return response.result

    async def close(self) -> None:
        """End the call; frames without an answer fail as unavailable."""
        if self._link is not None:
            await self._link.close("the encoder is stopping")


def refusal(failure: types_pb2.Failure, what: str) -> Exception:
    """Return the error that a decoder's failure stands for."""
    message = f"{what}: {failure.message}"
    kind = _ERROR_OF_CODE.get(failure.code, UpstreamFailed)
    if kind is UpstreamFull and failure.HasField("retry_after_seconds"):
        return Overloaded(message, retry_after_seconds=failure.retry_after_seconds)
    return kind(message)
