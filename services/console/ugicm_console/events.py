"""Tell pages what happens, as server-sent events: frames, gaps, services that come and go."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_console.errors import ServiceError, TooManyStreams
from ugicm_console.frames import cameras_of
from ugicm_console.metrics import EVENT_STREAMS
from ugicm_console.services import Service, Services
from ugicm_console.sessions import Session, Sessions
from ugicm_console.status import told
from ugicm_console.wire import frame_to_json, gap_to_json
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.errors import Overloaded, Unreachable
from ugicm_servicekit.wire import check_camera

__all__ = ["Events"]

_ROUTE = "GET /api/events"
# What waits for a slow page beside the newest frame of each camera; then its watch waits too.
_MAX_WAITING = 64
_BEAT_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_RETRY_MILLISECONDS = 1000
_BEAT = b":\n\n"

_STATE_OF = {
    grpc.ChannelConnectivity.READY: "up",
    grpc.ChannelConnectivity.TRANSIENT_FAILURE: "down",
}


class Events:
    """Answers with streams of events, each a watch of its own in the name of its user.

    Args:
        services: what is told of.
        sessions: a stream ends with its session, which does not grow idle meanwhile.
        max_per_session: how many streams one session may have.
        stopping: set when streams must end.
    """

    def __init__(
        self,
        services: Services,
        sessions: Sessions,
        *,
        max_per_session: int,
        stopping: asyncio.Event,
    ) -> None:
        self._services = services
        self._sessions = sessions
        self._max_per_session = max_per_session
        self._stopping = stopping

    async def follow(self, request: Request, session: Session) -> Response:
        """Return a stream of events that lasts until the page leaves."""
        cameras = request.query_params.getlist("camera")
        for camera in cameras:
            check_camera(camera)
        if session.num_streams >= self._max_per_session:
            raise TooManyStreams(
                f"a session follows at most {self._max_per_session} streams of events: close a page"
            )
        watch = decoder_pb2.WatchFramesRequest(
            cameras=cameras, start=types_pb2.WATCH_START_NOW, mode=types_pb2.WATCH_MODE_EVERY
        )
        session.check("/ugicm.v1.DecoderService/Watch", watch)
        return StreamingResponse(
            self._events(session, watch),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _events(
        self, session: Session, watch: decoder_pb2.WatchFramesRequest
    ) -> AsyncIterator[bytes]:
        page = _Page()
        session.num_streams += 1
        EVENT_STREAMS.inc()
        tasks = [
            asyncio.create_task(page.follows(work))
            for work in (
                self._frames(session, watch, page),
                self._reachability(page),
                self._beats(session, page),
                self._end(page),
            )
        ]
        try:
            yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
            while (event := await page.next()) is not None:
                yield event
        finally:
            session.num_streams -= 1
            EVENT_STREAMS.dec()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _frames(
        self, session: Session, watch: decoder_pb2.WatchFramesRequest, page: _Page
    ) -> None:
        """Tell of cameras and of what is stored, again and again while the decoder is away."""
        decoder, backoff = self._services.decoder, Backoff(most_seconds=2.0)
        while True:
            at_least = 0.0
            try:
                async with decoder.events(session, "Watch", watch) as stored:
                    # What is stored from here on is in one of them, or in both.
                    await page.tell("cameras", await cameras_of(decoder, session))
                    await page.tell_state(decoder, "up")
                    backoff.reset()
                    async for event in stored:
                        await _tell_stored(page, event)
            except Unreachable as error:
                await page.tell_state(decoder, "down", str(error))
            except Overloaded as error:
                at_least = error.retry_after_seconds
            except ServiceError as error:
                await page.tell_state(decoder, "down", str(error))
            await asyncio.sleep(backoff.next_seconds(at_least))

    async def _reachability(self, page: _Page) -> None:
        """Tell which of the other services can be reached; each at once, and when that changes."""
        others: Mapping[str, Service | None] = {
            "encoder": self._services.encoder,
            "analytics": self._services.analytics,
        }
        for name, service in others.items():
            if service is None:
                await page.tell("service", _state(name, "absent", f"there is no {name} here"))
        while True:
            for service in filter(None, others.values()):
                state = _STATE_OF.get(service.channel.get_state(try_to_connect=True))
                # In between nothing new is known.
                if state is not None:
                    message = f"the {service.name} at {service.address} is not available"
                    await page.tell_state(service, state, message if state == "down" else "")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _beats(self, session: Session, page: _Page) -> None:
        """Keep the connection in use, and the session, which is looked at again each time."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            self._sessions.check(session)
            await page.put("beat", _BEAT)

    async def _end(self, page: _Page) -> None:
        await self._stopping.wait()
        page.end()


class _Page:
    """What is on its way to one page: of each camera only its newest frame, and all else."""

    def __init__(self) -> None:
        self._waiting: dict[object, bytes] = {}
        self._states: dict[str, str] = {}
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._is_over = False

    async def next(self) -> bytes | None:
        """Return what is to be sent next, once there is something; None at the end."""
        while not self._waiting:
            if self._is_over:
                return None
            self._news.clear()
            await self._news.wait()
        oldest = next(iter(self._waiting))
        self._room.set()
        return self._waiting.pop(oldest)

    async def put(self, name: object, data: bytes) -> None:
        """Let ``data`` wait, in the place of what waits by the same name; not beyond the end."""
        while name not in self._waiting and len(self._waiting) >= _MAX_WAITING:
            self._room.clear()
            await self._room.wait()
        if self._is_over:
            return
        self._waiting[name] = data
        self._news.set()

    async def tell(self, kind: str, data: Mapping[str, Any], *, name: object = None) -> None:
        """Tell of an event; a later one of the same name takes its place while it waits."""
        text = json.dumps(data, separators=(",", ":"))
        await self.put(name or object(), f"event: {kind}\ndata: {text}\n\n".encode())

    async def tell_state(self, service: Service, state: str, message: str = "") -> None:
        """Tell whether a service is there, where that is news."""
        if self._states.get(service.name) != state:
            self._states[service.name] = state
            await self.tell("service", _state(service.name, state, message))

    def end(self) -> None:
        """End the stream behind what waits."""
        self._is_over = True
        self._news.set()

    async def follows(self, work: Coroutine[Any, Any, None]) -> None:
        """Do a part of the work; a refusal of the user, or a mistake of ours, ends the stream."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the outermost layer of a stream
            _, words = told(error, route=_ROUTE)
            await self.tell("ended", {"code": words["code"], "message": words["message"]})
            self.end()


async def _tell_stored(page: _Page, event: decoder_pb2.WatchFramesResponse) -> None:
    if event.WhichOneof("event") == "frame":
        told = {**frame_to_json(event.frame), "now": time.time()}
        await page.tell("frame", told, name=event.frame.key.camera)
    elif event.gap.reason != types_pb2.GAP_REASON_RETENTION:
        # Retention makes room for every new frame: that is no news, and nothing went wrong.
        await page.tell("gap", gap_to_json(event.gap))


def _state(name: str, state: str, message: str) -> dict[str, str]:
    return {"name": name, "state": state, "message": message}
