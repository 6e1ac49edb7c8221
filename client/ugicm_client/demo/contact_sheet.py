"""Draw what the demo did: one row for each photo, and the same four columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ugicm_client.annotation import Finding, annotate
from ugicm_client.pictures import Pixels
from ugicm_client.sheet import Tile, draw_sheet, fitted

__all__ = ["Row", "draw_contact_sheet", "make_row"]

Captions = tuple[tuple[str, str], tuple[str, str], tuple[str, str], tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """One photo and what came back of it, at the size of the sheet.

    Attributes:
        captions: two lines below each of the four columns.
    """

    original: Image.Image
    human: Image.Image
    machine: Image.Image
    difference: Image.Image
    captions: Captions


def make_row(
    original: Pixels,
    human: Pixels,
    machine: Pixels,
    *,
    findings: Sequence[Finding],
    captions: Captions,
) -> Row:
    """Return a row, which holds no full-size picture; ``findings`` are of the machine view."""
    difference = np.maximum(human, machine) - np.minimum(human, machine)
    height, width = machine.shape[:2]
    return Row(
        original=fitted(original),
        human=fitted(human),
        machine=annotate(fitted(machine), findings, shape=(height, width)),
        difference=fitted(difference),
        captions=captions,
    )


def draw_contact_sheet(rows: Sequence[Row], *, title: str, subtitle: str) -> Pixels:
    """Return the sheet: original, human view, machine view with findings, amplified difference."""
    factor = _amplification(rows)

    def tiles(row: Row) -> list[Tile]:
        amplified = row.difference.point([min(255, level * factor) for level in range(256)] * 3)
        pictures = (row.original, row.human, row.machine, amplified)
        return [Tile(*pair) for pair in zip(pictures, row.captions, strict=True)]

    headings = (
        "Original",
        "Human view",
        "Machine view, and what was found in it",
        f"Difference of the two views, {factor} times",
    )
    return draw_sheet(
        [tiles(row) for row in rows], title=title, subtitle=subtitle, headings=headings
    )


def _amplification(rows: Sequence[Row]) -> int:
    # A power of two that leaves all but the strongest differences unclipped.
    strongest = max(float(np.percentile(np.asarray(row.difference), 99.5)) for row in rows)
    return int(2 ** np.clip(np.floor(np.log2(255 / max(strongest, 1.0))), 0, 6))
