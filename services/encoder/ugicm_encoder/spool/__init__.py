"""Accepted frames on disk until the decoder has them; docs/decisions/spool.md says why so."""

from ugicm_encoder.spool.interface import (
    Acceptance,
    Pending,
    Spool,
    SpooledItem,
    SpoolFull,
    SpoolUsage,
)
from ugicm_encoder.spool.sqlite import SqliteSpool

__all__ = [
    "Acceptance",
    "Pending",
    "Spool",
    "SpoolFull",
    "SpoolUsage",
    "SpooledItem",
    "SqliteSpool",
]
