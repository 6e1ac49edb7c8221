"""What the decoder refuses, beyond what the codec itself refuses.

DecoderError
  + StoreError            the frame store cannot answer
      x StoreUnusable     the file is no frame store, or a newer decoder wrote it
      x StoreFailed       the disk or the database refused
      x StoreDamaged      what was stored no longer reads as it was written
      x FrameNotFound     no frame has that key
      x FrameConflict     the key is taken by a frame with other bytes
      x BadCursor         the cursor or page token was not made here, or for another query
  + ServingError          the request cannot be served by this process
      x NoSuchModel       no loaded model decodes the stream
"""

from __future__ import annotations

__all__ = [
    "BadCursor",
    "DecoderError",
    "FrameConflict",
    "FrameNotFound",
    "NoSuchModel",
    "ServingError",
    "StoreDamaged",
    "StoreError",
    "StoreFailed",
    "StoreUnusable",
]


class DecoderError(Exception):
    """The root of everything the decoder refuses by itself."""


class StoreError(DecoderError):
    """The frame store cannot answer."""


class StoreUnusable(StoreError):
    """The file is not a frame store that this version can open."""


class StoreFailed(StoreError):
    """The disk or the database refused to read or write."""


class StoreDamaged(StoreError):
    """What was stored no longer reads as it was written."""


class FrameNotFound(StoreError):
    """No frame has the key."""


class FrameConflict(StoreError):
    """A frame with other bytes already has the key."""


class BadCursor(StoreError):
    """The cursor does not belong to this store or this query."""


class ServingError(DecoderError):
    """This process cannot serve the request."""


class NoSuchModel(ServingError):
    """No loaded model has the stream's latents id."""
