"""Read any picture file as 8-bit sRGB, and write PNG, JPEG and WebP.

What becomes of each kind of file:

========================  ====================================================================
EXIF orientation          applied
ICC profile               converted to sRGB (perceptual intent); a broken profile, or one of
                          another colour space than the samples, is ignored, as browsers do
grey, bilevel             the same value in all three channels
palette                   looked up
alpha, transparent colour composited on ``background`` (white unless told), on sRGB values
16 bits per sample        the upper 8 bits; grey samples in 32-bit containers count as 16-bit
                          where all of them are in 0..65535
CMYK without a profile    ``R = (255 - C) (255 - K) / 255``, and so on
several frames            the first one
anything else             refused: floating point and signed samples, Lab
========================  ====================================================================
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ugicm_client.errors import (
    PictureError,
    PictureTooLarge,
    UnreadablePicture,
    UnwritablePicture,
)
from ugicm_client.files import read_bounded
from ugicm_codec.limits import Limits
from ugicm_servicekit.pictures import UNREADABLE, Pixels

__all__ = [
    "SUFFIXES",
    "WHITE",
    "Colour",
    "Pixels",
    "format_of",
    "picture_bytes",
    "picture_from_bytes",
    "read_picture",
]

Colour: TypeAlias = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)

# Named, so that no file reaches a plug-in that starts another program (EPS) or is rarely tried.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")

# fmt: off
SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm",
    ".avif", ".jp2",
})
# fmt: on
"""Endings of the files that count as pictures when a folder is read."""

_FORMAT_OF_SUFFIX = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}

_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 4},
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "webp": {"lossless": True},
}
_MAX_SIDE = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}

_MODE_OF_PROFILE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def read_picture(path: Path, *, limits: Limits | None = None, background: Colour = WHITE) -> Pixels:
    """Read a picture file as ``picture_from_bytes`` does.

    Raises:
        PictureError: as ``picture_from_bytes``.
        FileTooLarge: the file has more bytes than any picture within reason.
        OSError: the file cannot be opened.
    """
    try:
        return picture_from_bytes(read_bounded(path), limits=limits, background=background)
    except PictureError as error:
        raise type(error)(f"{path}: {error}") from error


def picture_from_bytes(
    data: bytes, *, limits: Limits | None = None, background: Colour = WHITE
) -> Pixels:
    """Return a picture file's content as ``(H, W, 3)`` sRGB; this module's docstring says how.

    Args:
        data: the whole file.
        limits: pixels allowed, checked from the file's header before anything is decoded.
        background: the colour behind transparent pixels.

    Raises:
        UnreadablePicture: not a picture, damaged, or of a kind without a defined meaning.
        PictureTooLarge: more pixels than ``limits`` allows.
    """
    if not data:
        raise UnreadablePicture("an empty file (0 bytes)")
    try:
        with _open(data) as image:
            _check_size(image, limits or Limits())
            image.load()
            return np.array(_flatten(ImageOps.exif_transpose(image), background))
    except (PictureTooLarge, UnreadablePicture):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge(_one_line(error)) from error
    except UnidentifiedImageError as error:
        raise UnreadablePicture("not a picture of a known kind") from error
    except UNREADABLE as error:
        raise UnreadablePicture(f"a damaged picture: {_one_line(error)}") from error


def format_of(path: Path) -> str:
    """Return the picture format that an output file's ending asks for.

    Raises:
        UnwritablePicture: none is known by this ending.
    """
    try:
        return _FORMAT_OF_SUFFIX[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_FORMAT_OF_SUFFIX)
        raise UnwritablePicture(f"pictures are written to {known}, not to {path.name}") from None


def picture_bytes(image: Pixels, file_format: str) -> bytes:
    """Return ``image`` as a PNG, a JPEG (quality 95, full chroma) or a lossless WebP file.

    Raises:
        UnwritablePicture: the format is not one of these, or cannot hold a picture so large.
    """
    if file_format not in _OPTIONS:
        raise UnwritablePicture(f"pictures are written as {', '.join(_OPTIONS)}, not {file_format}")
    height, width = image.shape[:2]
    if max(height, width) > _MAX_SIDE[file_format]:
        raise UnwritablePicture(
            f"{file_format} holds at most {_MAX_SIDE[file_format]} pixels a side, "
            f"the picture is {width}x{height}"
        )
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, file_format, **_OPTIONS[file_format])
    return buffer.getvalue()


def _open(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow's own bound on pixels only warns at first; here it refuses.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(data), formats=_FORMATS)


def _check_size(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width == 0 or height == 0:
        raise UnreadablePicture(f"a picture without pixels ({width}x{height})")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise PictureTooLarge(
            f"at most {limits.max_pixels} pixels and {limits.max_side} along a side, "
            f"got {width}x{height}"
        )


def _flatten(image: Image.Image, background: Colour) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = _upper_bits(image)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA" if image.mode not in ("LA", "La") else "LA")
        alpha = image.getchannel("A")
    if image.mode in ("1", "LA", "La"):
        image = image.convert("L")
    elif image.mode in ("P", "PA", "RGBA", "RGBa", "RGBX", "YCbCr"):
        image = image.convert("RGB")
    elif image.mode not in ("L", "RGB", "CMYK"):
        raise UnreadablePicture(f"pictures of mode {image.mode} have no defined meaning here")
    rgb = _to_srgb(image, profile)
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)


def _upper_bits(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    if image.mode == "F" or samples.min() < 0 or samples.max() > 0xFFFF:
        raise UnreadablePicture(
            "samples are neither 8-bit nor 16-bit: floating point and 32-bit pictures "
            "have no agreed range"
        )
    return Image.fromarray((samples >> 8).astype(np.uint8))


def _to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    if icc_profile:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            wanted = _MODE_OF_PROFILE.get(profile.profile.xcolor_space.strip())
            if image.mode == "L" and wanted == "RGB":
                image = image.convert("RGB")
            if image.mode == wanted:
                converted = ImageCms.profileToProfile(
                    image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                assert converted is not None  # None is returned for conversions in place only
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile says nothing about the samples
    return image.convert("RGB")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
