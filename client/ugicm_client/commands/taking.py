"""How ``ugicm camera`` takes frames from a source, and what it says about that."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ugicm_client.commands.work import say
from ugicm_client.sources import Skipped

if TYPE_CHECKING:
    from ugicm_client.commands.work import Work
    from ugicm_client.errors import SourceError
    from ugicm_client.live_address import LiveAddress
    from ugicm_client.motion import MotionGate
    from ugicm_client.sources import SourceFrame

__all__ = ["Taking"]

# One in the encoder, and one that it finds when it is done.
_MOST_UNANSWERED_LIVE = 2


@dataclass(frozen=True)
class Taking:
    """A source, and which of its frames are taken.

    Attributes:
        place: a folder, a video file or a live camera.
        fps: at most so many a second; all where None.
        gate: lets through what moves; everything passes where None.
        most: ends after so many; never where None.
        loop: begins a folder or video again at its end.
        after: begins a folder or video behind the frame of this name.
        skipped: counts what is not taken.
    """

    place: Path | LiveAddress
    fps: float | None
    gate: MotionGate | None
    most: int | None
    loop: bool
    after: str
    skipped: Skipped = field(default_factory=Skipped)

    @property
    def is_live(self) -> bool:
        """Whether frames come at their own time, and those that are not taken are gone."""
        return not isinstance(self.place, Path)

    @property
    def most_unanswered(self) -> int:
        """How many frames may wait for the encoder's answers."""
        from ugicm_client.camera import MOST_UNANSWERED

        return _MOST_UNANSWERED_LIVE if self.is_live else MOST_UNANSWERED

    def count(self) -> int | None:
        """Return how many frames there will be, where that is known."""
        from ugicm_client.sources import count_frames

        if not isinstance(self.place, Path) or self.loop or self.fps or self.gate:
            return self.most
        number = count_frames(self.place)
        return self.most if number is None else min(number, self.most or number)

    async def frames(self, work: Work) -> AsyncGenerator[SourceFrame, None]:
        """Yield the frames; ``work`` is told of unreadable pictures.

        Raises:
            SourceError, PictureError, OSError: the source cannot be read.
        """
        num_taken = 0
        place = self.place
        taken = self._from_files(place, work) if isinstance(place, Path) else self._live(place)
        async with aclosing(taken) as frames:
            async for frame in frames:
                yield frame
                num_taken += 1
                if num_taken == self.most:
                    return

    async def _from_files(self, path: Path, work: Work) -> AsyncGenerator[SourceFrame, None]:
        from ugicm_client.sources import paced, read_endlessly, read_source

        read = read_endlessly if self.loop else read_source
        frames = read(
            path,
            fps=self.fps,
            after=self.after,
            on_bad_picture=work.fail,
            gate=self.gate,
            skipped=self.skipped,
        )
        async for frame in paced(frames, fps=self.fps):
            yield frame

    async def _live(self, address: LiveAddress) -> AsyncGenerator[SourceFrame, None]:
        from ugicm_client.live import LiveCamera

        def changed(trouble: SourceError | None) -> None:
            say(f"{trouble}; connecting again" if trouble else f"{address} gives frames again")

        def resized(before: tuple[int, int], after: tuple[int, int]) -> None:
            say(f"{address} gives {after[0]}x{after[1]} pixels now, after {before[0]}x{before[1]}")

        async with LiveCamera(
            address, skipped=self.skipped, changed=changed, resized=resized
        ) as camera:
            async for frame in camera.frames(fps=self.fps, gate=self.gate):
                yield frame
