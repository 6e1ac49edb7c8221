"""What analytics counts and measures, beyond what every service does."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from ugicm_servicekit.metrics import REGISTRY

__all__ = [
    "ANALYZED",
    "ANALYZER_SECONDS",
    "BATCH_PICTURES",
    "FINDINGS",
    "MISSED",
    "REDELIVERED",
    "RESULTS",
    "RESULTS_BYTES",
    "RESULTS_FREE_BYTES",
    "STUCK",
    "WATCH_LAG_SECONDS",
]

ANALYZED = Counter(
    "ugicm_analyzed_pictures",
    "Pictures that an analyzer was asked to look at, by outcome (ok, failed, refused, late).",
    ["analyzer", "outcome"],
    registry=REGISTRY,
)
FINDINGS = Counter(
    "ugicm_findings",
    "What analyzers found: objects, labels and areas of at least their own minimum score.",
    ["analyzer"],
    registry=REGISTRY,
)
BATCH_PICTURES = Histogram(
    "ugicm_analysis_batch_pictures",
    "Pictures that an analyzer looked at in one batch.",
    ["analyzer"],
    buckets=(1, 2, 4, 8, 16, 32),
    registry=REGISTRY,
)
ANALYZER_SECONDS = Histogram(
    "ugicm_analyzer_seconds",
    "What one batch took an analyzer.",
    ["analyzer"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    registry=REGISTRY,
)
STUCK = Gauge(
    "ugicm_analyzer_stuck",
    "1 while an analyzer is busy with a batch whose time is up.",
    ["analyzer"],
    registry=REGISTRY,
)
REDELIVERED = Counter(
    "ugicm_redelivered_frames",
    "Frames that a group's watch got again, because nobody had answered for them in time.",
    ["analyzer"],
    registry=REGISTRY,
)
RESULTS = Counter(
    "ugicm_results",
    "Results of frames, by analyzer and by outcome (stored, known).",
    ["analyzer", "outcome"],
    registry=REGISTRY,
)
RESULTS_BYTES = Gauge(
    "ugicm_results_bytes", "Size of the results store's file and its log.", registry=REGISTRY
)
RESULTS_FREE_BYTES = Gauge(
    "ugicm_results_free_bytes", "What is free on the results store's disk.", registry=REGISTRY
)
MISSED = Counter(
    "ugicm_missed_frames",
    "Frames that the service's own watch has no result of, by reason (failed, gap).",
    ["analyzer", "reason"],
    registry=REGISTRY,
)
WATCH_LAG_SECONDS = Gauge(
    "ugicm_watch_lag_seconds",
    "From the decoder's storing of the newest watched frame to its result's; by both clocks.",
    ["analyzer"],
    registry=REGISTRY,
)
