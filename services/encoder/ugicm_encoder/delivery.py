"""What becomes of coded frames: handed to the decoder at once, or spooled for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from ugicm.v1 import decoder_pb2, encoder_pb2, types_pb2
from ugicm_encoder.errors import FrameTooLarge
from ugicm_encoder.spool import Acceptance, Spool
from ugicm_encoder.upstream import Upstream
from ugicm_servicekit.stages import stage
from ugicm_servicekit.wire import FrameKey

__all__ = ["Admission", "Delivery", "DirectDelivery", "SpooledDelivery"]

_OF_RESULT = {
    decoder_pb2.INGEST_RESULT_STORED: encoder_pb2.DELIVERY_STORED,
    decoder_pb2.INGEST_RESULT_DUPLICATE: encoder_pb2.DELIVERY_DUPLICATE,
}
_OF_ACCEPTANCE = {
    Acceptance.SPOOLED: encoder_pb2.DELIVERY_SPOOLED,
    Acceptance.DUPLICATE: encoder_pb2.DELIVERY_DUPLICATE,
}


class Admission(Protocol):
    """Leave to code a frame's picture, and to deliver the frame then."""

    async def deliver(self, frame: types_pb2.Frame) -> encoder_pb2.Delivery.ValueType:
        """Return once the frame is durable somewhere, and where.

        Raises:
            SpoolError: it cannot be spooled.
            DeliveryError: it cannot be delivered.
            FrameTooLarge: it has more bytes than the spool or the decoder takes.
            Overloaded: there is no room now.
        """

    async def put_off(self, seconds: float) -> None:
        """Keep later frames from overtaking this one, which may come again after some seconds."""


class Delivery(Protocol):
    """Takes frames in the order in which they come."""

    async def admit(self, key: FrameKey, picture: types_pb2.Picture) -> Admission | None:
        """Decide, before the work of coding, whether a frame is wanted.

        Returns:
            None where the frame was accepted earlier.

        Raises:
            SpoolError, DeliveryError, FrameTooLarge, Overloaded: as ``Admission.deliver``.
        """


class DirectDelivery:
    """Delivers to the decoder while the camera waits, and keeps nothing."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def admit(self, key: FrameKey, picture: types_pb2.Picture) -> Admission | None:
        """Let every frame in: the decoder knows what it has."""
        return self

    async def deliver(self, frame: types_pb2.Frame) -> encoder_pb2.Delivery.ValueType:
        """Return once the decoder has the frame durably."""
        with stage("deliver"):
            return _OF_RESULT[await self._upstream.deliver(frame)]

    async def put_off(self, seconds: float) -> None:
        """Do nothing: without a spool, frames come in the order in which they are let through."""


class SpooledDelivery:
    """Delivers to the spool, always: one path, and order whatever the link does.

    Args:
        spool: keeps frames until the decoder has them.
        max_request_bytes: returns the largest request that the decoder takes, as far as it has
            said so; None: not yet.
    """

    def __init__(self, spool: Spool, max_request_bytes: Callable[[], int | None]) -> None:
        self._spool = spool
        self._max_request_bytes = max_request_bytes

    async def admit(self, key: FrameKey, picture: types_pb2.Picture) -> Admission | None:
        """Let frames in that are new, while there is room."""
        digest = await asyncio.to_thread(_digest, picture)
        if await self._spool.recognise(key, digest):
            return None
        return _Spooling(self._spool, key, digest, self._max_request_bytes())


@dataclass(frozen=True)
class _Spooling:
    """Leave to spool one frame, whose picture has the digest."""

    spool: Spool
    key: FrameKey
    digest: bytes
    max_request_bytes: int | None

    async def deliver(self, frame: types_pb2.Frame) -> encoder_pb2.Delivery.ValueType:
        """Return once the frame is in the spool durably."""
        num_bytes = decoder_pb2.IngestRequest(frame=frame).ByteSize()
        if self.max_request_bytes is not None and num_bytes > self.max_request_bytes:
            # Told while the camera listens, and not found out when it has long gone on.
            raise FrameTooLarge(
                f"the decoder takes at most {self.max_request_bytes} bytes at once, "
                f"the frame has {num_bytes}"
            )
        with stage("spool"):
            return _OF_ACCEPTANCE[await self.spool.put(frame, self.digest)]

    async def put_off(self, seconds: float) -> None:
        """Let nothing newer of the epoch in for so long."""
        await self.spool.pause(self.key, seconds)


def _digest(picture: types_pb2.Picture) -> bytes:
    """Tell pictures apart by what the camera sent: coding may differ when it is done again."""
    digest = sha256(f"{picture.format} {picture.height} {picture.width} ".encode())
    digest.update(picture.data)
    return digest.digest()
