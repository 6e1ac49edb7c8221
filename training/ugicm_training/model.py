"""The float model as it is trained: noisy quantisation and likelihoods."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from torch import Tensor, nn
from torch.func import functional_call

from ugicm_codec.models.backbone import BackboneConfig, Predicted
from ugicm_codec.models.bmshj2018 import (
    Analysis,
    Bmshj2018Config,
    ConditionalSynthesis,
    HyperAnalysis,
    HyperSynthesis,
)
from ugicm_codec.models.conditioning import Conditioned
from ugicm_training.constraints import constrain, effective_state

__all__ = [
    "Coded",
    "QualityGains",
    "Trainable",
    "TrainableHyperprior",
    "Transforms",
    "straight_through",
]


@dataclass(frozen=True)
class Transforms:
    """The networks of a backbone that have the same parts in all of them."""

    g_a: nn.Sequential
    g_s: Conditioned
    h_a: nn.Sequential
    h_s: nn.Sequential


@dataclass(frozen=True)
class Coded:
    """What the encoder side makes of a batch.

    Attributes:
        y_hat: ``(N, M, h, w)``, rounded latents divided by their gains, for the synthesis.
        bits: ``(N,)``, estimated bits of each picture's latents and hyper-latents.
    """

    y_hat: Tensor
    bits: Tensor


class QualityGains(nn.Module):
    """Gains per quality and channel, log-linear between learned knots.

    Quality runs over [0, 1] here; ``lambdas`` gives the weight of distortion at its two ends.
    """

    def __init__(self, channels: int, knots: int, lambdas: tuple[float, float]) -> None:
        super().__init__()
        self.lambdas = lambdas
        # The best step of a uniform quantiser goes with the square root of lambda.
        ends = [0.5 * math.log(value / math.sqrt(lambdas[0] * lambdas[1])) for value in lambdas]
        start = torch.linspace(ends[0], ends[1], knots)[:, None].repeat(1, channels)
        self.log_gain = nn.Parameter(start.clone())
        self.log_correction = nn.Parameter(torch.zeros(knots, channels))

    def distortion_weight(self, quality: Tensor) -> Tensor:
        """Return lambda, ``(N,)``, for ``quality`` ``(N,)`` in [0, 1]."""
        low, high = self.lambdas
        return low * (high / low) ** quality

    def forward(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return (gain, inverse gain), each ``(N, M)``, for ``quality`` ``(N,)``."""
        position = quality * (self.log_gain.shape[0] - 1)
        left = position.floor().clamp(max=self.log_gain.shape[0] - 2).long()
        weight = (position - left)[:, None]
        log_gain = torch.lerp(self.log_gain[left], self.log_gain[left + 1], weight)
        correction = torch.lerp(self.log_correction[left], self.log_correction[left + 1], weight)
        return torch.exp(log_gain), torch.exp(correction - log_gain)


class Trainable(nn.Module):
    """All that is trained of some backbone: transforms, entropy models and gains."""

    def __init__(self, config: BackboneConfig, *, knots: int, lambdas: tuple[float, float]) -> None:
        super().__init__()
        self.config = config
        transforms = self.transforms(config)
        self.g_a = transforms.g_a
        self.g_s = transforms.g_s
        self.h_a = transforms.h_a
        self.h_s = transforms.h_s
        self.gains = QualityGains(config.latent_channels, knots, lambdas)
        self.bottleneck = EntropyBottleneck(config.channels)
        self.gaussian = GaussianConditional(None)
        with torch.device("meta"):
            # No submodule: its weights are those of the view that it is called for.
            self._one_view = (self.g_s.of_one_view(config),)
        constrain(self.g_a)
        constrain(self.g_s)

    def transforms(self, config: Any) -> Transforms:
        """Return new networks of a config of this backbone."""
        raise NotImplementedError

    def coding_transforms(self) -> dict[str, Tensor]:
        """Return g_a and h_a as they stand in a model file, named so: h_a makes coded integers."""
        parts = {"g_a": effective_state(self.g_a), "h_a": effective_state(self.h_a)}
        parts["h_a"][self.hyper_bias] -= self.hyper_offsets()
        return {f"{part}.{name}": value for part in parts for name, value in parts[part].items()}

    @property
    def hyper_bias(self) -> str:
        """Name in h_a of what is added to the hyper-latents last."""
        return f"{len(self.h_a) - 1}.bias"

    def hyper_offsets(self) -> Tensor:
        """Return ``(N,)``, how far from integers the hyper-latents' values lie, within half a step.

        They are rounded to their medians plus integers, as in CompressAI. Models trained here keep
        medians of 0; imported ones bring their own.
        """
        medians: Tensor = self.bottleneck.quantiles[:, 0, 1].detach()
        return medians - medians.round()

    def encode(self, pictures: Tensor, quality: Tensor, *, precision: torch.dtype) -> Coded:
        """Code a batch with noise in the rate and straight-through rounding in the latents.

        Args:
            pictures: ``(N, 3, H, W)`` in [0, 1], sides multiples of 64.
            quality: ``(N,)`` in [0, 1].
            precision: of the convolutions.
        """
        device = pictures.device.type
        mixed = precision != torch.float32
        gain, inverse = self.gains(quality)
        with torch.autocast(device, dtype=precision, enabled=mixed):
            y = self.g_a(pictures)
        y = y.float() * gain[:, :, None, None]
        with torch.autocast(device, dtype=precision, enabled=mixed):
            z = self.h_a(y).float()
        z_likelihoods = self.bottleneck(z, training=True)[1]
        offsets = self.hyper_offsets()[:, None, None]
        with torch.autocast(device, dtype=precision, enabled=mixed):
            hyper = self.h_s(straight_through(z - offsets) + offsets)
        predicted = self.predict(y, hyper, precision=precision)
        y_likelihoods = self.gaussian(y, predicted.scales, predicted.means, training=True)[1]
        bits = _bits(z_likelihoods) + _bits(y_likelihoods)
        return Coded(y_hat=predicted.y_hat * inverse[:, :, None, None], bits=bits)

    def predict(self, y: Tensor, hyper: Tensor, *, precision: torch.dtype) -> Predicted:
        """Return what the entropy model tells of the latents and rounds them to, in float32.

        Args:
            y: ``(N, M, h, w)``, scaled latents; gradients pass their rounding.
            hyper: what ``h_s`` gave.
            precision: of the convolutions.
        """
        raise NotImplementedError

    def synthesise(self, y_hat: Tensor, view: Tensor, *, precision: torch.dtype) -> Tensor:
        """Return ``(N, 3, H, W)`` for the views ``(N,)``, not clamped, float32.

        Where the synthesis has two ends, pictures of one view share a pass; views on the CPU then
        save a GPU from being waited for.
        """
        mixed = precision != torch.float32
        with torch.autocast(y_hat.device.type, dtype=precision, enabled=mixed):
            terms = self.g_s.terms(view.to(y_hat.device, non_blocking=True))
            if self.g_s.machine is None:
                return self.g_s(y_hat, terms).float()  # type: ignore[no-any-return]
            order, parts = [], []
            for value in view.unique().tolist():
                items = (view == value).nonzero()[:, 0].to(y_hat.device, non_blocking=True)
                inputs = (y_hat[items], [term[items] for term in terms])
                parts.append(functional_call(self._one_view[0], self.g_s.weights(value), inputs))
                order.append(items)
            return torch.cat(parts)[torch.cat(order).argsort()].float()

    def compile_networks(self) -> None:
        """Let torch.compile make the transforms faster, each when it is first called."""
        synthesis = self.g_s if self.g_s.machine is None else self._one_view[0]
        for network in (self.g_a, self.h_a, self.h_s, synthesis):
            network.compile()

    def with_two_ends(self) -> Self:
        """Return a copy whose machine end has weights of its own, so far those of the human end."""
        copy = type(self)(
            replace(self.config, two_ended=True),
            knots=len(self.gains.log_gain),
            lambdas=self.gains.lambdas,
        )
        copy.load_state_dict(copy.state_dict() | self.state_dict())
        copy.join_ends()
        return copy

    @torch.no_grad()
    def join_ends(self) -> None:
        """Give the machine end, where there is one, the human end's weights."""
        if self.g_s.machine is not None:
            human = self.g_s.state_dict()
            self.g_s.machine.load_state_dict({name: human[name] for name in self._end_names()})

    def _end_names(self) -> list[str]:
        """Return what an end of the synthesis has, as names in the state of g_s."""
        of_views = ("embedding.", "view_terms.", "machine.")
        return [name for name in self.g_s.state_dict() if not name.startswith(of_views)]


class TrainableHyperprior(Trainable):
    """A bmshj2018 hyperprior as it is trained."""

    config: Bmshj2018Config
    h_s: HyperSynthesis

    def transforms(self, config: Bmshj2018Config) -> Transforms:
        return Transforms(
            g_a=Analysis(config),
            g_s=ConditionalSynthesis(config),
            h_a=HyperAnalysis(config),
            h_s=HyperSynthesis(config),
        )

    def predict(self, y: Tensor, hyper: Tensor, *, precision: torch.dtype) -> Predicted:
        scales = hyper.float()
        return Predicted(y_hat=straight_through(y), scales=scales, means=scales.new_zeros(()))


def straight_through(values: Tensor) -> Tensor:
    """Round, and let gradients pass as if nothing happened."""
    return values + (values.round() - values).detach()


def _bits(likelihoods: Tensor) -> Tensor:
    return -torch.log2(likelihoods).flatten(1).sum(1)
