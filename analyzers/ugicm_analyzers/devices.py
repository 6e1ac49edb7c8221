"""Find the device that an analyzer shall compute on."""

from __future__ import annotations

import torch

from ugicm_analyzers.errors import AnalyzerUnavailable
from ugicm_analyzers.specification import Specification

__all__ = ["torch_device"]


def torch_device(specification: Specification) -> torch.device:
    """Return the device that a specification names.

    Raises:
        AnalyzerUnavailable: PyTorch sees no such device here.
    """
    device = torch.device(specification.device)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise AnalyzerUnavailable(
            f"{specification.name}: there is no {specification.device}, PyTorch sees {count} CUDA "
            "devices here"
        )
    return device
