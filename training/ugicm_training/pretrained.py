"""Starts training from a model file, without the checkpoint that it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ugicm_codec.models.modelfile import ENTROPY_PREFIX, ModelFile, ModelInfo, read_model_file
from ugicm_training.backbones import new_model
from ugicm_training.bottleneck import fit_bottleneck
from ugicm_training.constraints import set_effective_state
from ugicm_training.errors import BadStart
from ugicm_training.fixed_point import from_fixed_point
from ugicm_training.mlicpp import TrainableMlicpp
from ugicm_training.mlicpp_floats import mlicpp_from_fixed_point
from ugicm_training.model import QualityGains, Trainable, TrainableHyperprior

__all__ = ["Start", "codes_as", "load_start"]

# Half floats enter as they are; constrained ones pass through a square root and a square.
_SAME_RELATIVE, _SAME_ABSOLUTE = 1e-6, 1e-9

# Rows of gains between two knots may miss the line by so much (of the logarithm).
_STRAIGHT = 1e-4


@dataclass(frozen=True, eq=False)
class Start:
    """A float model to train, and what it was made from.

    Attributes:
        model: on the CPU, in float32.
        base: the model file's tensors, for an export that keeps its latents id; None where
            the model was not read from a file.
        info: the file, or None; its training record belongs into that of the run.
        bottleneck_loss: bits a hyper-latent by which the fitted bottleneck misses the file's
            tables (Kullback-Leibler divergence, mean over channels).
    """

    model: Trainable
    base: Mapping[str, Tensor] | None
    info: ModelInfo | None
    bottleneck_loss: float


def load_start(name: str | Path, *, lambdas: tuple[float, float] | None = None) -> Start:
    """Make a trainable model of a bundled model or a model file.

    Transforms and gains are the file's, h_s is its fixed-point network in floats, and the entropy
    bottleneck, of which the file keeps tables alone, is fitted to them: the same every time.

    Args:
        name: of a bundled model, or a path.
        lambdas: distortion's weight at both ends of the quality range; as the file's
            training record says where they are not given.

    Raises:
        ModelError: there is no such model, or it is damaged.
        BadStart: it cannot be trained further.
    """
    file = read_model_file(str(name))
    try:
        entropy = file.part(ENTROPY_PREFIX)
        gains = _gains(entropy["gain"], entropy["inverse_gain"], lambdas or _lambdas(file))
        # Networks draw what they are made with: the caller's random numbers stay as they were.
        with torch.random.fork_rng(devices=[]):
            model = new_model(file.config, knots=len(gains.log_gain), lambdas=gains.lambdas)
        model.gains = gains
        for part in ("g_a", "h_a", "g_s"):
            set_effective_state(getattr(model, part), file.part(f"{part}."))
        offsets = _set_entropy_networks(model, entropy)
        # A file's h_a makes the integers, a model's the values.
        model.h_a.get_parameter(model.hyper_bias).data.add_(offsets)
    except ValueError as error:
        raise BadStart(f"{file.info.name} cannot be trained further: {error}") from error
    loss = fit_bottleneck(model.bottleneck, _hyper_tables(entropy), offsets)
    return Start(model=model, base=file.tensors, info=file.info, bottleneck_loss=loss)


@torch.no_grad()
def codes_as(model: Trainable, base: Mapping[str, Tensor]) -> bool:
    """Tell whether the model still makes ``base``'s latents: g_a, h_a, h_s and gains are its own.

    The entropy bottleneck is only ever trained together with those, so it is not looked at.
    """
    transforms = model.coding_transforms()
    if not _same([(value, base.get(name)) for name, value in transforms.items()]):
        return False
    entropy = {
        key.removeprefix(ENTROPY_PREFIX): value
        for key, value in base.items()
        if key.startswith(ENTROPY_PREFIX)
    }
    with torch.random.fork_rng(devices=[]):
        original = new_model(
            model.config, knots=len(model.gains.log_gain), lambdas=model.gains.lambdas
        )
    _set_entropy_networks(original, entropy)
    pairs = _pairs(model.h_s, original.h_s)
    if isinstance(model, TrainableMlicpp):
        pairs += _pairs(model.context, original.get_submodule("context"))
    gains = _gains(entropy["gain"], entropy["inverse_gain"], model.gains.lambdas)
    return _same(pairs + _pairs(model.gains, gains))


def _same(pairs: Sequence[tuple[Tensor, Tensor | None]]) -> bool:
    return all(
        theirs is not None
        and ours.shape == theirs.shape
        and torch.allclose(ours.cpu(), theirs.float(), rtol=_SAME_RELATIVE, atol=_SAME_ABSOLUTE)
        for ours, theirs in pairs
    )


def _pairs(ours: nn.Module, theirs: nn.Module) -> list[tuple[Tensor, Tensor | None]]:
    return [
        (value, theirs.get_parameter(name))
        for name, value in ours.named_parameters()
        # The biases of h_s hold what the offsets add, which is only found to some digits.
        if value.ndim > 1
    ]


def _set_entropy_networks(model: Trainable, entropy: Mapping[str, Tensor]) -> Tensor:
    """Give a model the networks that stand in a file as integers, and return the offsets."""
    if isinstance(model, TrainableMlicpp):
        return mlicpp_from_fixed_point(entropy, model.h_s, model.context, model.config)
    assert isinstance(model, TrainableHyperprior)
    return from_fixed_point(entropy, model.h_s)


def _hyper_tables(entropy: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = ("cumulative", "num_symbols", "offset")
    return {name: entropy[f"hyper_tables.{name}"] for name in names}


def _lambdas(file: ModelFile) -> tuple[float, float]:
    record = file.info.training
    for part in (record, record.get("recipe")):
        if isinstance(part, dict) and "lambdas" in part:
            low, high = (float(value) for value in part["lambdas"])
            return low, high
    raise ValueError("its record names no lambdas, so they must be given")


def _gains(gain: Tensor, inverse_gain: Tensor, lambdas: tuple[float, float]) -> QualityGains:
    """Return the fewest knots from which all rows of gains follow; knots lie on rows."""
    log_gain, log_inverse = gain.double().log(), inverse_gain.double().log()
    rows = torch.stack([log_gain, log_gain + log_inverse])
    steps = rows.shape[1]
    if steps == 1:
        rows = rows.repeat(1, 2, 1)
    intervals = rows.shape[1] - 1
    for parts in (count for count in range(1, intervals + 1) if intervals % count == 0):
        knots = rows[:, :: intervals // parts]
        gains = QualityGains(gain.shape[1], parts + 1, lambdas)
        with torch.no_grad():
            gains.log_gain.copy_(knots[0])
            gains.log_correction.copy_(knots[1])
            of_rows, inverse_of_rows = gains(torch.linspace(0.0, 1.0, intervals + 1))
        misses = (
            of_rows.double().log() - rows[0],
            inverse_of_rows.double().log() - (rows[1] - rows[0]),
        )
        if max(float(miss.abs().max()) for miss in misses) < _STRAIGHT:
            break
    return gains
