"""Which model is trained for a config, and which config some JSON is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ugicm_codec.models.backbone import BackboneConfig
from ugicm_codec.models.bmshj2018 import Bmshj2018Config
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_training.mlicpp import TrainableMlicpp
from ugicm_training.model import Trainable, TrainableHyperprior

__all__ = ["config_from_json", "new_model"]


def new_model(config: BackboneConfig, *, knots: int, lambdas: tuple[float, float]) -> Trainable:
    """Return an untrained model of the backbone that ``config`` is of."""
    if isinstance(config, MlicppConfig):
        return TrainableMlicpp(config, knots=knots, lambdas=lambdas)
    assert isinstance(config, Bmshj2018Config)
    return TrainableHyperprior(config, knots=knots, lambdas=lambdas)


def config_from_json(values: Mapping[str, Any]) -> BackboneConfig:
    """Return the config that a recipe holds as JSON.

    Raises:
        ValueError: it is of no backbone.
    """
    # Only one of the backbones codes latents slice by slice.
    return msgspec.convert(values, MlicppConfig if "slices" in values else Bmshj2018Config)
