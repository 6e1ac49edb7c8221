"""Pictures one after the other, from a folder or a video file, as a camera would take them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ugicm_client.errors import PictureError, SourceError
from ugicm_client.motion import MotionGate
from ugicm_client.pictures import SUFFIXES, Pixels, read_picture
from ugicm_codec.limits import Limits

__all__ = ["Skipped", "SourceFrame", "count_frames", "paced", "read_endlessly", "read_source"]


@dataclass(frozen=True)
class SourceFrame:
    """One picture of a source.

    Attributes:
        name: what messages and files call it.
        image: ``(H, W, 3)``, RGB.
        seconds: when it was taken, on the source's own clock; None where it has none.
    """

    name: str
    image: Pixels
    seconds: float | None = None


@dataclass
class Skipped:
    """How many frames of a source were not taken, by why not.

    Attributes:
        unchanged: nothing moved.
        missed: a live camera gave them while the taker was busy.
        beyond_rate: a live camera gave more of them than were asked for.
    """

    unchanged: int = 0
    missed: int = 0
    beyond_rate: int = 0

    def __str__(self) -> str:
        reasons = (
            (self.unchanged, "unchanged"),
            (self.missed, "missed while the encoder was busy"),
            (self.beyond_rate, "beyond the rate"),
        )
        return ", ".join(f"{number} {reason}" for number, reason in reasons if number)


def count_frames(path: Path) -> int | None:
    """Return how many frames a source says that it has, or ``None`` where it does not."""
    if path.is_dir():
        return len(_picture_files(path))
    import av

    try:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames or None
    except (av.FFmpegError, IndexError):
        return None


def read_source(
    path: Path,
    *,
    fps: float | None = None,
    after: str = "",
    limits: Limits | None = None,
    on_bad_picture: Callable[[PictureError | OSError], None] | None = None,
    gate: MotionGate | None = None,
    skipped: Skipped | None = None,
) -> Iterator[SourceFrame]:
    """Yield the pictures of a folder by name, or the frames of a video in order.

    Args:
        path: a folder of pictures or a video file.
        fps: takes frames from a video at this rate of its own time, all of them where ``None``;
            and is the rate at which a folder's pictures were taken.
        after: begins behind the frame of this name.
        limits: pixels allowed.
        on_bad_picture: told of each unreadable picture of a folder, which is then passed over;
            where ``None``, its error is raised.
        gate: lets through what moves. It sees every frame from the beginning, also those up to
            ``after``: the same frames pass whatever ``after`` is.
        skipped: counts what the gate holds back behind ``after``.

    Raises:
        SourceError: there is no frame, or the file is not a video.
        PictureError: as ``read_picture``.
        OSError: the source cannot be read.
    """
    first = after if gate is None else ""
    if path.is_dir():
        frames = _read_folder(path, fps, first, limits, on_bad_picture)
    else:
        frames = _read_video(path, fps, first, limits or Limits())
    if gate is None:
        yield from frames
        return
    gate.restart()
    for frame in frames:
        passes = gate.passes(frame.image, frame.seconds)
        if _order(path, frame.name) <= _order(path, after):
            continue
        if passes:
            yield frame
        elif skipped is not None:
            skipped.unchanged += 1


def read_endlessly(
    path: Path,
    *,
    fps: float | None = None,
    after: str = "",
    on_bad_picture: Callable[[PictureError | OSError], None] | None = None,
    gate: MotionGate | None = None,
    skipped: Skipped | None = None,
) -> Iterator[SourceFrame]:
    """Yield what ``read_source`` yields, and begin again at the end.

    Raises:
        SourceError: there is no frame, or no longer one.
        PictureError: as ``read_picture``.
        OSError: the source cannot be read.
    """
    while True:
        num_read = 0
        for frame in read_source(
            path,
            fps=fps,
            after=after,
            on_bad_picture=on_bad_picture,
            gate=gate,
            skipped=skipped,
        ):
            num_read += 1
            yield frame
        if not num_read and not after:
            raise SourceError(f"nothing in {path} can be read")
        after = ""


async def paced(
    frames: Iterator[SourceFrame], *, fps: float | None
) -> AsyncGenerator[SourceFrame, None]:
    """Read frames in another thread, and yield them no faster than ``fps``.

    What a slow consumer has missed is not caught up with.
    """
    due = time.monotonic()
    while (frame := await asyncio.to_thread(next, frames, None)) is not None:
        if fps is not None:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - 1 / fps) + 1 / fps
        yield frame


def _picture_files(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES)


def _order(source: Path, name: str) -> tuple[int, str]:
    """Return what a source's frames are sorted by; the longer a video, the longer its numbers."""
    return (0 if source.is_dir() else len(name), name)


def _read_folder(
    folder: Path,
    fps: float | None,
    after: str,
    limits: Limits | None,
    on_bad_picture: Callable[[PictureError | OSError], None] | None,
) -> Iterator[SourceFrame]:
    files = _picture_files(folder)
    if not files:
        raise SourceError(f"folder {folder} has no pictures")
    for index, path in enumerate(files):
        if path.name <= after:
            continue
        try:
            image = read_picture(path, limits=limits)
        except (PictureError, OSError) as error:
            if on_bad_picture is None:
                raise
            on_bad_picture(error)
            continue
        yield SourceFrame(path.name, image, None if fps is None else index / fps)


def _read_video(path: Path, fps: float | None, after: str, limits: Limits) -> Iterator[SourceFrame]:
    path.open("rb").close()  # an ordinary error for what is missing or forbidden
    from ugicm_client.video import decoded_frames, opened_video, upright_pixels

    with opened_video(str(path), str(path)) as container:
        due = Fraction(0)
        for index, frame in enumerate(decoded_frames(container, str(path), limits)):
            if fps is not None and frame.time is not None:
                if frame.time < due:
                    continue
                due += 1 / Fraction(fps)
            name = f"{path.stem}-{index:06d}"
            if _order(path, name) > _order(path, after):
                yield SourceFrame(name, upright_pixels(frame), frame.time)
