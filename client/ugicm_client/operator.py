"""An operator's side of the decoder: which frames there are, and any view of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ugicm.v1 import decoder_pb2, decoder_pb2_grpc, types_pb2
from ugicm_client.channel import ServiceClient
from ugicm_client.errors import ServiceRefused
from ugicm_codec.limits import Limits
from ugicm_servicekit.access import Access
from ugicm_servicekit.decoded import Decoded, assemble
from ugicm_servicekit.wire import FrameKey, key_to_wire, view_to_wire

__all__ = ["OperatorClient"]


class OperatorClient(ServiceClient):
    """Lists and decodes what a decoder has stored.

    Args:
        address: ``host:port``.
        timeout_seconds: for one answer.
        limits: bounds on the pictures it may send.
        access: what to show to be let in; plaintext without a token if not given.
    """

    service = "decoder"

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 120.0,
        limits: Limits | None = None,
        access: Access | None = None,
    ) -> None:
        super().__init__(address, timeout_seconds=timeout_seconds, access=access)
        self._limits = limits or Limits()
        self._stub = decoder_pb2_grpc.DecoderServiceStub(self._channel)

    async def cameras(self) -> AsyncIterator[decoder_pb2.Camera]:
        """Yield the cameras that have stored frames, by name.

        Raises:
            ServiceError: the decoder does not answer, or refuses.
        """
        request = decoder_pb2.ListCamerasRequest()
        while True:
            with self._errors_explained():
                page = await self._stub.ListCameras(request, timeout=self._timeout_seconds)
            for camera in page.cameras:
                yield camera
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def frames(
        self, camera: str, *, newest: int | None = None
    ) -> AsyncIterator[decoder_pb2.StoredFrame]:
        """Yield the stored frames of a camera by epoch and sequence, or its newest, newest first.

        Raises:
            ServiceError: the decoder does not answer, or refuses.
        """
        request = decoder_pb2.ListFramesRequest(camera=camera, newest_first=newest is not None)
        remaining = newest
        while remaining is None or remaining > 0:
            request.page_size = 0 if remaining is None else min(remaining, 1000)
            with self._errors_explained():
                page = await self._stub.ListFrames(request, timeout=self._timeout_seconds)
            for frame in page.frames:
                yield frame
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
            remaining = None if remaining is None else remaining - len(page.frames)

    async def frame(self, key: FrameKey) -> decoder_pb2.StoredFrame:
        """Return what is known of one stored frame.

        Raises:
            ServiceError: the decoder does not answer, or has no such frame.
        """
        request = decoder_pb2.ListFramesRequest(
            camera=key.camera,
            epoch=key.epoch,
            first_sequence=key.sequence,
            last_sequence=key.sequence,
        )
        with self._errors_explained():
            page = await self._stub.ListFrames(request, timeout=self._timeout_seconds)
        if not page.frames:
            raise ServiceRefused(f"the decoder has no frame {key}", status="NOT_FOUND")
        return page.frames[0]

    async def stream(self, key: FrameKey) -> bytes:
        """Return a stored frame's stream, byte for byte.

        Raises:
            ServiceError: the decoder does not answer, or has no such frame.
        """
        request = decoder_pb2.GetFrameRequest(key=key_to_wire(key))
        with self._errors_explained():
            answer = await self._stub.GetFrame(request, timeout=self._timeout_seconds)
        return answer.frame.stream

    async def decode(
        self, source: FrameKey | bytes, views: Sequence[float | str], *, model: str = ""
    ) -> Decoded:
        """Return one or several views of a stored frame or of a stream.

        Args:
            source: a key, or the stream itself.
            views: each from 0 or ``"human"`` to 1 or ``"machine"``.
            model: the decoder's first that fits, where empty.

        Raises:
            BadView: a view is out of range.
            ImageTooLarge: the picture exceeds the limits.
            ServiceError: the decoder does not answer, refuses, or answers wrongly.
        """
        request = decoder_pb2.DecodeRequest(
            views=[view_to_wire(view) for view in views],
            format=types_pb2.PIXEL_FORMAT_RGB,
            model=model,
        )
        if isinstance(source, FrameKey):
            request.key.CopyFrom(key_to_wire(source))
        else:
            request.stream = source
        call = self._stub.Decode(request, timeout=self._timeout_seconds)
        numbers = [view.number for view in request.views]
        try:
            with self._errors_explained():
                return await assemble(call, views=numbers, limits=self._limits)
        finally:
            call.cancel()
