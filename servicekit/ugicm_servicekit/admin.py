"""Answer ``ugicm.v1.AdminService``, which every service has."""

from __future__ import annotations

import logging
from typing import Any

from ugicm.v1 import admin_pb2, admin_pb2_grpc
from ugicm_servicekit.audit import LOGGER
from ugicm_servicekit.calls import current_call
from ugicm_servicekit.reloading import Kind, Reloader

__all__ = ["SERVICE", "AdminServicer"]

_audit = logging.getLogger(LOGGER)

SERVICE = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name

_KIND_TO_WIRE = {
    Kind.MODEL: admin_pb2.RELOAD_KIND_MODEL,
    Kind.TOKEN: admin_pb2.RELOAD_KIND_TOKEN,
    Kind.CERTIFICATE: admin_pb2.RELOAD_KIND_CERTIFICATE,
}


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """``ugicm.v1.AdminService`` over what a server can reload."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def Reload(
        self, request: admin_pb2.ReloadRequest, context: Any
    ) -> admin_pb2.ReloadResponse:
        call = current_call()
        _audit.info("reload: caller=%s peer=%s", call.caller or "unknown", call.peer)
        return admin_pb2.ReloadResponse(
            changes=[
                admin_pb2.ReloadChange(
                    kind=_KIND_TO_WIRE[change.kind],
                    name=change.name,
                    before=change.before,
                    after=change.after,
                )
                for change in await self._reloader.reload()
            ]
        )
