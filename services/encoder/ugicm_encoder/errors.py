"""What the encoder refuses, beyond what the codec and servicekit refuse.

EncoderError
  + DeliveryError             the decoder did not take a frame
      x UpstreamUnavailable   it cannot be reached, or gave no answer in time
      x UpstreamFull          it has no room, and waiting does not help
      x UpstreamFailed        it broke, or answered against the contract
      x FrameTaken            it has other bytes under the frame's key
      x FrameRefused          it takes the frame for wrong
      x FrameDamaged          the frame's bytes arrived damaged
"""

from __future__ import annotations

__all__ = [
    "DeliveryError",
    "EncoderError",
    "FrameDamaged",
    "FrameRefused",
    "FrameTaken",
    "UpstreamFailed",
    "UpstreamFull",
    "UpstreamUnavailable",
]


class EncoderError(Exception):
    """The root of everything the encoder refuses by itself."""


class DeliveryError(EncoderError):
    """The decoder did not take a frame."""


class UpstreamUnavailable(DeliveryError):
    """The decoder cannot be reached, or gave no answer in time."""


class UpstreamFull(DeliveryError):
    """The decoder has no room, and waiting does not help."""


class UpstreamFailed(DeliveryError):
    """The decoder broke, or answered against the contract."""


class FrameTaken(DeliveryError):
    """The decoder has other bytes under the frame's key."""


class FrameRefused(DeliveryError):
    """The decoder takes the frame for wrong, however often it is sent."""


class FrameDamaged(DeliveryError):
    """The frame's bytes arrived damaged at the decoder."""
