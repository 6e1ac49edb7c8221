"""Draws crops of the views beside the original, at their own size."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ugicm_evaluation.codecs.model import ModelCodec
from ugicm_evaluation.datasets.protocol import Picture, read_picture
from ugicm_evaluation.measuring.measure import Measured
from ugicm_evaluation.measuring.plan import Job

__all__ = ["contact_sheet"]

_SIDE = 256
_GAP = 8
_CAPTION = 22
_BACKGROUND, _TEXT = (255, 255, 255), (30, 30, 30)


def contact_sheet(
    codec: ModelCodec, pictures: Sequence[tuple[Job, Measured]], *, quality: int, rows: int
) -> bytes:
    """Return a JPEG with the columns human, machine, original.

    Args:
        pictures: of which some, evenly apart, are shown; their streams are read from disk.
        quality: of the streams.
        rows: at most.
    """
    step = max(1, len(pictures) // rows)
    chosen = pictures[::step][:rows]
    width = 3 * _SIDE + 2 * _GAP
    sheet = Image.new("RGB", (width, len(chosen) * (_SIDE + _CAPTION + _GAP)), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for row, (job, measured) in enumerate(chosen):
        coded = next(
            coded
            for coding, coded in measured.coded.items()
            if coding.codec == "model" and coding.quality == quality
        )
        original = read_picture(job.sample.path, longest_side=job.longest_side)
        human, machine = codec.decode(coded.file.read_bytes(), (0.0, 1.0))
        rate = 8 * coded.num_bytes / measured.pixels
        captions = (
            f"human, {coded.psnr[0.0]:.2f} dB, {rate:.3f} bits per pixel",
            f"machine, {coded.psnr[1.0]:.2f} dB, the same stream",
            "original",
        )
        top = row * (_SIDE + _CAPTION + _GAP)
        for column, (picture, caption) in enumerate(
            zip((human, machine, original), captions, strict=True)
        ):
            left = column * (_SIDE + _GAP)
            draw.text((left, top + 3), caption, fill=_TEXT, font=font)
            sheet.paste(Image.fromarray(_centre(picture)), (left, top + _CAPTION))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=92, subsampling=0, optimize=True)
    return file.getvalue()


def _centre(picture: Picture) -> Picture:
    top, left = (max(0, (side - _SIDE) // 2) for side in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + _SIDE, left : left + _SIDE])
