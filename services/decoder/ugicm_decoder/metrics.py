"""What the decoder counts and measures, beyond what every service does."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from ugicm_servicekit.metrics import REGISTRY

__all__ = [
    "BATCH_VIEWS",
    "CACHE_BYTES",
    "CACHE_LOOKUPS",
    "COMMIT_WRITES",
    "DAMAGED_FRAMES",
    "INGESTED",
    "INGESTED_BYTES",
    "PICTURES",
    "STORE_BYTES",
    "STORE_FREE_BYTES",
]

INGESTED = Counter(
    "ugicm_ingested_items",
    "Frames and gaps that are durable, by kind and by outcome (stored, duplicate).",
    ["kind", "outcome"],
    registry=REGISTRY,
)
INGESTED_BYTES = Counter(
    "ugicm_ingested_stream_bytes", "Bytes of the streams of stored frames.", registry=REGISTRY
)
PICTURES = Counter("ugicm_pictures", "Pictures that were decoded.", registry=REGISTRY)
COMMIT_WRITES = Histogram(
    "ugicm_commit_writes",
    "Writes that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
STORE_BYTES = Gauge("ugicm_store_bytes", "Size of the store's file and its log.", registry=REGISTRY)
STORE_FREE_BYTES = Gauge(
    "ugicm_store_free_bytes", "What is free on the store's disk.", registry=REGISTRY
)
DAMAGED_FRAMES = Counter(
    "ugicm_damaged_frames",
    "Reads of frames whose stored bytes had changed.",
    registry=REGISTRY,
)
BATCH_VIEWS = Histogram(
    "ugicm_batch_views",
    "Views that were synthesised in one batch.",
    buckets=(1, 2, 4, 8, 16, 32),
    registry=REGISTRY,
)
CACHE_LOOKUPS = Counter(
    "ugicm_cache_lookups",
    "Lookups in a cache (latents, views), by outcome (hit, joined, miss).",
    ["cache", "outcome"],
    registry=REGISTRY,
)
CACHE_BYTES = Gauge("ugicm_cache_bytes", "What a cache holds.", ["cache"], registry=REGISTRY)
