"""What these tests have in common with the decoder's: a server, and streams of their own."""

from tests.decoder.conftest import jetstream_store, nats, nats_settings

__all__ = ["jetstream_store", "nats", "nats_settings"]
