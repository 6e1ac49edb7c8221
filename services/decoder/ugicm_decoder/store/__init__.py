"""The frame store: what it promises, and who keeps the promise: SQLite, or NATS JetStream."""

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
from ugicm_decoder.store.jetstream import JetStreamFrameStore
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
    "JetStreamFrameStore",
    "PutOutcome",
    "SqliteFrameStore",
    "StoreLimits",
]
