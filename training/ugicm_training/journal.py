"""Writes down how a run goes: in its record, for TensorBoard, and for whoever watches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ugicm_training.measures import Measures
from ugicm_training.progress import Display
from ugicm_training.validation import ValidationPoint

__all__ = ["Journal"]

_log = logging.getLogger(__name__)


class Journal:
    """The written side of one run.

    Args:
        record: of the run; stages' curves and validations are added to it.
        display: for whoever watches.
        logs: folder for TensorBoard; None writes nothing.
        clock: seconds that only go on.
    """

    def __init__(
        self,
        record: dict[str, Any],
        *,
        display: Display,
        logs: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self._record = record
        self._display = display
        self._logs = logs
        self._writer: SummaryWriter | None = None
        self._clock = clock
        self._shown = self._timed = clock()
        self._steps_since = 0

    def __enter__(self) -> Journal:
        self._display.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._display.__exit__(kind, error, traceback)
        if self._writer:
            self._writer.close()

    def begin(self, stage: str, *, overall: int) -> None:
        """Start or go on with a stage; ``overall`` counts the steps of all stages so far."""
        entries = self._record["stages"]
        entries.setdefault(stage, {"steps": 0, "seconds": 0.0, "curve": []})
        self._shown = self._timed = self._clock()
        self._steps_since = 0
        if self._logs and not self._writer:
            # What a killed run wrote beyond its last checkpoint is not shown.
            self._writer = SummaryWriter(str(self._logs), purge_step=overall)

    def count(self, stage: str, step: int) -> None:
        """Note that a step is done."""
        now = self._clock()
        entry = self._record["stages"][stage]
        entry["steps"] = step
        entry["seconds"] = round(entry["seconds"] + now - self._timed, 3)
        self._timed = now
        self._steps_since += 1

    def is_due(self) -> bool:
        """Whether the display is to be updated: reading figures off a GPU waits for it."""
        return self._clock() - self._shown >= self._display.seconds

    def show(self, stage: str, step: int, steps: int, measures: Measures, *, batch: int) -> None:
        """Show a step's figures to whoever watches."""
        now = self._clock()
        speed = self._steps_since / max(now - self._shown, 1e-9)
        left = (steps - step) / speed if speed else float("inf")
        self._display.show(stage, step, steps, measures, speed=batch * speed, left=left)
        self._shown = now
        self._steps_since = 0

    def record(self, stage: str, step: int, measures: Measures, *, overall: int) -> None:
        """Add a point to the stage's curve and to TensorBoard's."""
        figures = {
            name: round(value, 6) for name, value in asdict(measures).items() if value is not None
        }
        self._record["stages"][stage]["curve"].append({"step": step, **figures})
        self._write(f"train/{stage}", figures, overall)

    def validated(
        self, stage: str, step: int, points: Sequence[ValidationPoint], *, overall: int
    ) -> None:
        """Note what a validation found."""
        self._record["validation"].append([stage, step, [point.as_json() for point in points]])
        for point in points:
            _log.info("%s %d, validation, %s", stage, step, point.as_line())
            figures = {name: value for name, value in asdict(point).items() if value is not None}
            self._write(f"validation/quality {point.quality}", figures, overall)

    def _write(self, prefix: str, figures: dict[str, float], overall: int) -> None:
        if self._writer:
            for name, value in figures.items():
                self._writer.add_scalar(f"{prefix}/{name}", value, overall)
