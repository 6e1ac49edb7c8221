"""The libraries that decide bytes, pixels or answers."""

from __future__ import annotations

import importlib.metadata

__all__ = ["library_versions"]

_LIBRARIES = (
    "ai-edge-litert",
    "compressai",
    "lpips",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "pillow-jxl-plugin",
    "pycocotools",
    "pytorch-msssim",
    "scikit-image",
    "torch",
    "torchvision",
    "ugicm-analyzers",
    "ugicm-codec",
    "ugicm-evaluation",
)


def library_versions() -> dict[str, str]:
    """Return the installed version of each."""
    return {library: importlib.metadata.version(library) for library in _LIBRARIES}
