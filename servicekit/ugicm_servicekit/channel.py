"""Open channels to the services, as every client of them needs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from ugicm.v1 import admin_pb2, analytics_pb2, decoder_pb2, encoder_pb2
from ugicm_servicekit.access import Access
from ugicm_servicekit.authorisation import METADATA_KEY, SCHEME
from ugicm_servicekit.errors import BadSettings, Unreachable
from ugicm_servicekit.files import Watched
from ugicm_servicekit.settings import DEFAULT_MAX_MESSAGE_BYTES
from ugicm_servicekit.tracing import carried

__all__ = ["RETRIED", "connect", "open_channel"]

_log = logging.getLogger(__name__)

_PLAIN = Access()
# How long calls may go on that began with certificates which were replaced meanwhile.
_RETIRED_SECONDS = 86_400.0

# Methods of one request change nothing when they are asked twice: a frame's key recognises it, and
# what was reloaded is as it was.
RETRIED = tuple(
    (service.full_name, method.name)
    for module in (encoder_pb2, decoder_pb2, analytics_pb2, admin_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if not method.client_streaming
)
_ONE_SERVER: dict[str, Any] = {
    "methodConfig": [
        {
            "name": [{"service": service, "method": method} for service, method in RETRIED],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # No storm of retries where most calls fail.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}
# Calls go round all that say they are ready: one that drains or still loads gets none.
_REPLICAS: dict[str, Any] = {
    **_ONE_SERVER,
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
}
_SCHEME_OF_REPLICAS = "dns://"


def open_channel(
    address: str, *, access: Access = _PLAIN, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
) -> grpc.aio.Channel:
    """Return a channel to ``host:port`` that connects when first used, and again when lost.

    ``dns:///host:port`` stands for every address that the name has: calls go round the replicas
    there that are ready, and the name is looked up again whenever a connection ends.

    Calls of one request are repeated by gRPC itself where the server is not available.

    Raises:
        BadSettings: what ``access`` says cannot be used, or would show a token to others.
    """
    access.check(address)
    service_config = _REPLICAS if address.startswith(_SCHEME_OF_REPLICAS) else _ONE_SERVER
    options = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Finds out within 50 s that the other side is gone, also while a watch is quiet.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # It waits so long for the answer to any ping, whatever the timeout above: else 60 s.
        ("grpc.http2.ping_timeout_ms", 20_000),
        # Else it asks twice, and never again until it has data to send.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        # Shared, a channel would wait out the pause after another one's failed attempt.
        ("grpc.use_local_subchannel_pool", 1),
        # A camera's link may come back any moment: try at least every 10 s.
        ("grpc.max_reconnect_backoff_ms", 10_000),
        # Finds a new replica soon, and asks no server of names more often than this: else 30 s.
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
        ("grpc.service_config", json.dumps(service_config)),
        # A request must be kept to be repeated.
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes),
    ]
    return _AccessChannel(address, access, options)


@asynccontextmanager
async def connect(
    address: str,
    *,
    access: Access = _PLAIN,
    timeout_seconds: float = 5.0,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to ``host:port`` and see that a server is there; closes it at the end.

    Raises:
        BadSettings: what ``access`` says cannot be used, or would show a token to others.
        Unreachable: nobody listens there, or nobody answers in time.
    """
    async with open_channel(address, access=access, max_message_bytes=max_message_bytes) as channel:
        try:
            async with asyncio.timeout(timeout_seconds):
                await _until_ready(channel, address)
        except TimeoutError:
            message = f"no server answered at {address} within {timeout_seconds:g} s"
            raise Unreachable(message) from None
        yield channel


async def _until_ready(channel: grpc.aio.Channel, address: str) -> None:
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise Unreachable(f"no server at {address}")
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)


class _AccessChannel(grpc.aio.Channel):
    """A channel whose calls carry the token, and the trace of the task that makes them.

    It begins anew when its certificates change. gRPC's own call credentials would do for the token,
    but not in plaintext on one machine; and its channels keep the certificates they began with.
    """

    def __init__(self, address: str, access: Access, options: list[tuple[str, Any]]) -> None:
        self._address = address
        self._access = access
        self._options = options
        self._tls_files = Watched(access.tls_files())
        self._token_files = Watched(filter(None, [access.token_file]))
        self._token = access.read_token()
        self._retired: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self._channel = self._open()

    def current(self) -> grpc.aio.Channel:
        """Return the channel to make a call on."""
        if self._tls_files.changed():
            try:
                renewed = self._open()
            except BadSettings as error:
                _log.error("the certificates read before stay: %s", error)
            else:
                old, self._channel = self._channel, renewed
                task = asyncio.ensure_future(old.close(_RETIRED_SECONDS))
                self._retired[task] = old
                task.add_done_callback(self._retired.pop)
        return self._channel

    def metadata(self) -> list[tuple[str, str]]:
        """Return what every call carries."""
        if self._token_files.changed():
            try:
                self._token = self._access.read_token()
            except BadSettings as error:
                _log.error("the token read before stays: %s", error)
        return [] if self._token is None else [(METADATA_KEY, SCHEME + self._token)]

    def _open(self) -> grpc.aio.Channel:
        if not self._access.uses_tls:
            return grpc.aio.insecure_channel(self._address, options=self._options)
        credentials = self._access.credentials()
        return grpc.aio.secure_channel(self._address, credentials, options=self._options)

    async def __aenter__(self) -> _AccessChannel:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close the channel, and those that it replaced."""
        retired = dict(self._retired)
        for task in retired:
            task.cancel()
        await asyncio.gather(*retired, return_exceptions=True)
        for channel in (*retired.values(), self._channel):
            await channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the newest connection."""
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return once the state is another."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return once there is a connection."""
        await self.current().channel_ready()

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        """Return what makes calls of a method."""
        return _Method(self, "unary_unary", method, options)

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        """Return what makes calls of a method."""
        return _Method(self, "unary_stream", method, options)

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        """Return what makes calls of a method."""
        return _Method(self, "stream_unary", method, options)

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        """Return what makes calls of a method."""
        return _Method(self, "stream_stream", method, options)


class _Method:
    """Makes calls of one method, each on the channel and with the token of that moment."""

    def __init__(
        self, channel: _AccessChannel, kind: str, method: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._options = options

    def __call__(self, *request: Any, metadata: Any = None, **options: Any) -> Any:
        make = getattr(self._channel.current(), self._kind)(*self._method, **self._options)
        # A stream of requests is of many frames, and goes on in the trace of none.
        trace = carried() if self._kind.startswith("unary") else []
        every = (*(metadata or ()), *self._channel.metadata(), *trace)
        return make(*request, metadata=every, **options)
