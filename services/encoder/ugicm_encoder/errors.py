"""What the encoder refuses, beyond what the codec and servicekit refuse.

EncoderError
  + DeliveryError             the decoder did not take a frame
      x UpstreamUnavailable   it cannot be reached, or gave no answer in time
      x FrameTaken            it has other bytes under the frame's key
      x UpstreamRefused       it will not take the frame, however often it is sent
"""

from __future__ import annotations

__all__ = [
    "DeliveryError",
    "EncoderError",
    "FrameTaken",
    "UpstreamRefused",
    "UpstreamUnavailable",
]


class EncoderError(Exception):
    """The root of everything the encoder refuses by itself."""


class DeliveryError(EncoderError):
    """The decoder did not take a frame."""


class UpstreamUnavailable(DeliveryError):
    """The decoder cannot be reached, or gave no answer in time."""


class FrameTaken(DeliveryError):
    """The decoder has other bytes under the frame's key."""


class UpstreamRefused(DeliveryError):
    """The decoder will not take the frame, however often it is sent."""
