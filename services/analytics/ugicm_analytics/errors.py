"""What analytics refuses.

AnalyticsError
  x ResultsNotKept          this server has no store of results
  + DecoderError            the decoder gave no picture
      x FrameNotFound        it has no such frame
      x RequestRefused       it takes the request or the stream for wrong
      x StreamDamaged        the stream's bytes are damaged
      x NotDecodable         it has no model for the stream
      x DecoderExhausted     it has no room, and waiting does not help
      x DecoderTooSlow       it did not answer in time
      x DecoderDenied        it does not let this service in, or not to this view
      x DecoderFailed        it broke, and its log says how
"""

from __future__ import annotations

__all__ = [
    "AnalyticsError",
    "DecoderDenied",
    "DecoderError",
    "DecoderExhausted",
    "DecoderFailed",
    "DecoderTooSlow",
    "FrameNotFound",
    "NotDecodable",
    "RequestRefused",
    "ResultsNotKept",
    "StreamDamaged",
]


class AnalyticsError(Exception):
    """The root of everything analytics refuses."""


class ResultsNotKept(AnalyticsError):
    """This server has no store of results."""


class DecoderError(AnalyticsError):
    """The decoder gave no picture; the message is its own."""


class FrameNotFound(DecoderError):
    """The decoder has no such frame."""


class RequestRefused(DecoderError):
    """The decoder takes the request or the stream for wrong."""


class StreamDamaged(DecoderError):
    """The stream's bytes are damaged."""


class NotDecodable(DecoderError):
    """The decoder has no model for the stream."""


class DecoderExhausted(DecoderError):
    """The decoder has no room, and waiting does not help."""


class DecoderTooSlow(DecoderError):
    """The decoder did not answer in time."""


class DecoderDenied(DecoderError):
    """The decoder does not let this service in, or not to this view: its token says who it is."""


class DecoderFailed(DecoderError):
    """The decoder broke, and its log says how."""
