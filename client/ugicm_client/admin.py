"""An administrator's side of any of the services."""

from __future__ import annotations

from ugicm.v1 import admin_pb2, admin_pb2_grpc
from ugicm_client.channel import ServiceClient
from ugicm_servicekit.access import Access

__all__ = ["AdminClient"]


class AdminClient(ServiceClient):
    """Looks after a running service.

    Args:
        address: ``host:port``.
        timeout_seconds: for one answer; loading models takes seconds.
        access: what to show to be let in; plaintext without a token if not given.
    """

    service = "service"

    def __init__(
        self, address: str, *, timeout_seconds: float = 300.0, access: Access | None = None
    ) -> None:
        super().__init__(address, timeout_seconds=timeout_seconds, access=access)
        self._stub = admin_pb2_grpc.AdminServiceStub(self._channel)

    async def reload(self) -> list[dict[str, str]]:
        """Return what changed: each its kind, its name, and what it was before and is after.

        Raises:
            ServiceError: the service does not answer, or refuses: then all stays as it was.
        """
        with self._errors_explained():
            answer = await self._stub.Reload(
                admin_pb2.ReloadRequest(), timeout=self._timeout_seconds
            )
        return [
            {
                "kind": _word(change.kind),
                "name": change.name,
                "before": change.before,
                "after": change.after,
            }
            for change in answer.changes
        ]


def _word(kind: admin_pb2.ReloadKind.ValueType) -> str:
    """Return a kind as people write it; one of a newer service by its number."""
    if kind not in admin_pb2.ReloadKind.values():
        return str(kind)
    return admin_pb2.ReloadKind.Name(kind).removeprefix("RELOAD_KIND_").lower()
