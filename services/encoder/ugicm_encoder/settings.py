"""What the encoder needs to be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ugicm_encoder.spool import SpoolFull
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.models import ModelSettings
from ugicm_servicekit.settings import Setting, UpstreamSettings

__all__ = ["EncoderSettings"]


@dataclass(frozen=True, kw_only=True)
class EncoderSettings(ModelSettings, UpstreamSettings):
    """An encoder's settings: flags, ``UGICM_ENCODER_*``, a TOML file, or these defaults.

    Raises:
        BadSettings: there is a spool, and no decoder to forward to, or there are processes to code
            on a device that they would have to share.
    """

    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 50_051
    quality: Annotated[
        int, Setting("quality of requests that name none, 0 (smallest) to 100 (best)", 0, 100)
    ] = 50
    processes: Annotated[
        int, Setting("processes for small pictures, as many threads at least; 0: none", 0, 256)
    ] = 0
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
    spool: Annotated[
        Path | None,
        Setting("folder that keeps frames until the decoder has them; none: cameras wait for it"),
    ] = None
    spool_bytes: Annotated[
        int, Setting("what all frames in the spool may come to, in bytes", 2**16)
    ] = 2**30
    spool_min_free_bytes: Annotated[
        int, Setting("what the spool leaves free on its disk, in bytes", 0)
    ] = 256 * 2**20
    spool_full: Annotated[SpoolFull, Setting("what a full spool does with a new frame")] = (
        SpoolFull.REFUSE
    )
    forward_ahead: Annotated[
        int, Setting("how many spooled frames may be on their way to the decoder at once", 1, 1024)
    ] = 16

    def __post_init__(self) -> None:
        if self.spool is not None and self.upstream is None:
            raise BadSettings(["--spool needs --upstream, a decoder to forward to"])
        if self.processes and self.device != "cpu":
            raise BadSettings([f"--processes needs --device cpu, got {self.device}"])
