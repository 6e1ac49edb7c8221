"""The frame store: what it promises, and SQLite keeping the promise."""

from ugicm_decoder.store.interface import (
    CameraSummary,
    Event,
    Events,
    Frame,
    FrameQuery,
    FrameRecord,
    FrameStore,
    Gap,
    GapReason,
    PutOutcome,
)
from ugicm_decoder.store.limits import StoreLimits
from ugicm_decoder.store.sqlite import SqliteFrameStore

__all__ = [
    "CameraSummary",
    "Event",
    "Events",
    "Frame",
    "FrameQuery",
    "FrameRecord",
    "FrameStore",
    "Gap",
    "GapReason",
    "PutOutcome",
    "SqliteFrameStore",
    "StoreLimits",
]
