"""The small judges whose weights a data folder may hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ugicm_evaluation.config import Analyzer

__all__ = [
    "CLASSIFIERS",
    "DEEPLAB",
    "OBJECT_JUDGES",
    "SQUEEZENET",
    "YOLOX",
    "Kind",
    "small_judge",
    "weights_of",
]

# Name, adapter and file of the weights.
Kind = tuple[str, str, str]

SQUEEZENET: Kind = ("squeezenet1_1", "torchvision:squeezenet1_1", "squeezenet1_1.safetensors")
YOLOX: Kind = ("yolox_nano", "onnx", "yolox_nano.onnx")
DEEPLAB: Kind = ("deeplabv3", "tflite", "deeplabv3_mnv2_pascal_quant.tflite")

CLASSIFIERS: Sequence[Kind] = (SQUEEZENET,)
OBJECT_JUDGES: Sequence[Kind] = (YOLOX, ("fastestdet", "onnx", "FastestDet.onnx"), DEEPLAB)

# Less likely detections change average precision by hundredths of a point here, and take long.
_LEAST_SCORE = 0.01


def weights_of(data: Path, kind: Kind) -> Path:
    """Return where a judge's weights are expected."""
    return data / "weights" / kind[2]


def small_judge(data: Path, kind: Kind) -> Analyzer:
    """Return the judge's configuration."""
    name, adapter, _ = kind
    analyzer = f"{adapter}:{weights_of(data, kind)}"
    return Analyzer(name=name, analyzer=analyzer, least_score=_LEAST_SCORE)
