"""Pictures one after the other, from a folder or a video file, as a camera would take them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ugicm_client.errors import PictureError, PictureTooLarge, SourceError
from ugicm_client.pictures import SUFFIXES, Pixels, read_picture
from ugicm_codec.limits import Limits

__all__ = ["SourceFrame", "count_frames", "paced", "read_endlessly", "read_source"]


@dataclass(frozen=True)
class SourceFrame:
    """One picture of a source, with the name that messages and files use for it."""

    name: str
    image: Pixels


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
) -> Iterator[SourceFrame]:
    """Yield the pictures of a folder by name, or the frames of a video in order.

    Args:
        path: a folder of pictures or a video file.
        fps: takes frames from a video at this rate of its own time; all of them where ``None``.
        after: begins behind the frame of this name.
        limits: pixels allowed.
        on_bad_picture: told of each unreadable picture of a folder, which is then passed over;
            where ``None``, its error is raised.

    Raises:
        SourceError: there is no frame, or the file is not a video.
        PictureError: as ``read_picture``.
        OSError: the source cannot be read.
    """
    if path.is_dir():
        yield from _read_folder(path, after, limits, on_bad_picture)
    else:
        yield from _read_video(path, fps, after, limits or Limits())


def read_endlessly(
    path: Path,
    *,
    fps: float | None = None,
    after: str = "",
    on_bad_picture: Callable[[PictureError | OSError], None] | None = None,
) -> Iterator[SourceFrame]:
    """Yield what ``read_source`` yields, and begin again at the end.

    Raises:
        SourceError: there is no frame, or no longer one.
        PictureError: as ``read_picture``.
        OSError: the source cannot be read.
    """
    while True:
        num_read = 0
        for frame in read_source(path, fps=fps, after=after, on_bad_picture=on_bad_picture):
            num_read += 1
            yield frame
        if not num_read and not after:
            raise SourceError(f"nothing in {path} can be read")
        after = ""


async def paced(frames: Iterator[SourceFrame], *, fps: float | None) -> AsyncIterator[SourceFrame]:
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


def _read_folder(
    folder: Path,
    after: str,
    limits: Limits | None,
    on_bad_picture: Callable[[PictureError | OSError], None] | None,
) -> Iterator[SourceFrame]:
    files = _picture_files(folder)
    if not files:
        raise SourceError(f"folder {folder} has no pictures")
    for path in files:
        if path.name <= after:
            continue
        try:
            image = read_picture(path, limits=limits)
        except (PictureError, OSError) as error:
            if on_bad_picture is None:
                raise
            on_bad_picture(error)
            continue
        yield SourceFrame(path.name, image)


def _read_video(path: Path, fps: float | None, after: str, limits: Limits) -> Iterator[SourceFrame]:
    path.open("rb").close()  # an ordinary error for what is missing or forbidden
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SourceError(f"{path} has no video")
            stream = container.streams.video[0]
            if stream.width * stream.height > limits.max_pixels:
                raise PictureTooLarge(
                    f"{path}: at most {limits.max_pixels} pixels, "
                    f"got {stream.width}x{stream.height}"
                )
            due = Fraction(0)
            for index, frame in enumerate(container.decode(stream)):
                if fps is not None and frame.time is not None:
                    if frame.time < due:
                        continue
                    due += 1 / Fraction(fps)
                name = f"{path.stem}-{index:06d}"
                # Long videos have longer numbers.
                if (len(name), name) <= (len(after), after):
                    continue
                image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield SourceFrame(name, np.ascontiguousarray(image))
    except av.FFmpegError as error:
        raise SourceError(f"{path} is not a video that can be read: {error.strerror}") from error
