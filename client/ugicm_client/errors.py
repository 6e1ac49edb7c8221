"""What the client refuses or cannot do.

ClientError
  + PictureError             a picture file cannot be used
      x UnreadablePicture    not a picture, damaged, or samples without a defined range
      x PictureTooLarge      more pixels than the limits allow
      x UnwritablePicture    the file format cannot hold the picture, or is not known
  x FileTooLarge             an input file has more bytes than are ever read into memory
  x OutputExists             writing would destroy a file that is there
  x SourceError              a folder, video or camera gives no frames
  x BadAddress               a camera's address cannot be used, or shows a password
  x BadState                 a camera's state file cannot be gone on from
  x MissingPackage           a package that this command needs is not installed
  + ServiceError             a service did not do what was asked
      x ServiceUnavailable   nothing answers at the address, or not now
      x ServiceRefused       the service answered with an error
  x ProcessError             a process that was started here ended or never became ready
"""

from __future__ import annotations

__all__ = [
    "BadAddress",
    "BadState",
    "ClientError",
    "FileTooLarge",
    "MissingPackage",
    "OutputExists",
    "PictureError",
    "PictureTooLarge",
    "ProcessError",
    "ServiceError",
    "ServiceRefused",
    "ServiceUnavailable",
    "SourceError",
    "UnreadablePicture",
    "UnwritablePicture",
]


class ClientError(Exception):
    """The root of everything the client refuses or cannot do."""


class PictureError(ClientError):
    """A picture file cannot be used."""


class UnreadablePicture(PictureError):
    """The file is not a picture, is damaged, or has samples without a defined range."""


class PictureTooLarge(PictureError):
    """The picture has more pixels than the limits allow."""


class UnwritablePicture(PictureError):
    """The file format cannot hold the picture, or is not known."""


class FileTooLarge(ClientError):
    """An input file has more bytes than are ever read into memory."""


class OutputExists(ClientError):
    """Writing would destroy a file that is there."""


class SourceError(ClientError):
    """The folder, video or camera gives no frames."""


class BadAddress(ClientError):
    """No camera can have the address, or it holds a password for everybody to see."""


class BadState(ClientError):
    """A camera's or watch's state file is of something else, or another process has it."""


class MissingPackage(ClientError):
    """A package that this command needs is not installed."""


class ServiceError(ClientError):
    """A service did not do what was asked."""


class ServiceUnavailable(ServiceError):
    """Nothing answers at the address, or what is there cannot serve now."""


class ServiceRefused(ServiceError):
    """The service answered with an error.

    Attributes:
        status: the gRPC status by name, for example ``"NOT_FOUND"``.
        retry_after_seconds: when to try again; None where the service says nothing of it.
    """

    def __init__(
        self, message: str, *, status: str, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ProcessError(ClientError):
    """A process that was started here ended or never became ready."""
