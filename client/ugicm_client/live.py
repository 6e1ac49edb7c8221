"""Read a live camera in a thread that keeps only its newest frame, and connects again."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ugicm_client.errors import SourceError
from ugicm_client.live_address import LiveAddress, NetworkCamera, Webcam
from ugicm_client.motion import MotionGate
from ugicm_client.sources import Skipped, SourceFrame
from ugicm_codec.limits import Limits
from ugicm_servicekit.backoff import Backoff

if TYPE_CHECKING:
    import av

__all__ = ["LiveCamera"]

_DEVICES = Path("/dev")
_TROUBLE = "gives no video"
_NETWORK_OPTIONS = {
    # What a camera answers may refer on to other addresses; never to files.
    "protocol_whitelist": "rtsp,rtsps,rtp,rtcp,srtp,http,https,httpproxy,tls,tcp,udp,crypto",
    # Where packets are lost, UDP smears pictures.
    "rtsp_flags": "prefer_tcp",
    # Nobody asks how many frames a second there are; finding out takes a wait for them.
    "fpsprobesize": "0",
}


@dataclass(frozen=True)
class _Seen:
    """A frame as the camera gave it, its number, and when it came (``time.monotonic``)."""

    frame: av.VideoFrame
    number: int
    seconds: float


class LiveCamera:
    """A camera that goes on whether or not anybody looks; use it as a context.

    A frame that nobody has taken when the next one comes is lost, so that what is taken is never
    old. A camera that was there and ends, fails or falls silent is connected to again, at growing
    intervals and without end; one that was never there is an error.

    Args:
        address: where it is.
        skipped: counts the frames that are not taken.
        limits: pixels allowed in a frame.
        changed: called in the event loop with the reason when the camera is lost, and with None
            when it is back.
        resized: called in the event loop with the sizes, as (width, height), before and after a
            change.
        backoff: how long to wait between tries.
        silence_seconds: without a packet for so long, a network camera counts as lost.
    """

    def __init__(
        self,
        address: LiveAddress,
        *,
        skipped: Skipped,
        limits: Limits | None = None,
        changed: Callable[[SourceError | None], None],
        resized: Callable[[tuple[int, int], tuple[int, int]], None],
        backoff: Backoff | None = None,
        silence_seconds: float = 10.0,
    ) -> None:
        self._address = address
        self._limits = limits or Limits()
        self._changed = changed
        self._resized = resized
        self._backoff = backoff or Backoff(first_seconds=0.5, most_seconds=30.0)
        self._silence_seconds = silence_seconds
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        # Shared with the thread, under the lock.
        self._newest: _Seen | None = None
        self._is_pausing = False
        self._error: Exception | None = None
        self._num_read = 0
        self._skipped = skipped

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        # A daemon: FFmpeg may sit in a system call until the camera's silence is over.
        threading.Thread(target=self._read, name=f"read {self._address}", daemon=True).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()

    async def frames(
        self, *, fps: float | None = None, gate: MotionGate | None = None
    ) -> AsyncGenerator[SourceFrame, None]:
        """Yield the newest frame whenever there is one.

        Args:
            fps: at most so many a second.
            gate: lets through what moves.

        Raises:
            SourceError: the camera was never there, or cannot be read at all.
            PictureTooLarge: a frame exceeds the limits.
        """
        from ugicm_client.video import upright_pixels

        due = time.monotonic()
        while True:
            if fps is not None:
                await self._pause(due - time.monotonic())
                due = max(due, time.monotonic() - 1 / fps) + 1 / fps
            seen = await self._take()
            image = await asyncio.to_thread(upright_pixels, seen.frame)
            if gate is None or await asyncio.to_thread(gate.passes, image, seen.seconds):
                yield SourceFrame(f"{self._address} {seen.number}", image, seen.seconds)
            else:
                self._skipped.unchanged += 1

    async def _pause(self, seconds: float) -> None:
        self._is_pausing = True
        try:
            await asyncio.sleep(max(0.0, seconds))
        finally:
            self._is_pausing = False

    async def _take(self) -> _Seen:
        while True:
            with self._lock:
                seen, self._newest = self._newest, None
                if seen is not None:
                    return seen
                if self._error is not None:
                    raise self._error
                self._news.clear()
            await self._news.wait()

    def _read(self) -> None:
        """Run in the thread."""
        try:
            while not self._stopped.is_set():
                lost = self._read_one_connection()
                if lost is None:
                    return
                if not self._num_read:
                    raise lost
                self._call(self._changed, lost)
                self._stopped.wait(self._backoff.next_seconds())
        except Exception as error:  # noqa: BLE001 - raised in the taker's task
            with self._lock:
                self._error = error
            self._call(self._news.set)

    def _read_one_connection(self) -> SourceError | None:
        """Publish frames until the camera is lost; return why, or None where nobody looks."""
        is_back = self._num_read == 0
        size: tuple[int, int] | None = None
        try:
            for frame in self._open():
                if self._stopped.is_set():
                    return None
                if not is_back:
                    is_back = True
                    self._call(self._changed, None)
                self._backoff.reset()
                now = (frame.width, frame.height)
                if size is not None and now != size:
                    self._call(self._resized, size, now)
                size = now
                self._publish(frame)
        except SourceError as error:
            return error
        return SourceError(f"{self._address} ended its video")

    def _open(self) -> Iterator[av.VideoFrame]:
        from ugicm_client.video import decoded_frames, opened_video

        name = str(self._address)
        if isinstance(self._address, NetworkCamera):
            opened = opened_video(
                self._address.url,
                name,
                options=_NETWORK_OPTIONS,
                silence_seconds=self._silence_seconds,
                trouble=_TROUBLE,
            )
        else:
            device = str(_device_of(self._address))
            opened = opened_video(device, name, container_format="v4l2", trouble=_TROUBLE)
        with opened as container:
            yield from decoded_frames(container, name, self._limits)

    def _publish(self, frame: av.VideoFrame) -> None:
        with self._lock:
            self._num_read += 1
            if self._newest is not None:
                if self._is_pausing:
                    self._skipped.beyond_rate += 1
                else:
                    self._skipped.missed += 1
            self._newest = _Seen(frame, self._num_read, time.monotonic())
        self._call(self._news.set)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody looks any more
            self._loop.call_soon_threadsafe(function, *arguments)


def _device_of(webcam: Webcam) -> Path:
    """Return a webcam's device file.

    Raises:
        SourceError: it is not there, or may not be read.
    """
    if sys.platform != "linux":
        raise SourceError(f"{webcam}: webcams are read by Video4Linux, and this is {sys.platform}")
    device = _DEVICES / f"video{webcam.index}"
    try:
        device.open("rb").close()
    except FileNotFoundError:
        there = sorted(_DEVICES.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
        numbers = ", ".join(path.name.removeprefix("video") for path in there) or "none"
        raise SourceError(f"{webcam}: there is no {device}; webcams here: {numbers}") from None
    except PermissionError:
        raise SourceError(
            f"{webcam}: {device} may not be read; the group video usually may"
        ) from None
    except OSError as error:
        raise SourceError(f"{webcam}: {device}: {error.strerror}") from error
    return device
