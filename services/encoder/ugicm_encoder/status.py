"""The status of every error that an encoder's call can end with."""

from __future__ import annotations

import grpc

from ugicm_encoder import errors
from ugicm_servicekit.status import STATUS, StatusTable

__all__ = ["ENCODER_STATUS"]

ENCODER_STATUS: StatusTable = {
    **STATUS,
    errors.SpoolFailed: grpc.StatusCode.UNAVAILABLE,
    errors.FrameLate: grpc.StatusCode.INVALID_ARGUMENT,
    errors.FrameTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UpstreamUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.UpstreamFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UpstreamFailed: grpc.StatusCode.INTERNAL,
    errors.FrameTaken: grpc.StatusCode.ALREADY_EXISTS,
    errors.FrameRefused: grpc.StatusCode.INVALID_ARGUMENT,
    errors.FrameDamaged: grpc.StatusCode.DATA_LOSS,
}
