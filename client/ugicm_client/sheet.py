"""Lay out pictures with captions on one sheet, in rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ugicm_client.pictures import Colour, Pixels

__all__ = ["CELL", "Tile", "draw_sheet", "fitted"]

_BACKGROUND: Colour = (17, 19, 24)
_TEXT: Colour = (236, 238, 242)
_FAINT: Colour = (150, 156, 168)

CELL = 340
"""The side that pictures are fitted to, in pixels."""
_GAP = 14
_MARGIN = 28
_CAPTION = 46
_HEAD = 94
_HEADINGS = 28


@dataclass(frozen=True)
class Tile:
    """A picture at the size of the sheet, and the two lines below it."""

    picture: Image.Image
    caption: tuple[str, str]


def fitted(image: Pixels) -> Image.Image:
    """Return a picture at the size that a sheet shows it in."""
    height, width = image.shape[:2]
    scale = min(CELL / width, CELL / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)


def draw_sheet(
    rows: Sequence[Sequence[Tile]], *, title: str, subtitle: str, headings: Sequence[str] = ()
) -> Pixels:
    """Return a sheet of the rows; ``headings`` stand above the columns."""
    num_columns = max(len(row) for row in rows)
    heights = [max(tile.picture.height for tile in row) for row in rows]
    width = 2 * _MARGIN + num_columns * CELL + (num_columns - 1) * _GAP
    top = _HEAD + (_HEADINGS if headings else 0)
    height = top + sum(each + _CAPTION for each in heights) + _MARGIN
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for text, above, colour, size in ((title, 22, _TEXT, 26), (subtitle, 58, _FAINT, 15)):
        font = ImageFont.load_default(size)
        draw.text((_MARGIN, above), _shortened(text, width - 2 * _MARGIN, font), colour, font)
    for column, heading in enumerate(headings):
        draw.text((_left(column), _HEAD), heading, _TEXT, ImageFont.load_default(17))
    font = ImageFont.load_default(13)
    for row, row_height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile.picture, (_left(column), top))
            for line, (text, colour) in enumerate(zip(tile.caption, (_TEXT, _FAINT), strict=True)):
                at = (_left(column), top + tile.picture.height + 5 + 17 * line)
                draw.text(at, _shortened(text, CELL, font), colour, font)
        top += row_height + _CAPTION
    return np.asarray(sheet)


def _left(column: int) -> int:
    return _MARGIN + column * (CELL + _GAP)


def _shortened(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return as much of a text as fits, with an ellipsis where something is left out."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
