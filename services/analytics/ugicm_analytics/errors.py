"""What analytics refuses.

AnalyticsError
  x ResultsNotKept          this server has no store of results
  x BadPageToken            the token was not made for this query
  + ResultsError            the results store cannot answer
      x ResultsFull          there is no room for anything new, or the disk refuses to write
      x ResultsFailed        the database cannot be read, or is closed
      x ResultsDamaged       its file no longer reads as it was written
  + AnalyzerLate            an analyzer did not answer in time
      x AnalyzerTooSlow      it was looking at the picture when its time was up
      x AnalyzerStuck        it is still busy with an earlier picture, whose time is up
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
    "AnalyzerLate",
    "AnalyzerStuck",
    "AnalyzerTooSlow",
    "BadPageToken",
    "DecoderDenied",
    "DecoderError",
    "DecoderExhausted",
    "DecoderFailed",
    "DecoderTooSlow",
    "FrameNotFound",
    "NotDecodable",
    "RequestRefused",
    "ResultsDamaged",
    "ResultsError",
    "ResultsFailed",
    "ResultsFull",
    "ResultsNotKept",
    "StreamDamaged",
]


class AnalyticsError(Exception):
    """The root of everything analytics refuses."""


class ResultsNotKept(AnalyticsError):
    """This server has no store of results."""


class BadPageToken(AnalyticsError):
    """The page token is damaged, or was not made for this query."""


class ResultsError(AnalyticsError):
    """The results store cannot answer."""


class ResultsFull(ResultsError):
    """There is no room for anything new, or the disk refuses to write.

    Attributes:
        retry_after_seconds: when to try again.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ResultsFailed(ResultsError):
    """The database cannot be read, or is closed."""


class ResultsDamaged(ResultsError):
    """The store's file no longer reads as it was written."""


class AnalyzerLate(AnalyticsError):
    """An analyzer did not answer in time."""


class AnalyzerTooSlow(AnalyzerLate):
    """The analyzer was looking at the picture when its time was up."""


class AnalyzerStuck(AnalyzerLate):
    """The analyzer is still busy with an earlier picture, whose time is up.

    Attributes:
        retry_after_seconds: when to try again.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


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
