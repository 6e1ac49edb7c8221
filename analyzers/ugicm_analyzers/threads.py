"""Limit how many threads the libraries compute with."""

from __future__ import annotations

import sys

import cv2

__all__ = ["limit_threads"]


def limit_threads(most: int) -> None:
    """Let OpenCV and PyTorch use at most so many threads in this process for one call.

    Otherwise they take as many as there are processors. ONNX Runtime and LiteRT always use one.
    """
    cv2.setNumThreads(most)
    # Where no analyzer has imported it, there is nothing to limit, and importing takes seconds.
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(most)
