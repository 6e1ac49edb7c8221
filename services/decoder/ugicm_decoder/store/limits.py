"""What a frame store may hold, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoreLimits"]


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """The limits of one store; None sets none.

    Attributes:
        retention_seconds: how long a frame is kept, from its storing: one that comes late from a
            spool stays as long as any other, and a wrong clock removes nothing (``Ages``).
        retention_camera_bytes: of the streams of each camera; those stored first go first.
        max_store_bytes: of the database's pages in use.
        min_free_bytes: what stays free on the disk, so that reads and retention go on.
        retry_seconds: how long nothing new of an epoch is taken once a frame of it found no room.
    """

    retention_seconds: float | None = None
    retention_camera_bytes: int | None = None
    max_store_bytes: int | None = None
    min_free_bytes: int = 64 * 2**20
    retry_seconds: float = 1.0
