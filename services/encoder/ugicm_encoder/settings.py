"""What the encoder needs to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ugicm_servicekit.models import ModelSettings
from ugicm_servicekit.settings import Setting

__all__ = ["EncoderSettings"]


@dataclass(frozen=True, kw_only=True)
class EncoderSettings(ModelSettings):
    """An encoder's settings: flags, ``UGICM_ENCODER_*``, a TOML file, or these defaults."""

    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 50_051
    quality: Annotated[
        int, Setting("quality of requests that name none, 0 (smallest) to 100 (best)", 0, 100)
    ] = 50
    encode_ahead: Annotated[
        int,
        Setting(
            "how many pictures of one EncodeStream call are coded at once, and as many forwarded",
            1,
            1024,
        ),
    ] = 4
    upstream: Annotated[
        str | None, Setting("decoder to forward frames to, host:port; none: only answer")
    ] = None
    upstream_seconds: Annotated[
        float, Setting("how long the decoder may take to store a frame", 0.001)
    ] = 10.0
