"""The decoder's settings: what they become, and what a decoder does that is told nothing."""

from __future__ import annotations

from ugicm_decoder.settings import DecoderSettings
from ugicm_decoder.store import StoreLimits
from ugicm_servicekit.settings import read_settings


def limits(*arguments, **environment):
    settings = read_settings(
        DecoderSettings, service="decoder", arguments=arguments, environment=environment
    )
    return settings.store_limits


def test_a_store_that_is_told_nothing_keeps_all_and_leaves_64_mib_of_the_disk():
    assert limits() == StoreLimits(
        retention_seconds=None,
        retention_camera_bytes=None,
        max_store_bytes=None,
        min_free_bytes=67_108_864,
    )


def test_a_stores_limits_come_from_flags_and_the_environment():
    chosen = limits(
        "--retention-seconds=259200",
        "--max-store-bytes=1000000000",
        "--min-free-bytes=0",
        UGICM_DECODER_RETENTION_CAMERA_BYTES="5000000",
    )
    assert chosen == StoreLimits(
        retention_seconds=259_200.0,
        retention_camera_bytes=5_000_000,
        max_store_bytes=1_000_000_000,
        min_free_bytes=0,
    )
