"""Opens the codec that a configuration describes."""

from __future__ import annotations

from typing import TypeAlias

from ugicm_evaluation.codecs.classical import AVIF, JPEG, JPEG_XL, WEBP, available
from ugicm_evaluation.codecs.compressai_zoo import ZooCodec
from ugicm_evaluation.codecs.decoded import DecodedPictures
from ugicm_evaluation.codecs.model import open_models
from ugicm_evaluation.codecs.protocol import FinishedCodec, PictureCodec
from ugicm_evaluation.codecs.updated import UpdatedCodec
from ugicm_evaluation.config import CodecConfig, Decoded, Model, PillowFormat, Updated, Zoo

__all__ = ["AnyCodec", "open_codec"]

AnyCodec: TypeAlias = PictureCodec | FinishedCodec

_FORMATS = {"jpeg": JPEG, "webp": WEBP, "avif": AVIF, "jpeg-xl": JPEG_XL}


def open_codec(config: CodecConfig) -> AnyCodec:
    """Return the codec, ready.

    Raises:
        BadCodec: its weights or results are not to be had, or are another codec's.
        ModelError: a model of this project is unknown or damaged.
        TrainingError: a teacher is not to be had.
    """
    match config:
        case Model():
            return open_models(config.model)
        case Updated():
            return UpdatedCodec(
                open_models(config.model),
                config.teacher,
                delta=config.delta,
                step_levels=config.step_levels,
                steps=config.steps,
            )
        case PillowFormat():
            return available(_FORMATS[config.format])
        case Zoo():
            return ZooCodec(
                config.architecture,
                config.metric,
                config.qualities,
                config.weights,
                name=config.name,
            )
        case Decoded():
            return DecodedPictures(config.table, name=config.name)
