"""The gRPC status of every error that a call to analytics can end with."""

from __future__ import annotations

import grpc

from ugicm_analytics import errors
from ugicm_analyzers.errors import BadLabels, UnknownAnalyzer
from ugicm_servicekit.status import STATUS, StatusTable

__all__ = ["ANALYTICS_STATUS"]

ANALYTICS_STATUS: StatusTable = {
    **STATUS,
    BadLabels: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownAnalyzer: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ResultsNotKept: grpc.StatusCode.UNIMPLEMENTED,
    errors.BadPageToken: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ResultsFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ResultsFailed: grpc.StatusCode.UNAVAILABLE,
    errors.ResultsDamaged: grpc.StatusCode.DATA_LOSS,
    errors.AnalyzerTooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.AnalyzerStuck: grpc.StatusCode.UNAVAILABLE,
    errors.FrameNotFound: grpc.StatusCode.NOT_FOUND,
    errors.RequestRefused: grpc.StatusCode.INVALID_ARGUMENT,
    errors.StreamDamaged: grpc.StatusCode.DATA_LOSS,
    errors.NotDecodable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DecoderExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DecoderTooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.DecoderDenied: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DecoderFailed: grpc.StatusCode.INTERNAL,
}
