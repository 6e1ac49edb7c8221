"""What the encoder counts and measures, beyond what every service does."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from ugicm_servicekit.metrics import REGISTRY

__all__ = [
    "CODING_PROCESSES",
    "ENCODED_BYTES",
    "ENCODED_PICTURES",
    "FORWARDED",
    "FRAMES",
    "SPOOL_BYTES",
    "SPOOL_DAMAGED_FRAMES",
    "SPOOL_DROPPED_FRAMES",
    "SPOOL_ITEMS",
    "SPOOL_OLDEST_SECONDS",
    "UPSTREAM_LINKED",
]

CODING_PROCESSES = Gauge(
    "ugicm_coding_processes", "Processes that code small pictures.", registry=REGISTRY
)
ENCODED_PICTURES = Counter("ugicm_encoded_pictures", "Pictures that were coded.", registry=REGISTRY)
ENCODED_BYTES = Counter(
    "ugicm_encoded_stream_bytes", "Bytes of the streams that were coded.", registry=REGISTRY
)
FRAMES = Counter(
    "ugicm_frames",
    "Frames that were accepted, by delivery (stored, spooled, duplicate).",
    ["delivery"],
    registry=REGISTRY,
)
FORWARDED = Counter(
    "ugicm_forwarded_items",
    "Spooled frames and gaps that the decoder answered for good, by outcome (stored, refused).",
    ["outcome"],
    registry=REGISTRY,
)
SPOOL_ITEMS = Gauge(
    "ugicm_spool_items", "Frames and gaps that wait for the decoder.", registry=REGISTRY
)
SPOOL_BYTES = Gauge("ugicm_spool_bytes", "Bytes that wait for the decoder.", registry=REGISTRY)
SPOOL_OLDEST_SECONDS = Gauge(
    "ugicm_spool_oldest_seconds",
    "Age of the oldest frame that waits, since its capture; 0 where none waits.",
    registry=REGISTRY,
)
SPOOL_DROPPED_FRAMES = Gauge(
    "ugicm_spool_dropped_frames",
    "Frames given up since the start because the spool was full.",
    registry=REGISTRY,
)
SPOOL_DAMAGED_FRAMES = Gauge(
    "ugicm_spool_damaged_frames",
    "Spooled frames found changed on the disk since the start.",
    registry=REGISTRY,
)
UPSTREAM_LINKED = Gauge(
    "ugicm_upstream_linked", "1 while the decoder takes what is spooled.", registry=REGISTRY
)
