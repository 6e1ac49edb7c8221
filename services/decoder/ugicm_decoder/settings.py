"""What the decoder needs to be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ugicm_decoder.store import StoreLimits
from ugicm_servicekit.batching import BatchLimits
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.jetstream import NatsSettings
from ugicm_servicekit.models import ModelSettings
from ugicm_servicekit.settings import Setting

__all__ = ["DecoderSettings"]


@dataclass(frozen=True, kw_only=True)
class DecoderSettings(ModelSettings, NatsSettings):
    """A decoder's settings: flags, ``UGICM_DECODER_*``, a TOML file, or these defaults.

    Where NATS servers are named they keep the frames, and there is no file.
    """

    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 50_052
    # Its least holds a chunk of 1 MiB, as the contract says.
    max_message_bytes: Annotated[
        int, Setting("largest message to accept or send, in bytes", 2**21, 2**31 - 1)
    ] = ModelSettings.max_message_bytes
    store: Annotated[Path, Setting("file that keeps the frames")] = Path("ugicm-frames.sqlite")
    retention_seconds: Annotated[
        float | None, Setting("how long a frame is kept after its storing; unset: for good", 1)
    ] = StoreLimits.retention_seconds
    retention_camera_bytes: Annotated[
        int | None,
        Setting("most bytes of streams kept of each camera, oldest removed; unset: any", 1),
    ] = StoreLimits.retention_camera_bytes
    max_store_bytes: Annotated[
        int | None, Setting("most bytes in use in the store's file; unset: any", 2**16)
    ] = StoreLimits.max_store_bytes
    min_free_bytes: Annotated[
        int, Setting("how much of the store's disk stays free, in bytes", 0)
    ] = StoreLimits.min_free_bytes
    nats_max_bytes: Annotated[
        int | None,
        Setting("most bytes of the NATS stream, oldest frames removed; unset: any", 2**16),
    ] = None
    max_views: Annotated[int, Setting("most views in one request", 1)] = 16
    ingest_ahead: Annotated[
        int, Setting("how many frames of one Ingest call may be under way", 1, 1024)
    ] = 16
    decode_ahead: Annotated[
        int, Setting("how many items of one DecodeStream call may be under way", 1, 1024)
    ] = 2
    max_batch: Annotated[
        int, Setting("most pictures of one size that are synthesised together", 1, 1024)
    ] = 16
    # On a CPU large pictures gain nothing by sharing a batch, and wait for one another.
    max_batch_pixels: Annotated[int, Setting("most pixels that are synthesised together", 1)] = (
        2**20
    )
    batch_delay_seconds: Annotated[
        float,
        Setting("how long a picture waits for others whose latents are being decoded", 0, 1),
    ] = 0.002
    latents_cache_bytes: Annotated[
        int, Setting("most bytes of decoded latents to keep; 0: none", 0)
    ] = 64 * 2**20
    views_cache_bytes: Annotated[
        int, Setting("most bytes of synthesised views to keep; 0: none", 0)
    ] = 128 * 2**20

    @property
    def batch_limits(self) -> BatchLimits:
        """When a batch is full, and how long it is waited for."""
        return BatchLimits(
            max_items=self.max_batch,
            max_pixels=self.max_batch_pixels,
            delay_seconds=self.batch_delay_seconds,
        )

    def check_store(self) -> None:
        """Refuse limits that the chosen store does not keep.

        Raises:
            BadSettings: one is set.
        """
        limits = (
            ("retention_camera_bytes", self.retention_camera_bytes),
            ("max_store_bytes", self.max_store_bytes),
        )
        problems = [
            f"--{name.replace('_', '-')} is of a file: with --nats, see --nats-max-bytes"
            for name, value in limits
            if self.nats and value is not None
        ]
        if self.nats_max_bytes is not None and not self.nats:
            problems.append("--nats-max-bytes needs --nats: a file has --max-store-bytes")
        if problems:
            raise BadSettings(problems)

    @property
    def store_limits(self) -> StoreLimits:
        """What the store may hold."""
        return StoreLimits(
            retention_seconds=self.retention_seconds,
            retention_camera_bytes=self.retention_camera_bytes,
            max_store_bytes=self.max_store_bytes,
            min_free_bytes=self.min_free_bytes,
        )
