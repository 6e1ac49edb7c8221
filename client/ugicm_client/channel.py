"""Connect to a service, and turn what gRPC reports into errors that one line explains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import ClassVar, Self

import grpc

from ugicm_client.errors import ServiceError, ServiceRefused, ServiceUnavailable
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.errors import BadAnswer

__all__ = ["ServiceClient"]

# What gRPC says where there is no connection; else it was the service that said why.
_NOT_CONNECTED = "failed to connect to all addresses"
_NAME_OF_STATUS = {status.value[0]: status.name for status in grpc.StatusCode}


class ServiceClient:
    """A connection to one service; the base of its clients.

    Args:
        address: ``host:port``.
        timeout_seconds: for one answer; calls that stream have no limit.
    """

    service: ClassVar[str]

    def __init__(self, address: str, *, timeout_seconds: float = 120.0) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._channel = open_channel(address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close()

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise self._refusal(error.code().value[0], details) from error
            server = f"the {self.service} at {self.address}"
            if details.startswith(_NOT_CONNECTED):
                # gRPC's text ends with what the operating system said.
                reason = details.rpartition(": ")[2]
                raise ServiceUnavailable(f"cannot reach {server}: {reason}") from error
            raise ServiceUnavailable(f"{server} is not available: {details}") from error
        except BadAnswer as error:
            raise ServiceError(
                f"the {self.service} at {self.address} answered wrongly: {error}"
            ) from error

    def _refusal(self, code: int, message: str) -> ServiceRefused:
        status = _NAME_OF_STATUS.get(code, str(code))
        return ServiceRefused(
            f"the {self.service} at {self.address} answered {status}: {message}", status=status
        )
