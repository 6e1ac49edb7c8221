"""What the decoder refuses, beyond what the codec and servicekit refuse.

DecoderError
  x StoreUnusable         the file is no frame store, or a newer decoder wrote it
  + StoreError            the frame store cannot answer
      x StoreFailed       the database cannot be read, or is closed; its servers do not answer
      x StoreLost         it will not answer again before it is opened anew
      x StoreFull         there is no room for anything new, or the disk refuses to write
      x StoreDamaged      the store's file no longer reads as it was written
      x FrameDamaged      a frame's bytes no longer match their checksum
      x FrameNotFound     no frame has the key
      x FrameConflict     the key is taken by a frame with other bytes
      x FrameTooLarge     the store takes no frame of this size
      x BadCursor         the cursor or page token was not made by this store for this query
"""

from __future__ import annotations

__all__ = [
    "BadCursor",
    "DecoderError",
    "FrameConflict",
    "FrameDamaged",
    "FrameNotFound",
    "FrameTooLarge",
    "StoreDamaged",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLost",
    "StoreUnusable",
]


class DecoderError(Exception):
    """The root of everything the decoder refuses by itself."""


class StoreUnusable(DecoderError):
    """The file is not a frame store that this version can open."""


class StoreError(DecoderError):
    """The frame store cannot answer."""


class StoreFailed(StoreError):
    """The database cannot be read, or is closed; its servers do not answer.

    Attributes:
        retry_after_seconds: when to try again, where that is known.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoreLost(StoreError):
    """The frame store will not answer again before it is opened anew.

    Attributes:
        retry_after_seconds: when to try again: by then another decoder may answer, or this one.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoreFull(StoreError):
    """There is no room for anything new, or the disk refuses to write.

    Attributes:
        retry_after_seconds: when to try again.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoreDamaged(StoreError):
    """The store's file no longer reads as it was written."""


class FrameDamaged(StoreError):
    """The stored bytes of a frame no longer match their checksum."""


class FrameNotFound(StoreError):
    """No frame has the key."""


class FrameConflict(StoreError):
    """A frame with other bytes already has the key."""


class FrameTooLarge(StoreError):
    """The store takes no frame of this size."""


class BadCursor(StoreError):
    """The cursor or page token was not made by this store for this query."""
