"""Makes torchvision importable beside a CPU-only PyTorch.

torchvision's usual wheel is compiled against CUDA. Beside a CPU build of PyTorch its library does
not load, and ``import torchvision`` stops at the first operator that is missing. ``ensure`` fills
in what models need. Not covered, and failing as before: ``torchvision.io`` decoding (use Pillow),
``deform_conv2d``, ``roi_pool`` and its position-sensitive relatives, and TorchScript.
"""

from __future__ import annotations

import functools
import importlib
import sys

import torch

from torchvision_cpu.operators import nms, roi_align

__all__ = ["ensure"]


def ensure() -> None:
    """Import torchvision, standing in for its compiled operators where they do not load.

    Call it before anything else that imports torchvision (compressai, open_clip, timm). Where the
    compiled operators load, torchvision is left as it is.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        if hasattr(torch.ops.torchvision, "nms"):
            raise
        _define_operators()
        importlib.import_module("torchvision")
    if not sys.modules["torchvision.extension"]._has_ops():
        _replace_python_paths()


@functools.cache  # the definitions last as long as the library object
def _define_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl(name, nms, "CPU")
    return library


def _replace_python_paths() -> None:
    boxes = importlib.import_module("torchvision.ops.boxes")
    boxes.__dict__["_assert_has_ops"] = lambda: None
    # torchvision's own Python path samples as if every region were as large as the features.
    regions = importlib.import_module("torchvision.ops.roi_align")
    regions.__dict__["_roi_align"] = roi_align
