"""LPIPS: how different two pictures look (Zhang et al., CVPR 2018)."""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

import torchvision_cpu
from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadConfig
from ugicm_evaluation.metrics.fidelity import Fidelity
from ugicm_evaluation.tasks.protocol import Better

__all__ = ["open_lpips"]

_TITLES = {"alex": "AlexNet", "vgg": "VGG-16", "squeeze": "SqueezeNet 1.1"}

# The backbones' strides and pools leave nothing of less.
_LEAST_SIDE = 64

_UNREADABLE = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    ValueError,
    pickle.UnpicklingError,
)


def open_lpips(backbone: str, weights: Path) -> Fidelity:
    """Return the metric; the package brings its linear layers, a file the backbone.

    Args:
        backbone: ``alex``, ``vgg`` or ``squeeze``.
        weights: of torchvision's network, trained on ImageNet: safetensors or its own file.

    Raises:
        BadConfig: the file is missing, or holds another network.
    """
    torchvision_cpu.ensure()
    import lpips

    with warnings.catch_warnings():
        # lpips 0.1.4 asks torchvision in the way of versions before 0.13.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        network = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False).eval()
    try:
        data = weights.read_bytes()
        features = _features(data, weights.suffix)
        # A slice's layers keep the numbers that they have in torchvision's ``features``.
        state = {
            name: features["features." + name.split(".", 1)[1]] for name in network.net.state_dict()
        }
        network.net.load_state_dict(state)
    except FileNotFoundError as error:
        raise BadConfig(
            f"{weights} is missing: LPIPS needs torchvision's {_TITLES[backbone]} with its "
            "ImageNet weights there"
        ) from error
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise BadConfig(f"{weights} holds no {_TITLES[backbone]}: {reason}") from error

    def measure(picture: Picture, original: Picture) -> float:
        if min(original.shape[:2]) < _LEAST_SIDE:
            return math.nan
        with torch.inference_mode():
            return float(network(_pixels(picture), _pixels(original)))

    identity = f"lpips {backbone} {hashlib.sha256(data).hexdigest()}"
    return Fidelity(f"LPIPS ({_TITLES[backbone]})", "", measure, identity, Better.LOWER)


def _features(data: bytes, suffix: str) -> dict[str, Tensor]:
    state: dict[str, Any]
    if suffix == ".safetensors":
        state = safetensors_torch.load(data)
    else:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {name: value.float() for name, value in state.items()}


def _pixels(picture: Picture) -> Tensor:
    """Return ``(1, 3, H, W)`` in [-1, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0
