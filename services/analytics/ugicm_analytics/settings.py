"""What the analytics service needs to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ugicm_codec.limits import Limits
from ugicm_servicekit.settings import ServerSettings, Setting, UpstreamSettings

__all__ = ["AnalyticsSettings"]


@dataclass(frozen=True, kw_only=True)
class AnalyticsSettings(ServerSettings, UpstreamSettings):
    """Its settings: flags, ``UGICM_ANALYTICS_*``, a TOML file, or these defaults."""

    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 50_053
    decoder: Annotated[str, Setting("address of the decoder, host:port")] = "127.0.0.1:50052"
    decode_seconds: Annotated[
        float, Setting("how long the decoder may take for one picture", 0.001)
    ] = 60.0
    analyzers: Annotated[
        tuple[str, ...], Setting("names of the analyzers to load, separated by commas")
    ] = ("faces", "people")
    threads: Annotated[int, Setting("how many pictures to analyze at once", 1, 1024)] = 2
    max_queued: Annotated[
        int, Setting("how many pictures may wait for a thread before more are refused", 0)
    ] = 64
    max_pixels: Annotated[int, Setting("largest picture, in pixels", 1)] = Limits.max_pixels
    analyze_ahead: Annotated[
        int, Setting("how many items of one AnalyzeStream or Watch call may be under way", 1, 1024)
    ] = 2

    @property
    def limits(self) -> Limits:
        """Limits on pictures, inline and decoded."""
        return Limits(max_pixels=self.max_pixels)
