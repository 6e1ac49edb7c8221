"""The backbones that a model file can name: their networks, their entropy model, their tiling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugicm_codec.entropy.fixedpoint import FixedPointLayer, FixedPointNetwork, Product
from ugicm_codec.entropy.hyperprior import CodedLatents, HyperpriorCoder
from ugicm_codec.entropy.integers import LATENT_BITS
from ugicm_codec.entropy.mlicpp.coder import MlicppCoder
from ugicm_codec.entropy.mlicpp.exact import tensor_forms
from ugicm_codec.entropy.products import exact_product
from ugicm_codec.entropy.rans import CodingTables
from ugicm_codec.models import bmshj2018
from ugicm_codec.models.backbone import BackboneConfig
from ugicm_codec.models.bmshj2018 import LATENT_STRIDE, Bmshj2018Config
from ugicm_codec.models.conditioning import Conditioned
from ugicm_codec.models.mlicpp import transforms as mlicpp
from ugicm_codec.models.mlicpp.config import MlicppConfig

__all__ = ["BACKBONES", "Backbone", "Coder", "DecodedLatents", "Forms", "backbone_of"]

# Shape and accepted types of each tensor.
Forms = dict[str, tuple[tuple[int, ...], tuple[torch.dtype, ...]]]

# ``(h, w, M)``, in the backbone's units.
DecodedLatents = NDArray[np.signedinteger[Any]]

# Whether each layer of bmshj2018's h_s upsamples.
_UPSAMPLES = (True, True, False)


class Coder(Protocol):
    """The exact entropy model of one model file; holds no state between calls."""

    def encode(self, latents: Tensor, hyper: NDArray[np.int16]) -> CodedLatents:
        """Code one picture.

        Args:
            latents: ``(h, w, M)`` float, times their gains and not yet rounded.
            hyper: ``(ceil(h/4), ceil(w/4), C)``.
        """

    def decode(
        self, coded: Sequence[CodedLatents], height: int, width: int
    ) -> Sequence[DecodedLatents]:
        """Return each picture's latents, ``(height, width, M)``, in the backbone's units.

        Raises:
            BitstreamError: a section cannot be decoded, or to other latents than were coded.
        """


@dataclass(frozen=True)
class Backbone:
    """What one backbone is made of.

    Attributes:
        config: class of its sizes.
        analysis: g_a, of a config; synthesis, g_s; hyper_analysis, h_a.
        picture_weights: of g_a, those that pixels are multiplied with.
        margin: latents around a tile that its result depends on.
        tile_side: latents along a tile's side; larger pictures are transformed in tiles.
        latent_units: what decoded latents are divided by.
        parse_config: sizes from a model file's tensors and from what it says of them.
        write_config: sizes as JSON.
        entropy_forms: of the tensors beside gains and tables.
        build_coder: from the tensors of ``entropy_forms`` and the tables of latents and
            hyper-latents.
    """

    config: type[BackboneConfig]
    analysis: Callable[[Any], nn.Sequential]
    synthesis: Callable[[Any], Conditioned]
    hyper_analysis: Callable[[Any], nn.Sequential]
    picture_weights: tuple[str, ...]
    margin: int
    tile_side: int
    latent_units: int
    parse_config: Callable[[Mapping[str, Tensor], Any], BackboneConfig]
    write_config: Callable[[Any], dict[str, Any]]
    entropy_forms: Callable[[Any], Forms]
    build_coder: Callable[..., Coder]


def backbone_of(config: BackboneConfig) -> str:
    """Return the name of the backbone whose sizes ``config`` are."""
    return next(name for name, each in BACKBONES.items() if isinstance(config, each.config))


def _bmshj2018_config(tensors: Mapping[str, Tensor], said: Any) -> Bmshj2018Config:
    view_features, inputs = tensors["g_s.embedding.hidden.weight"].shape
    channels, latent_channels = tensors["g_a.0.weight"].shape[0], tensors["entropy.gain"].shape[1]
    if inputs % 2 == 0 or min(view_features, channels, latent_channels) < 1:
        raise ValueError(f"no network has {channels}, {latent_channels}, {view_features}, {inputs}")
    config = Bmshj2018Config(
        channels=channels,
        latent_channels=latent_channels,
        view_features=view_features,
        view_octaves=(inputs - 1) // 2,
        two_ended="g_s.machine.output.weight" in tensors,
    )
    # Files from before a choice was there say nothing of it.
    if {"two_ended": False} | said != asdict(config):
        raise ValueError(f"its tensors have {asdict(config)}, it says {said}")
    return config


def _bmshj2018_forms(config: Bmshj2018Config) -> Forms:
    n, m = config.channels, config.latent_channels
    forms: Forms = {}
    for index, columns in enumerate((4 * n, 4 * n, m)):
        forms[f"layers.{index}.weight"] = ((9 * n, columns), (torch.int16,))
        forms[f"layers.{index}.bias"] = ((columns,), (torch.int64,))
        forms[f"layers.{index}.shift"] = ((), (torch.int64,))
        forms[f"layers.{index}.upsample"] = ((), (torch.int64,))
    return forms


def _bmshj2018_coder(
    entropy: Mapping[str, Tensor],
    config: Bmshj2018Config,
    *,
    latent_tables: CodingTables,
    hyper_tables: CodingTables,
    device: torch.device,
    products: Sequence[Product],
) -> HyperpriorCoder:
    if [bool(entropy[f"layers.{index}.upsample"]) for index in range(3)] != [*_UPSAMPLES]:
        raise ValueError("h_s upsamples in its first two layers")
    layers = [
        FixedPointLayer.build(
            weight=entropy[f"layers.{index}.weight"],
            bias=entropy[f"layers.{index}.bias"],
            shift=int(entropy[f"layers.{index}.shift"]),
            upsample=upsample,
        ).to(device)
        for index, upsample in enumerate(_UPSAMPLES)
    ]
    return HyperpriorCoder(
        network=FixedPointNetwork(layers, exact_product(layers, products)),
        thresholds=entropy["thresholds"].to(device),
        latent_tables=latent_tables,
        hyper_tables=hyper_tables,
    )


def _mlicpp_config(_: Mapping[str, Tensor], said: Any) -> MlicppConfig:
    if not isinstance(said, dict):
        raise ValueError(f"sizes are an object, got {said!r:.80}")
    return MlicppConfig.from_json(said)


def _mlicpp_forms(config: MlicppConfig) -> Forms:
    forms: Forms = {name: (shape, (kind,)) for name, (shape, kind) in tensor_forms(config).items()}
    forms["hyper_offsets"] = ((config.channels,), (torch.int64,))
    return forms


# The names stand in model files.
BACKBONES: Mapping[str, Backbone] = {
    "bmshj2018": Backbone(
        config=Bmshj2018Config,
        analysis=bmshj2018.Analysis,
        synthesis=bmshj2018.ConditionalSynthesis,
        hyper_analysis=bmshj2018.HyperAnalysis,
        picture_weights=("0.weight",),
        # g_a reaches 30 pixels, less than 2 latents; g_s reaches less than 2 latents.
        margin=2,
        tile_side=2048 // LATENT_STRIDE,
        latent_units=1,
        parse_config=_bmshj2018_config,
        write_config=asdict,
        entropy_forms=_bmshj2018_forms,
        build_coder=_bmshj2018_coder,
    ),
    "mlicpp": Backbone(
        config=MlicppConfig,
        analysis=mlicpp.Analysis,
        synthesis=mlicpp.ConditionalSynthesis,
        hyper_analysis=mlicpp.HyperAnalysis,
        picture_weights=mlicpp.PICTURE_WEIGHTS,
        margin=mlicpp.MARGIN,
        tile_side=mlicpp.TILE_SIDE,
        latent_units=2**LATENT_BITS,
        parse_config=_mlicpp_config,
        write_config=MlicppConfig.to_json,
        entropy_forms=_mlicpp_forms,
        build_coder=MlicppCoder.build,
    ),
}
