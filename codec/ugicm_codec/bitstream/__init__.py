"""The container around the coded sections; docs/bitstream.md is its specification."""

from ugicm_codec.bitstream.container import (
    HEADER_BYTES,
    MAGIC,
    VERSION,
    Header,
    Stream,
    StreamInfo,
    inspect,
    latents_checksum,
    read_stream,
    write_stream,
)

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "VERSION",
    "Header",
    "Stream",
    "StreamInfo",
    "inspect",
    "latents_checksum",
    "read_stream",
    "write_stream",
]
