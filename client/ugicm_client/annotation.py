"""Draw findings into pictures, so that people see what was found and where."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ugicm_client.errors import MissingPackage, ServiceError
from ugicm_client.pictures import Pixels

if TYPE_CHECKING:
    from ugicm.v1.analytics_pb2 import Analysis

__all__ = ["Finding", "annotate", "findings_of", "readable"]

# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision; each with the
# text colour that stands out from it.
_PALETTE = {
    "#E69F00": "#000000",
    "#56B4E9": "#000000",
    "#009E73": "#000000",
    "#F0E442": "#000000",
    "#0072B2": "#FFFFFF",
    "#D55E00": "#000000",
    "#CC79A7": "#000000",
}
# Smaller pictures are enlarged: no label can be read in them.
_READABLE_SIDE = 480
_SMALLEST_LETTERS = 12
_MASK_OPACITY = 0.4
_MOST_CLASSES = 3


@dataclass(frozen=True)
class Finding:
    """Something in a picture.

    Attributes:
        label: what it is.
        score: from 0 to 1; None where the analyzer gives none.
        box: (left, top, right, bottom), in pixels; None for what is of the whole picture.
        runs: its pixels as COCO's run lengths; None where only the box is known.
    """

    label: str
    score: float | None
    box: tuple[float, float, float, float] | None = None
    runs: Sequence[int] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.label if self.score is None else f"{self.label} {self.score:.2f}"


def findings_of(analysis: Analysis) -> list[Finding]:
    """Return everything that was found, of classifications the three likeliest of each analyzer."""
    findings: list[Finding] = []
    for result in analysis.results:
        for each in result.detections:
            box = (each.box.left, each.box.top, each.box.right, each.box.bottom)
            runs = list(each.mask.runs) if each.HasField("mask") else None
            findings.append(Finding(each.label, each.score, box, runs))
        findings += [
            Finding(each.label, each.score) for each in result.classifications[:_MOST_CLASSES]
        ]
        findings += [
            Finding(each.label, None, None, list(each.mask.runs)) for each in result.segments
        ]
    return findings


def readable(image: Pixels) -> Image.Image:
    """Return a picture to draw into, enlarged by a whole factor if it is below 480 pixels."""
    height, width = image.shape[:2]
    factor = -(-_READABLE_SIDE // max(height, width))
    size = (width * factor, height * factor)
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST)


def annotate(
    picture: Image.Image, findings: Sequence[Finding], *, shape: tuple[int, int]
) -> Image.Image:
    """Return ``picture`` with masks, boxes and labels; a label has the same colour everywhere.

    Args:
        picture: of any size; lines and letters fit it.
        findings: in the coordinates of a picture of ``shape``.
        shape: (height, width).

    Raises:
        MissingPackage: supervision is not installed.
        ServiceError: a mask is not of ``shape``.
    """
    try:
        import supervision as sv
    except ImportError as error:
        raise MissingPackage(
            "drawing findings needs supervision: pip install './client[annotate]'"
        ) from error

    # A scene of Pillow's is drawn into in RGB; an array would be taken for BGR.
    painted = picture.copy()
    colours = sv.ColorPalette.from_hex(list(_PALETTE))
    thickness = max(2, round(min(picture.size) / 300))
    fill = sv.MaskAnnotator(colours, opacity=_MASK_OPACITY)
    outline = sv.PolygonAnnotator(colours, thickness=max(1, thickness - 1))
    boxes = sv.BoxAnnotator(colours, thickness=thickness)
    letter_height = round(np.clip(min(picture.size) / 36, _SMALLEST_LETTERS, 48))
    labels = sv.RichLabelAnnotator(
        colours,
        text_color=sv.ColorPalette.from_hex(list(_PALETTE.values())),
        font_size=letter_height,
        text_padding=max(2, thickness),
        smart_position=True,
    )
    anchors = []
    lines_below = sum(finding.box is None and finding.runs is None for finding in findings)
    # Small ones last, so that nothing of a larger one covers them.
    findings = sorted(findings, key=_area, reverse=True)
    for finding in findings:
        colour = np.array([_colour_of(finding.label)])
        corners = _scaled(finding.box, picture, shape)
        at = corners[:2]
        if finding.runs is not None:
            # One at a time: together, the masks of a crowd would fill the memory.
            mask = _mask(finding.runs, picture, shape)
            masked = sv.Detections(corners[np.newaxis], mask[np.newaxis], class_id=colour)
            painted = outline.annotate(fill.annotate(painted, masked), masked)
            at = at if finding.box is not None else _point_in(mask)
        elif finding.box is None:
            lines_below -= 1
            line_height = letter_height + 4 * thickness
            at = np.array([0, picture.height - lines_below * line_height], np.float32)
        if finding.box is not None:
            painted = boxes.annotate(painted, sv.Detections(corners[np.newaxis], class_id=colour))
        anchors.append(np.concatenate((at, at)))
    if not findings:
        return painted
    where = sv.Detections(
        np.array(anchors, np.float32),
        class_id=np.array([_colour_of(finding.label) for finding in findings]),
    )
    return labels.annotate(painted, where, [str(finding) for finding in findings])


def _colour_of(label: str) -> int:
    return zlib.crc32(label.encode()) % len(_PALETTE)


def _area(finding: Finding) -> float:
    if finding.box is None:
        return math.inf
    left, top, right, bottom = finding.box
    return (right - left) * (bottom - top)


def _scaled(
    box: tuple[float, float, float, float] | None, picture: Image.Image, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return a box, or the whole picture where there is none, in the picture's own pixels."""
    height, width = shape
    across, down = picture.width / width, picture.height / height
    left, top, right, bottom = (0, 0, width, height) if box is None else box
    return np.array([left * across, top * down, right * across, bottom * down], np.float32)


def _mask(runs: Sequence[int], picture: Image.Image, shape: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = shape
    if sum(runs) != height * width:
        raise ServiceError(f"a mask has {sum(runs)} pixels, the picture {width}x{height}")
    inside = np.arange(len(runs)) % 2 == 1
    mask = np.repeat(inside, runs).reshape(width, height).T
    resized = Image.fromarray(mask).resize(picture.size, Image.Resampling.NEAREST)
    return np.asarray(resized)


def _point_in(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the (x, y) of the mask's pixel that is nearest to its middle."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return np.zeros(2, np.float32)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return np.array([columns[nearest], rows[nearest]], np.float32)
