"""Counts the activations of a model file's exact networks that are at their limit."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ugicm_codec.bitstream import read_stream
from ugicm_codec.entropy.checkerboard import Checkerboard
from ugicm_codec.entropy.fixedpoint import (
    ACTIVATION_LIMIT,
    FixedPointLayer,
    FixedPointNetwork,
)
from ugicm_codec.entropy.hyperprior import CodedLatents
from ugicm_codec.entropy.mlicpp.coder import MlicppCoder
from ugicm_codec.entropy.mlicpp.dataflow import Arithmetic
from ugicm_codec.entropy.products import float64_product
from ugicm_codec.limits import Limits
from ugicm_codec.models.bmshj2018 import LATENT_STRIDE, Bmshj2018Config
from ugicm_codec.models.hyperprior import HyperpriorModel
from ugicm_codec.models.modelfile import ENTROPY_PREFIX, ModelFile

__all__ = ["Saturation"]


class Saturation:
    """The exact networks of one model file, watched."""

    def __init__(self, file: ModelFile) -> None:
        self._layers: list[FixedPointLayer] = []
        self._coder: MlicppCoder | None = None
        if isinstance(file.config, Bmshj2018Config):
            entropy = file.part(ENTROPY_PREFIX)
            self._layers = [_layer(entropy, index) for index in range(3)]
        else:
            model = HyperpriorModel.build(
                file,
                device=torch.device("cpu"),
                precision=torch.float32,
                products=[float64_product],
            )
            assert isinstance(model.coder, MlicppCoder)
            self._coder = model.coder

    def share(self, hyper: Tensor, stream: bytes) -> float:
        """Return the share of inner activations that reach their limit.

        Args:
            hyper: ``(1, C, a, b)``, the hyper-latents that ``stream`` holds.
        """
        if self._coder is None:
            return self._share_of_chain(hyper)
        watched = _Watched(self._coder.arithmetic)
        parsed = read_stream(stream, Limits())
        sides = (parsed.header.height, parsed.header.width)
        coded = CodedLatents(parsed.hyper, parsed.latents, parsed.header.latents_crc)
        coder = replace(self._coder, arithmetic=watched)
        coder.decode([coded], *(-(-side // LATENT_STRIDE) for side in sides))
        return watched.reached / watched.computed

    def _share_of_chain(self, hyper: Tensor) -> float:
        integers = hyper.permute(0, 2, 3, 1).to(torch.int16)
        reached, computed = 0, 0
        for depth in (1, 2):
            network = FixedPointNetwork(self._layers[:depth], float64_product)
            activations = network(integers, self._layers[depth - 1].activate)
            reached += int((activations == ACTIVATION_LIMIT).sum())
            computed += activations.numel()
        return reached / computed


class _Watched:
    """Computes as the arithmetic that it is given, and counts."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self.reached = 0
        self.computed = 0

    def convolve(self, name: str, *parts: Tensor, at: Tensor | None = None) -> Tensor:
        return self._counted(self._arithmetic.convolve(name, *parts, at=at))

    def depthwise(self, name: str, values: Tensor) -> Tensor:
        return self._counted(self._arithmetic.depthwise(name, values))

    def normalise(self, name: str, values: Tensor) -> Tensor:
        return self._arithmetic.normalise(name, values)

    def attend_globally(self, queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
        return self._arithmetic.attend_globally(queries, keys, values, heads)

    def attend_locally(self, name: str, qkv: Tensor, board: Checkerboard) -> Tensor:
        return self._arithmetic.attend_locally(name, qkv, board)

    def enter(self, name: str, latents: Tensor) -> Tensor:
        return self._counted(self._arithmetic.enter(name, latents))

    def _counted(self, values: Tensor) -> Tensor:
        # Only activations have 16 bits: what leaves tables and thresholds behind has more.
        if values.dtype == torch.int16:
            self.reached += int((values.abs() == ACTIVATION_LIMIT).sum())
            self.computed += values.numel()
        return values


def _layer(entropy: dict[str, Tensor], index: int) -> FixedPointLayer:
    return FixedPointLayer.build(
        weight=entropy[f"layers.{index}.weight"],
        bias=entropy[f"layers.{index}.bias"],
        shift=int(entropy[f"layers.{index}.shift"]),
        upsample=bool(entropy[f"layers.{index}.upsample"]),
    )
