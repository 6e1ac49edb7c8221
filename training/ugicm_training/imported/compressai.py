"""Makes trainable models of CompressAI's bmshj2018-hyperprior checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from compressai.models.google import ScaleHyperprior
from torch import Tensor

from ugicm_codec.models.bmshj2018 import Bmshj2018Config
from ugicm_training.constraints import set_effective_state
from ugicm_training.errors import ForeignCheckpoint
from ugicm_training.imported.checkpoint import UNREADABLE, State, check_values, read_state
from ugicm_training.model import TrainableHyperprior

__all__ = ["from_compressai", "network_of", "read_compressai_checkpoint"]

# Sizes of the view's network, which an imported backbone does not bring: the default recipe's.
_VIEW_FEATURES, _VIEW_OCTAVES = 256, 4

# A hyper-latent channel's table is named by one byte.
_MAX_CHANNELS = 256


def read_compressai_checkpoint(path: Path) -> ScaleHyperprior:
    """Read a checkpoint of the published architecture.

    Raises:
        ForeignCheckpoint: the file is no checkpoint, holds objects, or another architecture.
        OSError: it cannot be read.
    """
    return network_of(read_state(path))


def network_of(state: State) -> ScaleHyperprior:
    """Return CompressAI's network; N and M follow from the tensors' shapes.

    Raises:
        ForeignCheckpoint: the tensors are another architecture's.
    """
    try:
        return _network(state.tensors)
    except UNREADABLE as error:
        raise ForeignCheckpoint(
            f"{state.path} is no bmshj2018-hyperprior of CompressAI: {_first_reason(error)}"
        ) from error


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


def _network(state: Mapping[str, Tensor]) -> ScaleHyperprior:
    for name in ("g_a.0.weight", "g_a.6.weight", "h_a.0.weight", "entropy_bottleneck.quantiles"):
        if name not in state:
            raise ValueError(f"it has no {name}")
    channels, latent_channels = len(state["g_a.0.weight"]), len(state["g_a.6.weight"])
    if not 1 <= channels <= _MAX_CHANNELS or latent_channels < 1:
        raise ValueError(f"1 to {_MAX_CHANNELS} channels, got {channels} and {latent_channels}")
    check_values(state)
    with torch.random.fork_rng(devices=[]):
        network = ScaleHyperprior(channels, latent_channels)
    network.load_state_dict(dict(state))
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
