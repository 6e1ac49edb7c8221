"""Frames in a stream of NATS JetStream, which any number of decoders share."""

from ugicm_decoder.store.jetstream.store import JetStreamFrameStore

__all__ = ["JetStreamFrameStore"]
