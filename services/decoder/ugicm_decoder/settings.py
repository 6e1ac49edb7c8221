"""What the decoder needs to be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ugicm_codec import Limits
from ugicm_servicekit.settings import ServerSettings, Setting

__all__ = ["DecoderSettings"]


@dataclass(frozen=True, kw_only=True)
class DecoderSettings(ServerSettings):
    """A decoder's settings: flags, ``UGICM_DECODER_*``, a TOML file, or these defaults."""

    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 50_052
    models: Annotated[
        tuple[str, ...],
        Setting("models to decode with, by name or path, commas between; the first is preferred"),
    ] = ("default",)
    device: Annotated[str, Setting("device to compute on, as PyTorch names it")] = "cpu"
    store: Annotated[Path, Setting("file that keeps the frames")] = Path("ugicm-frames.sqlite")
    threads: Annotated[int, Setting("how many pictures to decode at once", 1, 1024)] = 2
    max_queued: Annotated[
        int, Setting("how many requests may wait for a thread before more are refused", 0)
    ] = 64
    max_pixels: Annotated[int, Setting("largest picture, in pixels", 1)] = Limits.max_pixels
    max_views: Annotated[int, Setting("most views in one request", 1)] = 16
    ingest_ahead: Annotated[
        int, Setting("how many frames of one Ingest call may be under way", 1, 1024)
    ] = 16
    decode_ahead: Annotated[
        int, Setting("how many items of one DecodeStream call may be under way", 1, 1024)
    ] = 2

    @property
    def limits(self) -> Limits:
        """Limits on the pictures of streams."""
        return Limits(max_pixels=self.max_pixels)
