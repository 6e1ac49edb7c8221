"""The status of every error that a decoder's call can end with."""

from __future__ import annotations

import grpc

from ugicm_decoder import errors
from ugicm_servicekit.status import STATUS, StatusTable

__all__ = ["DECODER_STATUS"]

DECODER_STATUS: StatusTable = {
    **STATUS,
    errors.StoreFailed: grpc.StatusCode.UNAVAILABLE,
    errors.StoreLost: grpc.StatusCode.UNAVAILABLE,
    errors.StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StoreDamaged: grpc.StatusCode.DATA_LOSS,
    errors.FrameDamaged: grpc.StatusCode.DATA_LOSS,
    errors.FrameNotFound: grpc.StatusCode.NOT_FOUND,
    errors.FrameConflict: grpc.StatusCode.ALREADY_EXISTS,
    # Final to an encoder: the same frame is never taken.
    errors.FrameTooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BadCursor: grpc.StatusCode.INVALID_ARGUMENT,
}
