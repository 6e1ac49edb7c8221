"""Write kept results as files that other tools read: JSON lines, and COCO's results."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from pycocotools import mask as coco_masks

from ugicm.v1 import analytics_pb2
from ugicm_client.findings import frame_record
from ugicm_servicekit.wire import key_from_wire

__all__ = ["CocoExport", "JsonLinesExport"]


class JsonLinesExport:
    """One JSON object a line, of one picture each; its ``key`` is CAMERA/EPOCH/SEQUENCE.

    Args:
        file: is written to.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, analysis: analytics_pb2.Analysis) -> None:
        """Write a line."""
        self._file.write(json.dumps(frame_record(analysis)).encode() + b"\n")


class CocoExport:
    """COCO's results format: one JSON list of boxes and masks, as pycocotools' ``loadRes`` reads.

    Images and categories have numbers there: pictures from 1 in the order of their capture times,
    labels from 1 in the order of their first finding. ``index`` says which is which. A segmenter's
    areas have no score and count as 1. Classifications have no place in the format.

    Args:
        file: is written to.

    Attributes:
        num_left_out: classifications so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.num_left_out = 0
        self._file = file
        self._separator = b"["
        self._images: list[dict[str, Any]] = []
        self._categories: dict[str, int] = {}

    def add(self, analysis: analytics_pb2.Analysis) -> None:
        """Write the boxes and masks of a picture."""
        self._images.append(
            {
                "id": len(self._images) + 1,
                "file_name": str(key_from_wire(analysis.key)),
                "height": analysis.height,
                "width": analysis.width,
                "date_captured": analysis.capture_time.ToJsonString(),
            }
        )
        size = (analysis.height, analysis.width)
        for result in analysis.results:
            self.num_left_out += len(result.classifications)
            for detection in result.detections:
                box = detection.box
                sides = [box.left, box.top, box.right - box.left, box.bottom - box.top]
                found = {"bbox": sides, "score": detection.score}
                if detection.HasField("mask"):
                    found["segmentation"] = _rle(detection.mask, size)
                self._write(detection.label, found)
            for segment in result.segments:
                rle = _rle(segment.mask, size)
                sides = coco_masks.toBbox(rle).tolist()
                self._write(segment.label, {"bbox": sides, "score": 1.0, "segmentation": rle})

    def finish(self) -> None:
        """Write the end of the list."""
        self._file.write(b"[]\n" if self._separator == b"[" else b"\n]\n")

    def index(self) -> dict[str, Any]:
        """Return a COCO data set without annotations: the pictures, and the labels."""
        return {
            "images": self._images,
            "categories": [
                {"id": number, "name": label} for label, number in self._categories.items()
            ],
            "annotations": [],
        }

    def _write(self, label: str, found: dict[str, Any]) -> None:
        category = self._categories.setdefault(label, len(self._categories) + 1)
        record = {"image_id": self._images[-1]["id"], "category_id": category, **found}
        self._file.write(self._separator + b"\n" + json.dumps(record).encode())
        self._separator = b","


def _rle(mask: analytics_pb2.Mask, size: tuple[int, int]) -> dict[str, Any]:
    """Return a mask as COCO's compressed run lengths, as text."""
    rle = coco_masks.frPyObjects({"size": list(size), "counts": list(mask.runs)}, *size)
    return {"size": list(size), "counts": rle["counts"].decode()}
