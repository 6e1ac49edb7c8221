"""What the codec refuses.

CodecError
  + BitstreamError           the bytes are not a stream that can be decoded
      x NotAStream           the magic number differs
      x UnsupportedVersion   of a version that this reader does not know
      x TruncatedStream      bytes are missing at the end
      x TrailingBytes        bytes follow the end
      x StreamTooLarge       a declared size exceeds the limits
      x CorruptStream        a checksum or a coded symbol is wrong
      x LatentsMismatch      intact bytes gave other latents than the encoder had
  + ModelError               the model cannot be used
      x UnknownModel         no model of that name or at that path
      x BadModelFile         the file is damaged or of another kind
      x WrongModel           the stream was coded for other latents
      x UnusableDevice       PyTorch cannot compute where it was told to
      x InexactArithmetic    this machine cannot reproduce the model's integer arithmetic
  + RequestError             the caller asked for something that cannot be
      x BadImage             not a picture of shape (H, W, 3) in uint8
      x ImageTooLarge        more pixels than the limits allow
      x BadQuality           quality is not an integer from 0 to 100
      x BadView              view is neither a number in [0, 1] nor a preset
      x BudgetTooSmall       no quality fits into max_bytes
"""

from __future__ import annotations

__all__ = [
    "BadImage",
    "BadModelFile",
    "BadQuality",
    "BadView",
    "BitstreamError",
    "BudgetTooSmall",
    "CodecError",
    "CorruptStream",
    "ImageTooLarge",
    "InexactArithmetic",
    "LatentsMismatch",
    "ModelError",
    "NotAStream",
    "RequestError",
    "StreamTooLarge",
    "TrailingBytes",
    "TruncatedStream",
    "UnknownModel",
    "UnsupportedVersion",
    "UnusableDevice",
    "WrongModel",
]


class CodecError(Exception):
    """The root of everything the codec refuses."""


class BitstreamError(CodecError):
    """The bytes are not a stream that can be decoded."""


class NotAStream(BitstreamError):
    """The bytes do not start with the magic number."""


class UnsupportedVersion(BitstreamError):
    """The stream's version is not one that this reader knows."""


class TruncatedStream(BitstreamError):
    """The stream ends before its declared length."""


class TrailingBytes(BitstreamError):
    """Bytes follow the stream's declared end."""


class StreamTooLarge(BitstreamError):
    """A declared size exceeds the limits."""


class CorruptStream(BitstreamError):
    """A checksum or a coded symbol is wrong."""


class LatentsMismatch(BitstreamError):
    """The stream is intact, and decoding gave other latents than the encoder coded."""


class ModelError(CodecError):
    """The model cannot be used."""


class UnknownModel(ModelError):
    """No model of that name is installed and no file lies at that path."""


class BadModelFile(ModelError):
    """The model file is damaged, incomplete or of another kind."""


class WrongModel(ModelError):
    """The stream names other latents than the loaded model decides."""


class UnusableDevice(ModelError):
    """This machine or this PyTorch has no such device."""


class InexactArithmetic(ModelError):
    """No back end of this machine reproduces the model's integer arithmetic."""


class RequestError(CodecError):
    """The caller asked for something that cannot be."""


class BadImage(RequestError):
    """The array is not a picture."""


class ImageTooLarge(RequestError):
    """The picture has more pixels than the limits allow."""


class BadQuality(RequestError):
    """The quality is out of range."""


class BadView(RequestError):
    """The view is out of range."""


class BudgetTooSmall(RequestError):
    """No quality step fits into the byte budget.

    Attributes:
        smallest: bytes of the smallest stream this picture can have with this model.
    """

    def __init__(self, message: str, smallest: int) -> None:
        # Both are arguments of the base, so that the error survives a process pool.
        super().__init__(message, smallest)
        self.smallest = smallest

    def __str__(self) -> str:
        return str(self.args[0])
