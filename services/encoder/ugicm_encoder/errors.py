"""What the encoder refuses, beyond what the codec and servicekit refuse.

EncoderError
  x SpoolUnusable             the folder is no spool, or another encoder has it
  x CodingProcessEnded        a process that codes could not start, or ended by itself
  x FrameTooLarge             it alone has more bytes than the spool or the decoder takes
  + SpoolError                a frame cannot be spooled
      x SpoolFailed           the disk or the database refused
      x FrameLate             a later frame of its epoch was accepted already
  + DeliveryError             a frame cannot be delivered
      x UpstreamUnavailable   the decoder cannot be reached, or gave no answer in time
      x UpstreamFull          it has no room, and waiting does not help
      x UpstreamFailed        it broke, or answered against the contract
      x FrameTaken            other bytes were accepted under the frame's key
      x FrameRefused          the decoder takes the frame for wrong
      x FrameDamaged          the frame's bytes arrived damaged
"""

from __future__ import annotations

__all__ = [
    "CodingProcessEnded",
    "DeliveryError",
    "EncoderError",
    "FrameDamaged",
    "FrameLate",
    "FrameRefused",
    "FrameTaken",
    "FrameTooLarge",
    "SpoolError",
    "SpoolFailed",
    "SpoolUnusable",
    "UpstreamFailed",
    "UpstreamFull",
    "UpstreamUnavailable",
]


class EncoderError(Exception):
    """The root of everything the encoder refuses by itself."""


class SpoolUnusable(EncoderError):
    """The folder cannot be used as a spool by this process."""


class CodingProcessEnded(EncoderError):
    """A process that codes pictures could not start, or ended by itself."""


class FrameTooLarge(EncoderError):
    """The frame alone has more bytes than the spool or the decoder takes."""


class SpoolError(EncoderError):
    """A frame cannot be spooled."""


class SpoolFailed(SpoolError):
    """The disk or the database refused to read or write.

    Attributes:
        retry_after_seconds: when to try again.
    """

    retry_after_seconds = 1.0


class FrameLate(SpoolError):
    """A later frame of the epoch was accepted already, and this one was not."""


class DeliveryError(EncoderError):
    """A frame cannot be delivered."""


class UpstreamUnavailable(DeliveryError):
    """The decoder cannot be reached, or gave no answer in time."""


class UpstreamFull(DeliveryError):
    """The decoder has no room, and waiting does not help."""


class UpstreamFailed(DeliveryError):
    """The decoder broke, or answered against the contract."""


class FrameTaken(DeliveryError):
    """Other bytes were accepted under the frame's key."""


class FrameRefused(DeliveryError):
    """The decoder takes the frame for wrong, however often it is sent."""


class FrameDamaged(DeliveryError):
    """The frame's bytes arrived damaged at the decoder."""
