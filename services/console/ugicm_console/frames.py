"""Answer for cameras and their stored frames: lists, any view, and the stream itself."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ugicm.v1 import decoder_pb2
from ugicm_console.errors import NotFound
from ugicm_console.pictures import Pictures, attachment, order_of
from ugicm_console.queries import flag, frame_key, time_range, whole_number
from ugicm_console.requests import unless_gone
from ugicm_console.services import Service
from ugicm_console.sessions import Session
from ugicm_console.wire import camera_to_json, frame_to_json
from ugicm_servicekit.wire import FrameKey, check_camera, key_to_wire

__all__ = ["Frames", "cameras_of"]


async def cameras_of(decoder: Service, session: Session) -> dict[str, Any]:
    """Return all cameras that have stored frames, and the time here.

    Raises:
        Exception: as ``Service.ask`` has them.
    """
    cameras: list[dict[str, Any]] = []
    request = decoder_pb2.ListCamerasRequest(page_size=1000)
    while True:
        page = await decoder.ask(session, "ListCameras", request)
        cameras += map(camera_to_json, page.cameras)
        if not page.next_page_token:
            return {"cameras": cameras, "now": time.time()}
        request.page_token = page.next_page_token


class Frames:
    """Answers from the decoder's store.

    Args:
        decoder: to ask.
        pictures: their views.
    """

    def __init__(self, decoder: Service, pictures: Pictures) -> None:
        self._decoder = decoder
        self._pictures = pictures

    async def cameras(self, request: Request, session: Session) -> Response:
        """Return all cameras."""
        return JSONResponse(await cameras_of(self._decoder, session))

    async def frames(self, request: Request, session: Session) -> Response:
        """Return a page of one camera's frames."""
        camera, asked = request.path_params["camera"], request.query_params
        check_camera(camera)
        order = decoder_pb2.ListFramesRequest(
            camera=camera,
            capture_time=time_range(request),
            newest_first=flag(request, "newest_first"),
            page_size=whole_number(asked.get("page_size", "100"), "page_size", most=1000),
            page_token=asked.get("page_token", ""),
        )
        page = await self._decoder.ask(session, "ListFrames", order)
        return JSONResponse(
            {
                "frames": list(map(frame_to_json, page.frames)),
                "next_page_token": page.next_page_token,
            }
        )

    async def frame(self, request: Request, session: Session) -> Response:
        """Return what is known of one frame."""
        key = frame_key(request)
        order = decoder_pb2.ListFramesRequest(
            camera=key.camera,
            epoch=key.epoch,
            first_sequence=key.sequence,
            last_sequence=key.sequence,
        )
        page = await self._decoder.ask(session, "ListFrames", order)
        if not page.frames:
            raise NotFound(f"the decoder has no frame {key}")
        return JSONResponse(frame_to_json(page.frames[0]))

    async def picture(self, request: Request, session: Session) -> Response:
        """Return one view of one frame."""
        key, order = frame_key(request), order_of(request)
        work = self._pictures.answer(session, key, order, name=_file_name(key))
        return await unless_gone(request, work)

    async def stream(self, request: Request, session: Session) -> Response:
        """Return one frame's stream, byte for byte."""
        key = frame_key(request)
        order = decoder_pb2.GetFrameRequest(key=key_to_wire(key))
        answer = await self._decoder.ask(session, "GetFrame", order)
        return Response(
            answer.frame.stream,
            media_type="application/octet-stream",
            headers=attachment(f"{_file_name(key)}.ugi"),
        )


def _file_name(key: FrameKey) -> str:
    return f"{key.camera}-{key.epoch}-{key.sequence}"
