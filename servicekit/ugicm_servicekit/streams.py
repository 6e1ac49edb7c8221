"""Translate what the codec says of streams and models into messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ugicm.v1 import types_pb2

if TYPE_CHECKING:
    from ugicm_codec import ModelInfo, StreamInfo

__all__ = ["model_to_wire", "stream_info_to_wire"]


def stream_info_to_wire(info: StreamInfo) -> types_pb2.StreamInfo:
    """Return what a stream's header says as a message."""
    return types_pb2.StreamInfo(
        version=info.version,
        latents_id=info.latents_id,
        height=info.height,
        width=info.width,
        quality_step=info.quality_step,
        num_bytes=info.num_bytes,
        bits_per_pixel=info.bits_per_pixel,
    )


def model_to_wire(model: ModelInfo) -> types_pb2.Model:
    """Return what a model file says of itself as a message."""
    return types_pb2.Model(
        name=model.name,
        backbone=model.backbone,
        latents_id=model.latents_id,
        sha256=model.sha256,
        num_quality_steps=model.quality_steps,
    )
