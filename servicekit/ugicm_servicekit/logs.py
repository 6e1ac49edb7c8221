"""Set up a process's log, and give lines the fields of what they are about.

Secrets are struck out of whatever is logged.
"""

from __future__ import annotations

import contextvars
import enum
import json
import logging
import sys
import time

from ugicm_servicekit.redaction import redact
from ugicm_servicekit.tracing import current_trace_id
from ugicm_servicekit.wire import FrameKey

__all__ = ["LogFormat", "LogLevel", "about_frame", "configure_logging"]

_frame: contextvars.ContextVar[FrameKey | None] = contextvars.ContextVar(
    "ugicm_frame", default=None
)


class LogFormat(enum.Enum):
    """How lines are written."""

    LINES = "lines"
    JSON = "json"


class LogLevel(enum.Enum):
    """What is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def about_frame(key: FrameKey) -> None:
    """Give every line that the running task logs from now on the frame's camera, epoch, sequence.

    Each call has a task of its own, and so has each item of a stream of requests; threads that
    work for them log with the same fields.
    """
    _frame.set(key)


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Send the process's log to standard error; only ``main`` does this."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format is LogFormat.JSON else _Lines())
    logging.basicConfig(level=level.name, handlers=[handler], force=True)


def _frame_fields() -> dict[str, str | int]:
    key = _frame.get()
    if key is None:
        return {}
    return {"camera": key.camera, "epoch": key.epoch, "sequence": key.sequence}


def _trace_fields() -> dict[str, str]:
    """Return the frame's trace, also while nobody collects it; else the running call's."""
    key = _frame.get()
    trace_id = current_trace_id() if key is None else key.trace_id
    return {} if trace_id is None else {"trace_id": f"{trace_id:032x}"}


class _Lines(logging.Formatter):
    """One line for people: time, level, logger, message, fields."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = "".join(f" {name}={value}" for name, value in _frame_fields().items())
        return super().formatMessage(record) + fields


class _Json(_Lines):
    """One JSON object for programs."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str | int] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_frame_fields(),
            **_trace_fields(),
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)
