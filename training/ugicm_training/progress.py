"""What a person sees while a model is trained."""

from __future__ import annotations

import logging
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ugicm_training.measures import Measures

__all__ = ["Display", "LineDisplay", "TerminalDisplay", "display_on"]

_log = logging.getLogger(__name__)


class Display:
    """Shows a stage's progress; nothing, unless a subclass says otherwise.

    Attributes:
        seconds: between two updates.
    """

    seconds = float("inf")

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def show(
        self, stage: str, step: int, steps: int, measures: Measures, *, speed: float, left: float
    ) -> None:
        """Show a step's figures, pictures per second, and seconds until the stage ends."""


class LineDisplay(Display):
    """Logs a line now and then, where no terminal is watched."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds

    def show(
        self, stage: str, step: int, steps: int, measures: Measures, *, speed: float, left: float
    ) -> None:
        _log.info(
            "%s %d/%d: %s, %.1f pictures/s, %s left",
            stage,
            step,
            steps,
            measures.as_line(),
            speed,
            _duration(left),
        )


class TerminalDisplay(Display):
    """Keeps one line of a terminal up to date."""

    seconds = 0.5

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20))
        self._progress = Progress(*columns, console=console, transient=True, refresh_per_second=2.0)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> TerminalDisplay:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(
        self, stage: str, step: int, steps: int, measures: Measures, *, speed: float, left: float
    ) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=steps)
        self._progress.update(
            self._tasks[stage],
            completed=step,
            description=f"{stage} {step}/{steps}: {measures.as_line()}, "
            f"{speed:.1f} pictures/s, {_duration(left)} left",
        )


def display_on(console: Console) -> Display:
    """Return what suits a console."""
    return TerminalDisplay(console) if console.is_terminal else LineDisplay()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
