"""Turn keys, frames and gaps into the columns of their rows, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ugicm_codec import StreamInfo
from ugicm_decoder.store.interface import FrameRecord, Gap, GapReason
from ugicm_servicekit.sqlite import signed, unsigned
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "BY_KEY",
    "GAP",
    "RECORD",
    "gap_columns",
    "gap_of",
    "key_columns",
    "record_of",
    "signed",
    "unsigned",
]

RECORD = (
    "camera, epoch, sequence, captured_ns, stored_ns, "
    "version, latents_id, height, width, quality_step, num_bytes"
)
GAP = "camera, epoch, first_sequence, last_sequence, reason"
BY_KEY = "camera = ? AND epoch = ? AND sequence = ?"


def key_columns(key: FrameKey) -> tuple[str, int, int]:
    """Return the columns that ``BY_KEY`` compares."""
    return key.camera, signed(key.epoch), signed(key.sequence)


def record_of(columns: Sequence[Any]) -> FrameRecord:
    """Return what the columns ``RECORD`` say."""
    camera, epoch, sequence, captured_ns, stored_ns, *header = columns
    key = FrameKey(camera, unsigned(epoch), unsigned(sequence))
    return FrameRecord(key, captured_ns, stored_ns, StreamInfo(*header))


def gap_columns(gap: Gap) -> tuple[str, int, int, int, int]:
    """Return the columns ``GAP``."""
    first, last = signed(gap.first_sequence), signed(gap.last_sequence)
    return gap.camera, signed(gap.epoch), first, last, int(gap.reason)


def gap_of(columns: Sequence[Any]) -> Gap:
    """Return what the columns ``GAP`` say."""
    camera, epoch, first, last, reason = columns
    return Gap(camera, unsigned(epoch), unsigned(first), unsigned(last), GapReason(reason))
