"""The array in which every detector answers, and what turns raw boxes into it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from ugicm_evaluation.errors import BadJudge

__all__ = ["COCO_CATEGORIES", "detections", "open_onnx"]

# COCO's category numbers, in the order in which networks put its 80 classes: ten of 90 are unused.
_UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
COCO_CATEGORIES = np.array([number for number in range(1, 91) if number not in _UNUSED])

# onnxruntime's errors have no common base.
_UNLOADABLE = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NoSuchFile,
    onnxruntime_errors.NotImplemented,
)

# As many as COCO's evaluation looks at.
_MOST = 100


def detections(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    *,
    least_score: float,
    overlap: float,
) -> NDArray[np.float32]:
    """Return ``(n, 6)`` rows of x1, y1, x2, y2 in pixels, score, COCO category; best first.

    Args:
        boxes: ``(N, 4)``, x1, y1, x2, y2.
        scores: ``(N,)``.
        classes: ``(N,)``, 0 to 79.
        least_score: what scores less is no detection.
        overlap: of two boxes of one class whose intersection over union is larger, the better
            stays (non-maximum suppression).
    """
    keep = scores >= least_score
    boxes, scores, classes = boxes[keep], scores[keep], classes[keep]
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = np.array(
        cv2.dnn.NMSBoxesBatched(
            corner_and_size.tolist(), scores.tolist(), classes.tolist(), least_score, overlap
        ),
        dtype=np.int64,
    )
    best = kept[np.argsort(-scores[kept], kind="stable")][:_MOST]
    rows = [boxes[best], scores[best, None], COCO_CATEGORIES[classes[best], None]]
    answer: NDArray[np.float32] = np.concatenate(rows, 1).astype(np.float32)
    return answer


def open_onnx(path: Path, *, shape: tuple[int, ...]) -> onnxruntime.InferenceSession:
    """Open a network with one input of a shape, for one thread of this process.

    Raises:
        BadJudge: the file holds no such network.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except _UNLOADABLE as error:
        raise BadJudge(f"{path} holds no network: {str(error).splitlines()[0]}") from error
    found = tuple(session.get_inputs()[0].shape)
    if found != shape:
        raise BadJudge(f"{path}: the network's input has shape {found}, expected {shape}")
    return session
