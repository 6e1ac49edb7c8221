"""Draws crops of the views beside the original, at their own size.

The pictures are ones that anybody may show: those that scikit-image brings, astronaut (NASA, public
domain), coffee (Rachel Michetti, CC0) and chelsea (Stéfan van der Walt, CC0).
"""

from __future__ import annotations

import io
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ugicm_evaluation.codecs.model import ModelCodec
from ugicm_evaluation.datasets.protocol import Picture, read_picture
from ugicm_evaluation.metrics.fidelity import psnr

__all__ = ["contact_sheet"]

_PICTURES = ("astronaut.png", "coffee.png", "chelsea.png")
_SIDE = 288
_GAP = 8
_CAPTION = 22
_BACKGROUND, _TEXT = (255, 255, 255), (30, 30, 30)


def contact_sheet(codec: ModelCodec, *, quality: int) -> bytes:
    """Return a JPEG with the columns human, machine, original; a row for each picture.

    Args:
        quality: of the streams.
    """
    size = (3 * _SIDE + 4 * _GAP, len(_PICTURES) * (_SIDE + _CAPTION) + _GAP)
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for row, file in enumerate(_PICTURES):
        path = Path(str(metadata.distribution("scikit-image").locate_file("skimage/data"))) / file
        original = read_picture(path)
        stream = codec.encode(original, quality)
        human, machine = codec.decode(stream, (0.0, 1.0))
        rate = 8 * len(stream) / (original.shape[0] * original.shape[1])
        cells = (
            (human, f"human, {psnr(human, original):.2f} dB, {rate:.3f} bits per pixel"),
            (machine, f"machine, {psnr(machine, original):.2f} dB, the same stream"),
            (original, "original"),
        )
        top = row * (_SIDE + _CAPTION)
        for column, (picture, caption) in enumerate(cells):
            left = _GAP + column * (_SIDE + _GAP)
            draw.text((left, top + 3), caption, fill=_TEXT, font=font)
            sheet.paste(Image.fromarray(_centre(picture)), (left, top + _CAPTION))
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=92, subsampling=0, optimize=True)
    return data.getvalue()


def _centre(picture: Picture) -> Picture:
    top, left = ((side - _SIDE) // 2 for side in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + _SIDE, left : left + _SIDE])
