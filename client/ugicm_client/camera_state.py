"""Remember on disk how far a camera has come, so that its next run goes on there."""

from __future__ import annotations

import asyncio
import enum
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ugicm_client.errors import BadState
from ugicm_servicekit.durable import make_folder_durably, write_durably
from ugicm_servicekit.locking import held

__all__ = ["CameraState", "Progress", "Rereading"]

# A file is written once for so many frames that are sent, and at most so often for answered ones.
# What is sent again because of that is a duplicate to the encoder.
_RESERVED = 64
_WRITE_SECONDS = 1.0


@dataclass(frozen=True)
class Progress:
    """How far a camera has come.

    Attributes:
        camera: its name.
        source: what it sends, and how frames are chosen from it.
        epoch: of its keys.
        next_sequence: of the first frame that is not answered.
        unused_sequence: the first that was never sent.
        after: the name of the last frame of the source that is answered; empty if none is.
    """

    camera: str
    source: str
    epoch: int
    next_sequence: int = 0
    unused_sequence: int = 0
    after: str = ""


class Rereading(enum.Enum):
    """Whether frames that a source gave once can be had again."""

    POSSIBLE = "possible"
    IMPOSSIBLE = "impossible"


class CameraState:
    """A state file in the hands of one process; made by ``open``.

    A source that can be read again is: frames without an answer keep their sequences, and the
    encoder tells which of them it has. Behind another source, or a live one, the sequences go on
    where none was ever sent, because their frames cannot be had again.
    """

    def __init__(self, path: Path, progress: Progress, clock: Callable[[], float]) -> None:
        self._path = path
        self._progress = progress
        self._clock = clock
        self._written_at = clock()

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        *,
        camera: str,
        source: str,
        rereading: Rereading = Rereading.POSSIBLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator[CameraState]:
        """Open the state of a camera; a new epoch begins where there is none.

        Raises:
            BadState: the file is of another camera, or no state, or another process has it.
            OSError: it cannot be read or written.
        """
        path = path.resolve()
        make_folder_durably(path.parent)
        # A file of its own: the state is replaced, and a lock would stay with the replaced one.
        lock = path.with_name(f".{path.name}.lock")
        with held(lock, taken=BadState(f"another process sends as the camera of {path}")):
            state = cls(path, _begin(_read(path), path, camera, source, rereading), clock)
            try:
                yield state
            finally:
                _write(path, state.progress)

    @property
    def progress(self) -> Progress:
        """How far the camera has come."""
        return self._progress

    async def sending(self, sequence: int) -> None:
        """Return once the file says that the sequence is used."""
        if sequence >= self._progress.unused_sequence:
            self._progress = replace(self._progress, unused_sequence=sequence + _RESERVED)
            await self._write()

    async def answered(self, sequence: int, name: str) -> None:
        """Note that the frame of a sequence, which has this name in the source, is answered."""
        self._progress = replace(self._progress, next_sequence=sequence + 1, after=name)
        if self._clock() - self._written_at >= _WRITE_SECONDS:
            await self._write()

    async def _write(self) -> None:
        self._written_at = self._clock()
        await asyncio.to_thread(_write, self._path, self._progress)


def _begin(
    known: Progress | None, path: Path, camera: str, source: str, rereading: Rereading
) -> Progress:
    if known is None:
        return Progress(camera, source, epoch=time.time_ns() // 1000)
    if known.camera != camera:
        raise BadState(f"{path} is the state of camera {known.camera}, not of {camera}")
    if known.source != source or rereading is Rereading.IMPOSSIBLE:
        return replace(known, source=source, next_sequence=known.unused_sequence, after="")
    return known


def _read(path: Path) -> Progress | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    try:
        values = json.loads(text)
        progress = Progress(**values)
    except (ValueError, TypeError) as error:
        raise BadState(f"{path} is no camera's state; without it a new epoch begins") from error
    if {name: type(value) for name, value in values.items()} != _TYPES:
        raise BadState(f"{path} is no camera's state; without it a new epoch begins")
    return progress


_TYPES = {name: type(value) for name, value in asdict(Progress("", "", 0)).items()}


def _write(path: Path, progress: Progress) -> None:
    """Replace the file durably: whoever reads it, at any moment, reads a whole one."""
    write_durably(path, json.dumps(asdict(progress), indent=2).encode())
