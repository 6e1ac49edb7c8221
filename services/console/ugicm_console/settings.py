"""What the console needs to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ugicm_codec.limits import Limits
from ugicm_servicekit.settings import (
    DEFAULT_MAX_MESSAGE_BYTES,
    ListenerSettings,
    Setting,
    UpstreamTransportSettings,
)

__all__ = ["ConsoleSettings"]

# What libjpeg writes at most.
_MAX_JPEG_SIDE = 65_500


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings(ListenerSettings, UpstreamTransportSettings):
    """Its settings: flags, ``UGICM_CONSOLE_*``, a TOML file, or these defaults.

    With ``tokens``, the file that the services have, browsers sign in with a token, and every call
    to a service carries the token of the user it is made for: the console has none of its own.
    """

    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 50_080
    decoder: Annotated[str, Setting("address of the decoder, host:port")] = "127.0.0.1:50052"
    encoder: Annotated[
        str, Setting("address of the encoder, for uploads; an empty text: there is none")
    ] = "127.0.0.1:50051"
    analytics: Annotated[str, Setting("address of analytics; an empty text: there is none")] = (
        "127.0.0.1:50053"
    )
    decoder_metrics: Annotated[
        str | None, Setting("where the decoder's metrics are; unset: at its port plus 10")
    ] = None
    encoder_metrics: Annotated[
        str | None, Setting("where the encoder's metrics are; unset: at its port plus 10")
    ] = None
    analytics_metrics: Annotated[
        str | None, Setting("where analytics' metrics are; unset: at its port plus 10")
    ] = None
    hosts: Annotated[
        tuple[str, ...],
        Setting(
            "names that browsers may know the console by, separated by commas; unset: this "
            "machine's where it listens to this machine only, else any"
        ),
    ] = ()
    call_seconds: Annotated[
        float, Setting("how long a service may take to answer one call", 0.001)
    ] = 60.0
    request_seconds: Annotated[
        float, Setting("how long a browser may take to send a request", 0.001)
    ] = 60.0
    session_seconds: Annotated[float, Setting("how long a session lasts at most", 1)] = 43_200.0
    session_idle_seconds: Annotated[
        float, Setting("how long a session lasts without a request and without an open page", 1)
    ] = 3600.0
    max_sessions: Annotated[
        int, Setting("most sessions; one more ends the one that was idle longest", 1)
    ] = 1000
    max_streams_per_session: Annotated[
        int, Setting("how many pages of one session may follow events at once", 1)
    ] = 8
    max_upload_bytes: Annotated[int, Setting("largest picture to upload, in bytes", 1)] = 32 * 2**20
    max_uploads_per_session: Annotated[
        int, Setting("how many uploads a session keeps; the oldest goes", 1)
    ] = 8
    max_uploads_bytes: Annotated[
        int, Setting("most bytes of memory for all sessions' uploads; the oldest go", 2**20)
    ] = 2**29
    threads: Annotated[int, Setting("how many uploads to read and compare at once", 1, 1024)] = 1
    max_queued: Annotated[int, Setting("how many uploads may wait for that", 0)] = 16
    max_pixels: Annotated[int, Setting("largest picture, in pixels", 1)] = Limits.max_pixels
    max_message_bytes: Annotated[
        int, Setting("largest message from and to a service, in bytes", 2**16, 2**31 - 1)
    ] = DEFAULT_MAX_MESSAGE_BYTES

    @property
    def limits(self) -> Limits:
        """Limits on decoded pictures."""
        return Limits(max_pixels=self.max_pixels)

    @property
    def upload_limits(self) -> Limits:
        """Limits on uploaded pictures, which are written as JPEG too."""
        return Limits(max_side=_MAX_JPEG_SIDE, max_pixels=self.max_pixels)
