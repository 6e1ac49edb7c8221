"""A loaded model: transforms in the device's best precision, entropy model exact."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugicm_codec.entropy.fixedpoint import Product
from ugicm_codec.entropy.hyperprior import CodedLatents
from ugicm_codec.entropy.rans import MAX_VALUE, CodingTables
from ugicm_codec.errors import BadModelFile
from ugicm_codec.models.backbones import BACKBONES, Coder, DecodedLatents
from ugicm_codec.models.bmshj2018 import LATENT_STRIDE
from ugicm_codec.models.conditioning import Conditioned
from ugicm_codec.models.modelfile import ENTROPY_PREFIX, ModelFile
from ugicm_codec.models.tiling import tiles

__all__ = ["HyperpriorModel"]

# Views whose terms and weights are kept, so that only a view's first picture pays for them.
_KEPT_TERMS = 64
_KEPT_SYNTHESES = 8


@dataclass(frozen=True, eq=False)
class HyperpriorModel:
    """The networks and tables of one model file on one device; holds no state between calls.

    Attributes:
        gain: ``(steps, M)`` float32; latents are multiplied by a step's row before rounding.
        inverse_gain: ``(steps, M)`` float32, from decoded latents to the synthesis.
        precision: of the transforms.
        tile_side: latents along a tile's side; larger pictures are transformed in tiles.
        margin: latents around a tile that are transformed with it.
    """

    analysis: nn.Module
    synthesis: Conditioned
    hyper_analysis: nn.Module
    coder: Coder
    gain: Tensor
    inverse_gain: Tensor
    device: torch.device
    precision: torch.dtype
    tile_side: int
    margin: int

    @classmethod
    def build(
        cls,
        file: ModelFile,
        *,
        device: torch.device,
        precision: torch.dtype,
        products: Sequence[Product],
        tile_side: int | None = None,
    ) -> HyperpriorModel:
        """Build the model and prove its integer arithmetic exact on ``device``.

        Args:
            tile_side: the backbone's own, unless given.

        Raises:
            BadModelFile: a tensor is missing or has another shape.
            InexactArithmetic: none of ``products`` is exact on the device.
        """
        backbone = BACKBONES[file.info.backbone]
        analysis = backbone.analysis(file.config)
        synthesis = backbone.synthesis(file.config)
        hyper_analysis = backbone.hyper_analysis(file.config)
        entropy = file.part(ENTROPY_PREFIX)
        try:
            # Pictures enter as integers from 0 to 255, which bfloat16 holds exactly.
            weights = file.part("g_a.")
            for name in backbone.picture_weights:
                weights[name] = weights[name] / 255.0
            analysis.load_state_dict(weights)
            synthesis.load_state_dict(file.part("g_s."))
            hyper_analysis.load_state_dict(file.part("h_a."))
            _check_values(entropy)
            coder = backbone.build_coder(
                entropy,
                file.config,
                latent_tables=_build_tables(entropy, "latent_tables."),
                hyper_tables=_build_tables(entropy, "hyper_tables."),
                device=device,
                products=products,
            )
            gain, inverse_gain = entropy["gain"], entropy["inverse_gain"]
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise BadModelFile(f"{file.info.name} is incomplete: {reason}") from error
        for module in (analysis, synthesis, hyper_analysis):
            module.requires_grad_(False).eval().to(device=device)
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        analysis.to(dtype=precision)
        return cls(
            analysis=analysis,
            synthesis=synthesis,
            hyper_analysis=hyper_analysis,
            coder=coder,
            gain=gain.to(device),
            inverse_gain=(inverse_gain / backbone.latent_units).to(device),
            device=device,
            precision=precision,
            tile_side=tile_side or backbone.tile_side,
            margin=backbone.margin,
        )

    def analyse(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Return the latents before gains, ``(N, M, h, w)`` float32.

        Args:
            pictures: ``(N, H, W, 3)``; edges are repeated up to multiples of 16.
        """
        height, width = pictures.shape[1:3]
        bottom, right = -height % LATENT_STRIDE, -width % LATENT_STRIDE
        if bottom or right:
            pictures = np.pad(pictures, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
        # PyTorch warns of arrays that are not writable, such as Pillow's.
        ours = np.require(pictures, requirements=("C", "W"))
        whole = torch.from_numpy(ours).permute(0, 3, 1, 2)
        h, w = whole.shape[2] // LATENT_STRIDE, whole.shape[3] // LATENT_STRIDE
        channels = self.gain.shape[1]
        out = torch.empty((len(pictures), channels, h, w), device=self.device)
        out = out.to(memory_format=torch.channels_last)
        for tile in tiles(h, w, side=self.tile_side, margin=self.margin):
            rows, columns = tile.rows, tile.columns
            part = whole[..., rows.outer(LATENT_STRIDE), columns.outer(LATENT_STRIDE)]
            y = self.analysis(part.to(self.device).to(self.precision))
            out[..., rows.kept(1), columns.kept(1)] = y[
                ..., rows.kept_of_outer(1), columns.kept_of_outer(1)
            ]
        return out

    def encode(self, y: Tensor, step: int) -> CodedLatents:
        """Code one picture at a quality step; ``y`` is ``(M, h, w)``, from ``analyse``."""
        scaled = y[None] * self.gain[step][:, None, None]
        z = self.hyper_analysis(scaled)
        hyper = z[0].round().clamp_(-MAX_VALUE, MAX_VALUE).to(torch.int16).permute(1, 2, 0)
        return self.coder.encode(
            scaled[0].permute(1, 2, 0), np.ascontiguousarray(hyper.cpu().numpy())
        )

    def synthesise(
        self, latents: Sequence[DecodedLatents], steps: Sequence[int], views: Sequence[float]
    ) -> NDArray[np.uint8]:
        """Return pictures ``(N, 16 h, 16 w, 3)`` of latents ``(h, w, M)`` of one size.

        Args:
            latents: the integers of each picture.
            steps: each picture's quality step.
            views: each picture's view in [0, 1].
        """
        scale = self.inverse_gain[list(steps)][:, None, None, :]
        integers = torch.from_numpy(np.stack(latents)).to(self.device)
        h, w = integers.shape[1:3]
        out = np.empty((len(latents), h * LATENT_STRIDE, w * LATENT_STRIDE, 3), np.uint8)
        for synthesis, items in self._by_synthesis(views):
            terms = self._terms([views[item] for item in items])
            for tile in tiles(h, w, side=self.tile_side, margin=self.margin):
                rows, columns = tile.rows, tile.columns
                y_hat = integers[items, rows.outer(1), columns.outer(1)] * scale[items]
                picture = synthesis(y_hat.to(self.precision).permute(0, 3, 1, 2), terms)
                kept = picture[
                    ..., rows.kept_of_outer(LATENT_STRIDE), columns.kept_of_outer(LATENT_STRIDE)
                ]
                grey = kept.clamp_(0.0, 1.0).mul_(255.0).round_().to(torch.uint8)
                out[items, rows.kept(LATENT_STRIDE), columns.kept(LATENT_STRIDE)] = (
                    grey.permute(0, 2, 3, 1).cpu().numpy()
                )
        return out

    def _by_synthesis(self, views: Sequence[float]) -> list[tuple[nn.Module, list[int]]]:
        """Return which pictures share weights: all of one view, or simply all."""
        if self.synthesis.machine is None:
            return [(self._synthesis_at(0.0), list(range(len(views))))]
        return [
            (self._synthesis_at(view), [item for item, each in enumerate(views) if each == view])
            for view in dict.fromkeys(views)
        ]

    @functools.cached_property
    def _synthesis_at(self) -> Callable[[float], nn.Module]:
        def synthesis(view: float) -> nn.Module:
            made = self.synthesis.at(view)
            made.settle(self.precision)
            settled: nn.Module = made.to(device=self.device).to(memory_format=torch.channels_last)
            return settled

        return functools.lru_cache(maxsize=_KEPT_SYNTHESES)(synthesis)

    def _terms(self, views: Sequence[float]) -> list[Tensor]:
        of_each = [self._terms_of_view(view) for view in views]
        return [torch.cat(block) for block in zip(*of_each, strict=True)]

    @functools.cached_property
    def _terms_of_view(self) -> Callable[[float], list[Tensor]]:
        def terms(view: float) -> list[Tensor]:
            return self.synthesis.terms(torch.tensor([view], device=self.device))

        return functools.lru_cache(maxsize=_KEPT_TERMS)(terms)


def _check_values(entropy: dict[str, Tensor]) -> None:
    """Refuse what would make latents depend on the machine.

    Raises:
        ValueError: as its text says.
    """
    if not bool((entropy["thresholds"].diff() > 0).all()):
        raise ValueError("thresholds do not ascend")
    for name in ("gain", "inverse_gain"):
        if not bool((entropy[name].isfinite() & (entropy[name] > 0)).all()):
            raise ValueError(f"{name} is not positive and finite everywhere")


def _build_tables(entropy: dict[str, Tensor], prefix: str) -> CodingTables:
    return CodingTables.build(
        cumulative=entropy[prefix + "cumulative"].numpy().astype(np.uint32),
        num_symbols=entropy[prefix + "num_symbols"].numpy().astype(np.int32),
        offset=entropy[prefix + "offset"].numpy().astype(np.int32),
    )
