"""What every service counts and measures, for Prometheus.

Whoever owns a number declares it: these here, and ``metrics.py`` of each service. All are in one
registry of the process, and a declaration is all that is needed to be scraped::

    metrics.RPCS.labels("Decode", "OK").inc()

Labels have few values, all of them ours: no camera, no peer, nothing that a caller chooses.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

__all__ = [
    "HANDSHAKES",
    "MODEL_INFO",
    "QUEUED_WORK",
    "READY",
    "RECEIVED_BYTES",
    "REFUSALS",
    "REGISTRY",
    "RELOADS",
    "RPCS",
    "RPCS_UNDER_WAY",
    "RPC_SECONDS",
    "SENT_BYTES",
    "STAGE_SECONDS",
]

REGISTRY = CollectorRegistry()
# Memory, processor time and open files.
ProcessCollector(registry=REGISTRY)

# From a cache's hit to an 8K picture on a small machine.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

RPCS = Counter(
    "ugicm_rpcs", "Calls that ended, by method and status.", ["method", "status"], registry=REGISTRY
)
RPC_SECONDS = Histogram(
    "ugicm_rpc_seconds",
    "From a call's arrival to its end; calls that stream last as long as their clients want.",
    ["method"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
RPCS_UNDER_WAY = Gauge(
    "ugicm_rpcs_under_way", "Calls that have begun and not ended.", registry=REGISTRY
)
RECEIVED_BYTES = Counter(
    "ugicm_received_bytes", "Bytes of requests, by method.", ["method"], registry=REGISTRY
)
SENT_BYTES = Counter(
    "ugicm_sent_bytes", "Bytes of responses, by method.", ["method"], registry=REGISTRY
)
REFUSALS = Counter(
    "ugicm_refusals",
    "Calls, and items of streams, that were refused: by method, status and kind of error.",
    ["method", "status", "reason"],
    registry=REGISTRY,
)
HANDSHAKES = Counter(
    "ugicm_tls_handshakes",
    "TLS handshakes that began: also those that fail, as by wrong certificates.",
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "ugicm_stage_seconds",
    "What the parts of the work for one frame took.",
    ["stage"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
QUEUED_WORK = Gauge(
    "ugicm_queued_work", "Calls that wait for a worker.", ["workers"], registry=REGISTRY
)
READY = Gauge("ugicm_ready", "1 while the service is ready, also degraded.", registry=REGISTRY)
MODEL_INFO = Gauge(
    "ugicm_model_info",
    "1 for each loaded model.",
    ["name", "backbone", "latents_id", "sha256"],
    registry=REGISTRY,
)
RELOADS = Counter(
    "ugicm_reloads",
    "Reloads of models, tokens and certificates, by outcome (loaded, failed).",
    ["outcome"],
    registry=REGISTRY,
)
