"""What each role may do: one table, of every method that the services have."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from grpc_reflection.v1alpha import reflection_pb2

from ugicm.v1 import admin_pb2, analytics_pb2, decoder_pb2, encoder_pb2, types_pb2
from ugicm_codec.views import MACHINE
from ugicm_servicekit.errors import NotPermitted

__all__ = ["GRANTS", "OPEN", "STREAMED", "Caller", "Role", "Rule", "rule_for"]


class Role(enum.Enum):
    """What a token is for."""

    CAMERA = "camera"
    ENCODER = "encoder"
    OPERATOR = "operator"
    PIPELINE = "pipeline"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Whom a token names: a role, and the cameras for which cameras and encoders speak."""

    name: str
    role: Role
    cameras: frozenset[str] = frozenset()


# Raises NotPermitted where the caller may not ask for what the request, or one item of a stream of
# requests, asks for.
Rule: TypeAlias = Callable[[Caller, Any], None]


def _anything(caller: Caller, request: Any) -> None:
    pass


def _own_camera(caller: Caller, request: encoder_pb2.EncodeRequest) -> None:
    if request.HasField("key"):  # without a key the stream is only returned
        _check_camera(caller, request.key.camera)


def _listed_cameras(caller: Caller, request: decoder_pb2.IngestRequest) -> None:
    is_gap = request.WhichOneof("item") == "gap"
    _check_camera(caller, request.gap.camera if is_gap else request.frame.key.camera)


def _machine_views(caller: Caller, request: decoder_pb2.DecodeRequest) -> None:
    for view in request.views:
        _check_view(caller, view)


def _machine_view(caller: Caller, request: analytics_pb2.AnalyzeRequest) -> None:
    if request.WhichOneof("source") != "picture":  # a picture has no view
        _check_view(caller, request.options.view)


def _machine_view_of_frames(caller: Caller, request: analytics_pb2.WatchResultsRequest) -> None:
    _check_view(caller, request.options.view)


def _machine_results(caller: Caller, request: analytics_pb2.ListResultsRequest) -> None:
    _check_view(caller, request.view)
    if not request.HasField("view"):
        raise NotPermitted(f"{_who(caller)} gets results of machine views only, asked for any")


def _no_streams(caller: Caller, request: decoder_pb2.WatchFramesRequest) -> None:
    if request.include_stream:
        raise NotPermitted(f"{_who(caller)} never gets streams, asked to include them")


def _check_camera(caller: Caller, camera: str) -> None:
    if camera not in caller.cameras:
        raise NotPermitted(f"{_who(caller)} does not speak for camera {camera[:140]!r}")


def _check_view(caller: Caller, view: types_pb2.View) -> None:
    if view.WhichOneof("view") == "number":
        is_machine = view.number == MACHINE
    else:  # an absent view is not this table's business
        is_machine = view.preset != types_pb2.VIEW_PRESET_HUMAN
    if not is_machine:
        raise NotPermitted(f"{_who(caller)} gets machine views only")


def _who(caller: Caller) -> str:
    return f"{caller.role.value} {caller.name}"


_ANYBODY = dict.fromkeys(Role, _anything)
_READERS = dict.fromkeys((Role.OPERATOR, Role.PIPELINE, Role.ADMIN), _anything)
_OPERATORS = dict.fromkeys((Role.OPERATOR, Role.ADMIN), _anything)
_ADMINS = {Role.ADMIN: _anything}

_ENCODER, _DECODER, _ANALYTICS, _ADMIN = (
    f"/{module.DESCRIPTOR.services_by_name[name].full_name}"
    for module, name in (
        (encoder_pb2, "EncoderService"),
        (decoder_pb2, "DecoderService"),
        (analytics_pb2, "AnalyticsService"),
        (admin_pb2, "AdminService"),
    )
)

# A method that is not here is nobody's; a role that a method does not name may not call it.
GRANTS: Mapping[str, Mapping[Role, Rule]] = MappingProxyType(
    {
        f"{_ENCODER}/Encode": {**_ADMINS, Role.CAMERA: _own_camera},
        f"{_ENCODER}/EncodeStream": {**_ADMINS, Role.CAMERA: _own_camera},
        f"{_ENCODER}/ListModels": _ANYBODY,
        f"{_DECODER}/Ingest": {**_ADMINS, Role.ENCODER: _listed_cameras},
        f"{_DECODER}/Decode": {**_OPERATORS, Role.PIPELINE: _machine_views},
        f"{_DECODER}/DecodeStream": {**_OPERATORS, Role.PIPELINE: _machine_views},
        f"{_DECODER}/GetFrame": _OPERATORS,
        f"{_DECODER}/ListCameras": _OPERATORS,
        f"{_DECODER}/ListFrames": _OPERATORS,
        f"{_DECODER}/Watch": {**_OPERATORS, Role.PIPELINE: _no_streams},
        f"{_DECODER}/ListModels": _ANYBODY,
        f"{_ANALYTICS}/Analyze": {**_OPERATORS, Role.PIPELINE: _machine_view},
        f"{_ANALYTICS}/AnalyzeStream": {**_OPERATORS, Role.PIPELINE: _machine_view},
        f"{_ANALYTICS}/Watch": {**_OPERATORS, Role.PIPELINE: _machine_view_of_frames},
        f"{_ANALYTICS}/ListAnalyzers": _READERS,
        f"{_ANALYTICS}/ListResults": {**_OPERATORS, Role.PIPELINE: _machine_results},
        f"{_ANALYTICS}/ListMissed": _READERS,
        f"{_ADMIN}/Reload": _ADMINS,
        # Off unless it is asked for where tokens are required.
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANYBODY,
    }
)

# Methods whose client streams requests: their servicers check each item.
STREAMED = frozenset(
    f"/{service.full_name}/{method.name}"
    for module in (encoder_pb2, decoder_pb2, analytics_pb2, admin_pb2, reflection_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if method.client_streaming
)

# What needs no token: probes and load balancers have none.
OPEN = frozenset(f"/grpc.health.v1.Health/{method}" for method in ("Check", "List", "Watch"))


def rule_for(caller: Caller, method: str) -> Rule:
    """Return what holds for each request of the caller to a method.

    Raises:
        NotPermitted: the caller's role may not call it at all.
    """
    rules = GRANTS.get(method, {})
    if caller.role not in rules:
        raise NotPermitted(f"{_who(caller)} may not call {method.rpartition('/')[2][:64]}")
    return rules[caller.role]
