"""What the console refuses.

ConsoleError
  x SessionExpired      there is no session, or it has ended
  x ForgedRequest       the request does not come from the console's own page
  x UnknownPath         nothing is there
  x WrongMethod         something is there, and takes other methods
  x UnknownUpload       the session has no such upload
  x UploadTooLarge      the file has more bytes than are taken
  x TooManyStreams      the session follows enough events already
  x NotConfigured       the settings name no such service
  + ServiceError        a service behind the console refused
      x NotFound          it has no such frame
      x RequestRefused    it takes the request, the stream or the picture for wrong
      x StreamDamaged     the stream's bytes are damaged
      x NotPossible       it has no model for the stream, or keeps no results
      x ServiceExhausted  it has no room, and waiting does not help
      x ServiceTooSlow    it did not answer in time
      x ServiceFailed     it broke, and its log says how
"""

from __future__ import annotations

__all__ = [
    "ConsoleError",
    "ForgedRequest",
    "NotConfigured",
    "NotFound",
    "NotPossible",
    "RequestRefused",
    "ServiceError",
    "ServiceExhausted",
    "ServiceFailed",
    "ServiceTooSlow",
    "SessionExpired",
    "StreamDamaged",
    "TooManyStreams",
    "UnknownPath",
    "UnknownUpload",
    "UploadTooLarge",
    "WrongMethod",
]


class ConsoleError(Exception):
    """The root of everything the console refuses."""


class SessionExpired(ConsoleError):
    """There is no session, or it has ended."""


class ForgedRequest(ConsoleError):
    """The request does not come from the console's own page."""


class UnknownPath(ConsoleError):
    """Nothing is there."""


class WrongMethod(ConsoleError):
    """Something is there, and takes other methods."""


class UnknownUpload(ConsoleError):
    """The session has no such upload: it was never there, or others took its room."""


class UploadTooLarge(ConsoleError):
    """The file has more bytes than are taken."""


class TooManyStreams(ConsoleError):
    """The session follows enough events already."""


class NotConfigured(ConsoleError):
    """The settings name no such service."""


class ServiceError(ConsoleError):
    """A service behind the console refused."""


class NotFound(ServiceError):
    """It has no such frame."""


class RequestRefused(ServiceError):
    """It takes the request, the stream or the picture for wrong."""


class StreamDamaged(ServiceError):
    """The stream's bytes are damaged."""


class NotPossible(ServiceError):
    """It has no model for the stream, or keeps no results."""


class ServiceExhausted(ServiceError):
    """It has no room, and waiting does not help."""


class ServiceTooSlow(ServiceError):
    """It did not answer in time."""


class ServiceFailed(ServiceError):
    """It broke, and its log says how."""
