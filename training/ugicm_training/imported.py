"""Makes trainable models of CompressAI's bmshj2018-hyperprior checkpoints."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from compressai.models.google import ScaleHyperprior
from compressai.zoo.pretrained import load_pretrained
from torch import Tensor

from ugicm_codec.models.bmshj2018 import Bmshj2018Config
from ugicm_training.constraints import set_effective_state
from ugicm_training.errors import ForeignCheckpoint
from ugicm_training.model import TrainableHyperprior

__all__ = ["from_compressai", "import_record", "read_compressai_checkpoint"]

# Sizes of the view's network, which an imported backbone does not bring: the default recipe's.
_VIEW_FEATURES, _VIEW_OCTAVES = 256, 4

# A hyper-latent channel's table is named by one byte.
_MAX_CHANNELS = 256

_LARGEST_HALF = float(torch.finfo(torch.float16).max)

# What torch.load raises on files that are no checkpoints.
_UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def read_compressai_checkpoint(path: Path) -> ScaleHyperprior:
    """Read a state dict, bare or under ``state_dict``, with nothing in it but tensors.

    N and M follow from the tensors' shapes.

    Raises:
        ForeignCheckpoint: the file is no checkpoint, holds objects, or another architecture.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ForeignCheckpoint(
            f"{path} is no checkpoint of plain tensors (weights_only refuses it)"
        ) from error
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ForeignCheckpoint(f"{path} is no PyTorch checkpoint: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not _holds_tensors(state):
        raise ForeignCheckpoint(f"{path} holds no state dict of named tensors")
    try:
        network = _network(load_pretrained(state))
    except _UNREADABLE as error:
        raise ForeignCheckpoint(
            f"{path} is no bmshj2018-hyperprior of CompressAI: {_first_reason(error)}"
        ) from error
    return network


def from_compressai(network: ScaleHyperprior, distortion_weight: float) -> TrainableHyperprior:
    """Return the same codec as a trainable model of one quality; every view is the human one.

    Args:
        network: in any state of training.
        distortion_weight: lambda, which a checkpoint does not say; for training further.
    """
    config = Bmshj2018Config(
        channels=network.N,
        latent_channels=network.M,
        view_features=_VIEW_FEATURES,
        view_octaves=_VIEW_OCTAVES,
    )
    with torch.random.fork_rng(devices=[]):
        model = TrainableHyperprior(config, knots=2, lambdas=(distortion_weight,) * 2)
    with torch.no_grad():
        set_effective_state(model.g_a, _effective(network.g_a))
        set_effective_state(model.g_s, _synthesis_state(_effective(network.g_s)))
        model.h_a.load_state_dict(network.h_a.state_dict())
        model.h_s.load_state_dict(network.h_s.state_dict())
        for name, parameter in model.bottleneck.named_parameters():
            parameter.copy_(network.entropy_bottleneck.get_parameter(name))
    return model


def import_record(path: Path, distortion_weight: float) -> dict[str, Any]:
    """Return what a model file's training record says of an imported checkpoint."""
    return {
        "lambdas": [distortion_weight, distortion_weight],
        "imported": {
            "from": "CompressAI bmshj2018-hyperprior checkpoint",
            "name": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        },
    }


def _holds_tensors(state: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items())


def _network(state: dict[str, Tensor]) -> ScaleHyperprior:
    for name in ("g_a.0.weight", "g_a.6.weight", "h_a.0.weight", "entropy_bottleneck.quantiles"):
        if name not in state:
            raise ValueError(f"it has no {name}")
    channels, latent_channels = len(state["g_a.0.weight"]), len(state["g_a.6.weight"])
    if not 1 <= channels <= _MAX_CHANNELS or latent_channels < 1:
        raise ValueError(f"1 to {_MAX_CHANNELS} channels, got {channels} and {latent_channels}")
    for name, value in state.items():
        # Half floats hold the transforms in a model file.
        if value.is_floating_point() and not bool((value.abs() <= _LARGEST_HALF).all()):
            raise ValueError(f"{name} goes beyond {_LARGEST_HALF:.0f}, or is not a number")
    with torch.random.fork_rng(devices=[]):
        network = ScaleHyperprior(channels, latent_channels)
    network.load_state_dict(state)
    return network.eval()


def _first_reason(error: Exception) -> str:
    """Return one line; PyTorch puts what differs on the lines after the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)] if lines else type(error).__name__


def _effective(transform: torch.nn.Sequential) -> dict[str, Tensor]:
    """Return a state dict with the effective values of divisive normalisations."""
    state = {}
    for index, layer in enumerate(transform):
        for name, value in layer.named_parameters():
            reparam = getattr(layer, f"{name}_reparam", None)
            state[f"{index}.{name}"] = value if reparam is None else reparam(value)
    return state


def _synthesis_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {"output.weight": state["6.weight"], "output_bias": state["6.bias"][:, None, None]}
    for block in range(3):
        for name in ("weight", "bias"):
            named[f"deconvolutions.{block}.{name}"] = state[f"{2 * block}.{name}"]
        for name in ("beta", "gamma"):
            named[f"normalisations.{block}.{name}"] = state[f"{2 * block + 1}.{name}"]
    return named
