"""What the analytics service needs to be told."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ugicm_analytics.results.interface import ResultLimits
from ugicm_codec.limits import Limits
from ugicm_codec.views import MACHINE
from ugicm_servicekit.batching import BatchLimits
from ugicm_servicekit.jetstream import NatsSettings
from ugicm_servicekit.settings import ServerSettings, Setting, UpstreamSettings

__all__ = ["AnalyticsSettings", "WatchMode", "WatchStart"]


class WatchMode(enum.Enum):
    """What a watch does where an analyzer is slower than the cameras."""

    EVERY = "every"
    NEWEST = "newest"


class WatchStart(enum.Enum):
    """Where a watch begins that has no cursor to go on from."""

    OLDEST = "oldest"
    NOW = "now"


@dataclass(frozen=True, kw_only=True)
class AnalyticsSettings(ServerSettings, UpstreamSettings, NatsSettings):
    """Its settings: flags, ``UGICM_ANALYTICS_*``, a TOML file, or these defaults."""

    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 50_053
    decoder: Annotated[str, Setting("address of the decoder, host:port")] = "127.0.0.1:50052"
    decode_seconds: Annotated[
        float, Setting("how long the decoder may take for one picture", 0.001)
    ] = 60.0
    analyzers: Annotated[
        tuple[str, ...],
        Setting(
            "analyzers to load, separated by commas: faces, people, or NAME=WHAT "
            "(onnx:FILE, torchvision:MODEL:FILE, a model's folder; see docs/analyzers.md)"
        ),
    ] = ("faces", "people")
    analyzer_threads: Annotated[
        int | None,
        Setting(
            "most threads that one analyzer's library computes with; unset: as many as there are "
            "processors",
            1,
            1024,
        ),
    ] = None
    threads: Annotated[
        int, Setting("how many pictures that come with requests to read at once", 1, 1024)
    ] = 2
    max_queued: Annotated[
        int, Setting("how many pictures may wait for one analyzer before more are refused", 0)
    ] = 64
    analyze_seconds: Annotated[
        float, Setting("how long an analyzer may take for one picture, its wait included", 0.001)
    ] = 30.0
    max_batch: Annotated[
        int, Setting("most pictures of one size that an analyzer looks at together", 1, 1024)
    ] = 4
    max_batch_pixels: Annotated[
        int, Setting("most pixels that an analyzer looks at together", 1)
    ] = 2**22
    max_pixels: Annotated[int, Setting("largest picture, in pixels", 1)] = Limits.max_pixels
    analyze_ahead: Annotated[
        int, Setting("how many items of one AnalyzeStream or Watch call may be under way", 1, 1024)
    ] = 2
    results: Annotated[
        Path, Setting("file that keeps the results of frames; an empty name: none are kept")
    ] = Path("ugicm-results.sqlite")
    kept_minimum_score: Annotated[
        float | None,
        Setting("least score of findings that are kept; unset: each analyzer's own", 0, 1),
    ] = None
    retention_seconds: Annotated[
        float | None, Setting("how long a result is kept after its storing; unset: for good", 1)
    ] = ResultLimits.retention_seconds
    max_results_bytes: Annotated[
        int | None, Setting("most bytes in use in the results' file; unset: any", 2**16)
    ] = ResultLimits.max_bytes
    min_free_bytes: Annotated[
        int, Setting("how much of the results' disk stays free, in bytes", 0)
    ] = ResultLimits.min_free_bytes
    watch: Annotated[
        tuple[str, ...],
        Setting("cameras to analyze all the time, separated by commas; *: all; unset: none"),
    ] = ()
    watch_analyzers: Annotated[
        tuple[str, ...],
        Setting("analyzers that watch them; unset: all loaded that need no labels"),
    ] = ()
    watch_labels: Annotated[
        tuple[str, ...], Setting("labels for those of them that need labels")
    ] = ()
    watch_view: Annotated[
        float, Setting("view to decode them for, from 0 (human) to 1 (machine)", 0, 1)
    ] = MACHINE
    watch_mode: Annotated[
        WatchMode, Setting("every frame however late, or only the newest of each camera")
    ] = WatchMode.EVERY
    watch_start: Annotated[
        WatchStart, Setting("where to begin the first time: at the oldest stored frame, or now")
    ] = WatchStart.OLDEST
    watch_ahead: Annotated[
        int, Setting("how many frames one analyzer's watch may have under way", 1, 1024)
    ] = 4

    watch_group: Annotated[
        str | None,
        Setting("name that replicas of this service share the frames of --nats under; unset: none"),
    ] = None
    watch_ack_seconds: Annotated[
        float,
        Setting("how long a replica may be silent about a frame before another one gets it", 1),
    ] = 120.0

    @property
    def results_file(self) -> Path | None:
        """Where results are kept; None: they are not."""
        return self.results if self.results.name else None

    @property
    def result_limits(self) -> ResultLimits:
        """What the results store may hold."""
        return ResultLimits(
            retention_seconds=self.retention_seconds,
            max_bytes=self.max_results_bytes,
            min_free_bytes=self.min_free_bytes,
        )

    @property
    def batch_limits(self) -> BatchLimits:
        """When an analyzer's batch is full; it is not waited for."""
        return BatchLimits(
            max_items=self.max_batch, max_pixels=self.max_batch_pixels, delay_seconds=0.0
        )

    @property
    def limits(self) -> Limits:
        """Limits on pictures, inline and decoded."""
        return Limits(max_pixels=self.max_pixels)
