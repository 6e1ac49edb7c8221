"""The table of who may do what, read as the issue of it was written."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ugicm.v1 import admin_pb2, analytics_pb2, decoder_pb2, encoder_pb2
from ugicm.v1 import types_pb2 as types
from ugicm_servicekit.errors import NotPermitted
from ugicm_servicekit.roles import GRANTS, OPEN, Caller, Role, rule_for

ENCODER, DECODER, ANALYTICS = (
    f"/ugicm.v1.{name}Service/" for name in ("Encoder", "Decoder", "Analytics")
)
HUMAN = types.View(preset=types.VIEW_PRESET_HUMAN)
MACHINE = types.View(preset=types.VIEW_PRESET_MACHINE)

MAY_CALL = {
    Role.CAMERA: {ENCODER + "Encode", ENCODER + "EncodeStream"},
    Role.ENCODER: {DECODER + "Ingest"},
    Role.OPERATOR: {
        *(DECODER + name for name in ("Decode", "DecodeStream", "GetFrame", "Watch")),
        *(DECODER + name for name in ("ListCameras", "ListFrames")),
        *(ANALYTICS + name for name in ("Analyze", "AnalyzeStream", "Watch")),
        *(ANALYTICS + name for name in ("ListAnalyzers", "ListResults", "ListMissed")),
    },
    Role.PIPELINE: {
        *(DECODER + name for name in ("Decode", "DecodeStream", "Watch")),
        *(ANALYTICS + name for name in ("Analyze", "AnalyzeStream", "Watch")),
        *(ANALYTICS + name for name in ("ListAnalyzers", "ListResults", "ListMissed")),
    },
    Role.ADMIN: set(GRANTS),
}
EVERYBODY = {
    ENCODER + "ListModels",
    DECODER + "ListModels",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}


def methods(*modules):
    return {
        f"/{service.full_name}/{method.name}"
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def test_the_table_has_every_method_of_the_contract_and_no_other():
    contract = methods(encoder_pb2, decoder_pb2, analytics_pb2, admin_pb2, reflection_pb2)
    assert set(GRANTS) == contract


def test_only_health_checks_are_open():
    assert methods(health_pb2) == OPEN
    assert not OPEN & set(GRANTS)


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_a_role_may_call_what_it_is_for_and_nothing_else(role):
    assert {method for method, rules in GRANTS.items() if role in rules} == MAY_CALL[role] | (
        EVERYBODY
    )


def allows(role, method, request, cameras=frozenset({"gate"})):
    caller = Caller("somebody", role, cameras)
    try:
        rule_for(caller, method)(caller, request)
    except NotPermitted as error:
        assert "somebody" in str(error)
        return False
    return True


def key(camera):
    return types.FrameKey(camera=camera)


@pytest.mark.parametrize("method", ["Encode", "EncodeStream"])
def test_a_camera_encodes_with_its_own_id_only(method):
    for camera, expected in (("gate", True), ("yard", False), ("", False)):
        request = encoder_pb2.EncodeRequest(key=key(camera))
        assert allows(Role.CAMERA, ENCODER + method, request) is expected
    assert allows(Role.CAMERA, ENCODER + method, encoder_pb2.EncodeRequest())


def test_an_encoder_ingests_for_listed_cameras_only():
    for camera, expected in (("gate", True), ("yard", False)):
        frame = decoder_pb2.IngestRequest(frame=types.Frame(key=key(camera)))
        gap = decoder_pb2.IngestRequest(gap=types.Gap(camera=camera))
        assert allows(Role.ENCODER, DECODER + "Ingest", frame) is expected
        assert allows(Role.ENCODER, DECODER + "Ingest", gap) is expected
    assert not allows(Role.ENCODER, DECODER + "Ingest", decoder_pb2.IngestRequest())


VIEWS = [
    ([MACHINE], True),
    ([types.View(number=1.0)], True),
    ([HUMAN], False),
    ([types.View(number=0.0)], False),
    ([types.View(number=0.999)], False),
    ([types.View(number=float("nan"))], False),
    ([MACHINE, HUMAN], False),
]


@pytest.mark.parametrize(("views", "expected"), VIEWS)
@pytest.mark.parametrize("method", ["Decode", "DecodeStream"])
def test_a_pipeline_decodes_machine_views_only(method, views, expected):
    request = decoder_pb2.DecodeRequest(views=views)
    assert allows(Role.PIPELINE, DECODER + method, request) is expected
    assert allows(Role.OPERATOR, DECODER + method, request)


def test_a_pipeline_never_gets_streams():
    watch = DECODER + "Watch"
    assert allows(Role.PIPELINE, watch, decoder_pb2.WatchFramesRequest())
    with_streams = decoder_pb2.WatchFramesRequest(include_stream=True)
    assert not allows(Role.PIPELINE, watch, with_streams)
    assert allows(Role.OPERATOR, watch, with_streams)
    assert not allows(Role.PIPELINE, DECODER + "GetFrame", decoder_pb2.GetFrameRequest())


@pytest.mark.parametrize(("view", "expected"), [(MACHINE, True), (HUMAN, False)])
def test_a_pipeline_has_machine_views_analyzed_only(view, expected):
    options = analytics_pb2.AnalyzeOptions(view=view)
    requests = {
        "Analyze": analytics_pb2.AnalyzeRequest(key=key("gate"), options=options),
        "AnalyzeStream": analytics_pb2.AnalyzeRequest(stream=b"UG", options=options),
        "Watch": analytics_pb2.WatchResultsRequest(options=options),
    }
    for method, request in requests.items():
        assert allows(Role.PIPELINE, ANALYTICS + method, request) is expected
        assert allows(Role.OPERATOR, ANALYTICS + method, request)


def test_a_picture_that_was_never_coded_has_no_view_to_refuse():
    picture = analytics_pb2.AnalyzeRequest(picture=types.Picture())
    assert allows(Role.PIPELINE, ANALYTICS + "Analyze", picture)


def test_a_method_that_nobody_listed_is_nobodys():
    for role in Role:
        assert not allows(role, DECODER + "Forget", None)


@pytest.mark.parametrize(
    ("view", "is_allowed"),
    [(MACHINE, True), (types.View(number=1.0), True), (HUMAN, False), (None, False)],
)
def test_pipelines_list_results_of_the_machine_view_only(view, is_allowed):
    method, request = ANALYTICS + "ListResults", analytics_pb2.ListResultsRequest(view=view)
    assert allows(Role.PIPELINE, method, request) is is_allowed
    assert allows(Role.OPERATOR, method, request)
