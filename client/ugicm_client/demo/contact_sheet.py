"""Draw what the demo did: one row for each photo, and the same four columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ugicm_client.pictures import Colour, Pixels

__all__ = ["Finding", "Row", "draw_contact_sheet", "make_row"]

_BACKGROUND: Colour = (17, 19, 24)
_TEXT: Colour = (236, 238, 242)
_FAINT: Colour = (150, 156, 168)
_MARKS: tuple[Colour, ...] = ((255, 196, 0), (64, 224, 160), (96, 176, 255), (255, 112, 160))

_CELL = 340
_GAP = 14
_MARGIN = 28
_CAPTION = 46
_HEAD = 122
_COLUMNS = 4

Captions = tuple[tuple[str, str], tuple[str, str], tuple[str, str], tuple[str, str]]


@dataclass(frozen=True)
class Finding:
    """An object in the machine view; the box is (left, top, right, bottom), in pixels."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """One photo and what came back of it, at the size of the sheet.

    Attributes:
        scale: of the boxes in ``findings``.
        captions: two lines below each of the four columns.
    """

    original: Image.Image
    human: Image.Image
    machine: Image.Image
    difference: Image.Image
    findings: Sequence[Finding]
    scale: float
    captions: Captions


def make_row(
    original: Pixels,
    human: Pixels,
    machine: Pixels,
    *,
    findings: Sequence[Finding],
    captions: Captions,
) -> Row:
    """Return a row, which holds no full-size picture."""
    height, width = original.shape[:2]
    scale = min(_CELL / width, _CELL / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def scaled(image: Pixels) -> Image.Image:
        return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)

    difference = np.maximum(human, machine) - np.minimum(human, machine)
    return Row(
        original=scaled(original),
        human=scaled(human),
        machine=scaled(machine),
        difference=scaled(difference),
        findings=findings,
        scale=scale,
        captions=captions,
    )


def draw_contact_sheet(rows: Sequence[Row], *, title: str, subtitle: str) -> Pixels:
    """Return the sheet: original, human view, machine view with findings, amplified difference."""
    factor = _amplification(rows)
    labels = sorted({finding.label for row in rows for finding in row.findings})
    colour_of = {label: _MARKS[index % len(_MARKS)] for index, label in enumerate(labels)}
    width = 2 * _MARGIN + _COLUMNS * _CELL + (_COLUMNS - 1) * _GAP
    height = _HEAD + sum(row.original.height + _CAPTION for row in rows) + _MARGIN
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 22), title, _TEXT, ImageFont.load_default(26))
    draw.text((_MARGIN, 58), subtitle, _FAINT, ImageFont.load_default(15))
    headings = (
        "Original",
        "Human view",
        "Machine view, and what was found in it",
        f"Difference of the two views, {factor} times",
    )
    for column, heading in enumerate(headings):
        draw.text((_left(column), _HEAD - 28), heading, _TEXT, ImageFont.load_default(17))
    top = _HEAD
    for row in rows:
        amplified = row.difference.point([min(255, level * factor) for level in range(256)] * 3)
        pictures = (row.original, row.human, _marked(row, colour_of), amplified)
        for column, (picture, caption) in enumerate(zip(pictures, row.captions, strict=True)):
            sheet.paste(picture, (_left(column), top))
            for line, (text, colour) in enumerate(zip(caption, (_TEXT, _FAINT), strict=True)):
                at = (_left(column), top + picture.height + 5 + 17 * line)
                draw.text(at, text, colour, ImageFont.load_default(13))
        top += row.original.height + _CAPTION
    return np.asarray(sheet)


def _amplification(rows: Sequence[Row]) -> int:
    # A power of two that leaves all but the strongest differences unclipped.
    strongest = max(float(np.percentile(np.asarray(row.difference), 99.5)) for row in rows)
    return int(2 ** np.clip(np.floor(np.log2(255 / max(strongest, 1.0))), 0, 6))


def _left(column: int) -> int:
    return _MARGIN + column * (_CELL + _GAP)


def _marked(row: Row, colour_of: dict[str, Colour]) -> Image.Image:
    picture = row.machine.copy()
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    # Small boxes last, so that no label of a larger one covers them.
    for finding in sorted(row.findings, key=_area, reverse=True):
        left, top, right, bottom = (round(edge * row.scale) for edge in finding.box)
        colour = colour_of[finding.label]
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
        text = f"{finding.label} {finding.score:.2f}"
        text_width = round(draw.textlength(text, font)) + 8
        if text_width > 1.5 * (right - left):
            continue  # the label would hide what the box shows; the caption counts it
        x = min(left, max(0, picture.width - text_width))
        y = top - 17 if top >= 17 else bottom
        draw.rectangle((x, y, x + text_width, y + 17), fill=colour)
        draw.text((x + 4, y + 1), text, _BACKGROUND, font)
    return picture


def _area(finding: Finding) -> float:
    left, top, right, bottom = finding.box
    return (right - left) * (bottom - top)
