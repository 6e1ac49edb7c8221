"""Who is let in, seen from a client of a real server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.security.credentials import Tokens, tokens_of_every_role
from tests.servicekit.harness import NO_ACCESS, SERVICE, encoding, request
from ugicm.v1 import encoder_pb2, types_pb2
from ugicm_servicekit.access import Access
from ugicm_servicekit.audit import AuditLog
from ugicm_servicekit.authorisation import check_item
from ugicm_servicekit.calls import Call
from ugicm_servicekit.roles import Role
from ugicm_servicekit.settings import Reflection, ServerSettings

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
ENCODE = f"/{SERVICE}/Encode"


@pytest.fixture
def tokens(tmp_path):
    return tokens_of_every_role(tmp_path)


@asynccontextmanager
async def served(tokens, access=NO_ACCESS, **settings):
    chosen = ServerSettings(tokens=tokens.path, **settings)
    async with encoding(settings=chosen, access=access) as running:
        yield running


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


def item(camera):
    key = types_pb2.FrameKey(camera=camera)
    return encoder_pb2.EncodeStreamRequest(request=encoder_pb2.EncodeRequest(key=key))


async def test_a_token_of_the_right_role_is_let_in(tokens):
    async with served(tokens, tokens.access("camera")) as running:
        assert (await running.stub.Encode(request(b"picture"))).stream == b"picture"
        assert running.server.refusals.counts == {}


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer ugicm_" + "A" * 43),),
        (("authorization", "Basic dXNlcjpwYXNz"),),
        (("authorization", "{token}"),),
        (("authorization", "bearer {token}"),),
        (("authorization", "Bearer {token}"), ("authorization", "Bearer {token}")),
        (("token", "{token}"),),
    ],
)
async def test_without_a_known_token_nobody_is_let_in(tokens, metadata):
    secret = tokens.secrets["camera"]
    carried = [(key, value.replace("{token}", secret)) for key, value in metadata]
    async with served(tokens) as running:
        assert await refusal(running.stub.Encode(request(), metadata=carried)) is UNAUTHENTICATED
        assert running.server.refusals.counts == {(ENCODE, UNAUTHENTICATED): 1}


@pytest.mark.parametrize("role", ["encoder", "operator", "pipeline"])
async def test_another_role_is_refused(tokens, role):
    async with served(tokens, tokens.access(role)) as running:
        assert await refusal(running.stub.Encode(request())) is PERMISSION_DENIED
        assert running.server.refusals.counts == {(ENCODE, PERMISSION_DENIED): 1}


async def test_another_cameras_id_is_refused(tokens):
    async with served(tokens, tokens.access("camera")) as running:
        own, other = item("gate").request, item("yard").request
        await running.stub.Encode(own)
        assert await refusal(running.stub.Encode(other)) is PERMISSION_DENIED


async def test_who_is_refused_need_not_be_read_first(tokens):
    async with served(tokens) as running:
        # A request that never comes: only a refusal in advance can end this call.
        write = running.channel.stream_unary(ENCODE)

        async def nothing():
            await asyncio.Event().wait()
            yield b""

        assert await refusal(write(nothing())) is UNAUTHENTICATED


async def test_a_method_that_does_not_exist_is_told_to_known_callers_only(tokens):
    async with served(tokens) as running:
        forget = running.channel.unary_unary(f"/{SERVICE}/Forget")
        assert await refusal(forget(b"")) is UNAUTHENTICATED
        carried = [("authorization", "Bearer " + tokens.secrets["admin"])]
        assert await refusal(forget(b"", metadata=carried)) is grpc.StatusCode.UNIMPLEMENTED
        assert running.server.refusals.counts == {("unknown", UNAUTHENTICATED): 1}


async def test_health_needs_no_token(tokens):
    async with served(tokens) as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status


@pytest.mark.parametrize(
    ("reflection", "expected"),
    [(Reflection.AUTO, grpc.StatusCode.UNIMPLEMENTED), (Reflection.ON, None)],
)
async def test_reflection_is_off_where_tokens_are_required(tokens, reflection, expected):
    async with served(tokens, tokens.access("admin"), reflection=reflection) as running:
        ask = reflection_pb2_grpc.ServerReflectionStub(running.channel).ServerReflectionInfo
        call = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        if expected is None:
            assert (await call.read()).list_services_response.service
            call.cancel()
        else:
            assert await refusal(call.read()) is expected


async def test_reflection_wants_a_token_too(tokens):
    async with served(tokens, reflection=Reflection.ON) as running:
        call = reflection_pb2_grpc.ServerReflectionStub(running.channel).ServerReflectionInfo()
        assert await refusal(call.read()) is UNAUTHENTICATED


async def test_a_token_withdrawn_ends_its_stream_at_the_next_request(tokens):
    async with served(tokens, tokens.access("camera")) as running:
        call = running.stub.EncodeStream()
        await call.write(item("gate"))
        assert isinstance(await call.read(), encoder_pb2.EncodeStreamResponse)
        tokens.path.write_text("")
        await call.write(item("gate"))
        assert await refusal(call.read()) is UNAUTHENTICATED


async def test_a_token_that_has_expired_is_refused(tmp_path):
    tokens = Tokens(tmp_path / "tokens.toml")
    tokens.add(Role.CAMERA, "old", expires=datetime(2020, 1, 1, tzinfo=UTC))
    async with served(tokens, tokens.access("old")) as running:
        assert await refusal(running.stub.Encode(request())) is UNAUTHENTICATED


async def test_a_token_is_read_anew_from_its_file(tokens, tmp_path):
    file = tmp_path / "camera.token"
    file.write_text(tokens.secrets["camera"] + "\n")
    async with served(tokens, Access(token_file=file)) as running:
        await running.stub.Encode(request())
        fresh = tokens.add(Role.CAMERA, "second")
        tokens.path.write_text(tokens.path.read_text().replace('name = "camera"', 'name = "x"'))
        file.write_text(fresh)
        await running.stub.Encode(item("gate").request)


async def test_an_audit_line_says_who_what_and_why_but_no_token(tokens, caplog):
    async with served(tokens) as running:
        carried = [("authorization", "Bearer " + tokens.secrets["operator"])]
        await refusal(running.stub.Encode(request(), metadata=carried))
    (line,) = [record for record in caplog.records if record.name == "ugicm.audit"]
    text = line.getMessage()
    assert f"method={ENCODE} caller=operator peer=ipv4:127.0.0.1:" in text
    assert "status=PERMISSION_DENIED why='operator operator may not call Encode'" in text
    assert tokens.secrets["operator"] not in caplog.text


def test_a_flood_of_refusals_writes_a_line_a_second_that_counts(caplog):
    now = [0.0]
    audit = AuditLog(lambda: now[0])
    for port in range(1000):  # each from another connection of one host
        call = Call(ENCODE, f"ipv4:192.0.2.1:{port}")
        audit.refused(call, UNAUTHENTICATED, "no token")
        now[0] += 0.0015
    first, second = (record.getMessage() for record in caplog.records)
    assert "before" not in first
    assert second.endswith(", and 666 times before")


async def test_an_item_outside_of_calls_that_need_tokens_passes():
    check_item(item("yard").request)
