"""What the console counts and measures, beyond what every service does."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from ugicm_servicekit.metrics import REGISTRY

__all__ = ["EVENT_STREAMS", "PICTURES", "REQUESTS", "REQUEST_SECONDS", "SESSIONS", "UPLOAD_BYTES"]

REQUESTS = Counter(
    "ugicm_http_requests",
    "Requests that were answered, by route and status.",
    ["route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "ugicm_http_request_seconds",
    "From a request's arrival until its answer begins.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    registry=REGISTRY,
)
PICTURES = Counter(
    "ugicm_page_pictures",
    "Pictures for pages: asked of the decoder, or joined to one asked for by the same user.",
    ["outcome"],
    registry=REGISTRY,
)
SESSIONS = Gauge("ugicm_sessions", "Sessions of browsers that have not ended.", registry=REGISTRY)
EVENT_STREAMS = Gauge(
    "ugicm_event_streams", "Pages that follow events at the moment.", registry=REGISTRY
)
UPLOAD_BYTES = Gauge(
    "ugicm_upload_bytes", "What uploads take in memory, all sessions together.", registry=REGISTRY
)
