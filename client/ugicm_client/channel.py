"""Connect to a service, and turn what gRPC reports into errors that one line explains."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import ClassVar, Self

import grpc
from grpc_health.v1 import health_pb2

from ugicm_client.errors import ServiceError, ServiceRefused, ServiceUnavailable
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.errors import BadAnswer, BadSettings

__all__ = ["ServiceClient", "until_serving"]

_ASK_AGAIN_SECONDS = 0.05
# What gRPC says where there is no connection; else it was the service that said why.
_NOT_CONNECTED = "failed to connect to all addresses"
# What it says where a call ended while a request was being written: why it ended stays unknown.
_CUT_OFF = "Internal error from Core"
_NAME_OF_STATUS = {status.value[0]: status.name for status in grpc.StatusCode}


async def until_serving(channel: grpc.aio.Channel) -> None:
    """Return once the server, which may still have to come, reports that it serves."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    while True:
        with suppress(grpc.aio.AioRpcError):  # not yet accepting connections
            answer = await check(health_pb2.HealthCheckRequest())
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


class ServiceClient:
    """A connection to one service; the base of its clients.

    Args:
        address: ``host:port``.
        timeout_seconds: for one answer; calls that stream have no limit.
        access: what to show to be let in; plaintext without a token if not given.

    Raises:
        BadSettings: what ``access`` says cannot be used, or would show a token to others.
    """

    service: ClassVar[str]

    def __init__(
        self, address: str, *, timeout_seconds: float = 120.0, access: Access | None = None
    ) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._access = access or Access()
        self._channel = open_channel(address, access=self._access)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def until_serving(self, seconds: float) -> None:
        """Wait for a service that is starting, or about to be started; 0 does not wait.

        Raises:
            ServiceUnavailable: it does not serve after so many seconds.
        """
        if not seconds:
            return
        try:
            async with asyncio.timeout(seconds):
                await until_serving(self._channel)
        except TimeoutError:
            raise ServiceUnavailable(
                f"the {self.service} at {self.address} does not serve after {seconds:g} s"
            ) from None

    def _token_now(self) -> str | None:
        """Return the token that the next call will show; None where there is none to be read."""
        try:
            return self._access.read_token()
        except BadSettings:
            return None

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
            server = f"the {self.service} at {self.address}"
            if details == _CUT_OFF:
                raise ServiceUnavailable(f"{server} ended the call") from error
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                hint = _pushback_seconds(error)
                raise self._refusal(error.code().value[0], details, hint) from error
            if details.startswith(_NOT_CONNECTED):
                # gRPC's text ends with what the operating system said.
                reason = details.rpartition(": ")[2]
                raise ServiceUnavailable(f"cannot reach {server}: {reason}") from error
            raise ServiceUnavailable(f"{server} is not available: {details}") from error
        except BadAnswer as error:
            raise ServiceError(
                f"the {self.service} at {self.address} answered wrongly: {error}"
            ) from error

    def _refusal(
        self, code: int, message: str, retry_after_seconds: float | None = None
    ) -> ServiceRefused:
        status = _NAME_OF_STATUS.get(code, str(code))
        return ServiceRefused(
            f"the {self.service} at {self.address} answered {status}: {message}",
            status=status,
            retry_after_seconds=retry_after_seconds,
        )


def _pushback_seconds(error: grpc.aio.AioRpcError) -> float | None:
    """Return when the service says to come back."""
    text = str(dict(error.trailing_metadata()).get("grpc-retry-pushback-ms", ""))
    return int(text) / 1000 if text.isdecimal() else None
