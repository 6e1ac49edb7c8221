from __future__ import annotations

import asyncio
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.servicekit.harness import SERVICE, Encoder, encoding, listening, request
from ugicm.v1.encoder_pb2_grpc import add_EncoderServiceServicer_to_server
from ugicm_servicekit.channel import connect
from ugicm_servicekit.errors import CannotListen, Overloaded, Unreachable
from ugicm_servicekit.server import Server
from ugicm_servicekit.settings import Exposure, ServerSettings
from ugicm_servicekit.status import STATUS

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_health_turns_to_serving_when_the_service_is_ready():
    async with listening() as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == NOT_SERVING
        serving = asyncio.create_task(running.server.serve())
        assert (await watch.read()).status == SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
        running.server.stop()
        assert (await watch.read()).status == NOT_SERVING
        await serving


async def test_health_of_a_service_that_the_server_lacks_is_unknown():
    async with listening() as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        foreign = health_pb2.HealthCheckRequest(service="foreign")
        watch = health.Watch(foreign)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(foreign)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_calls_before_the_service_is_loaded_are_unavailable():
    async with listening() as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "starting" in caught.value.details()
        running.server.add(add_EncoderServiceServicer_to_server, Encoder())
        assert (await running.stub.Encode(request(b"now"))).stream == b"now"


async def test_an_unknown_method_is_unimplemented():
    async with encoding() as running:
        unknown = running.channel.unary_unary(f"/{SERVICE}/Forget")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unknown(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_names_the_service():
    async with listening() as running:
        stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await call.read()).list_services_response.service
        assert SERVICE in {service.name for service in listed}
        call.cancel()


async def _connect_until_refused(port: int) -> None:
    while True:
        async with connect(f"127.0.0.1:{port}"):
            pass


async def test_draining_lets_running_calls_finish_and_refuses_new_ones():
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow(message):
        started.set()
        await finish.wait()
        return await Encoder().handle(message)

    async with encoding(slow) as running:
        serving = asyncio.create_task(running.server.serve())
        call = running.stub.Encode(request(b"in flight"))
        await started.wait()
        running.server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the service is stopping and takes no more calls"
        finish.set()
        assert (await call).stream == b"in flight"
        await serving
        with pytest.raises(Unreachable):
            await _connect_until_refused(running.port)


async def test_a_health_watch_does_not_hold_up_draining():
    async with encoding(settings=ServerSettings(drain_seconds=600)) as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        statuses = [(await watch.read()).status]
        serving = asyncio.create_task(running.server.serve())
        statuses.append((await watch.read()).status)
        running.server.stop()
        await serving
        while (response := await watch.read()) is not grpc.aio.EOF:
            statuses.append(response.status)
        assert statuses == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_a_server_told_to_stop_while_it_loads_never_reports_serving():
    async with encoding() as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        statuses = {(await watch.read()).status}
        running.server.stop()
        await running.server.serve()
        while (response := await watch.read()) is not grpc.aio.EOF:
            statuses.add(response.status)
    assert statuses == {NOT_SERVING}


async def test_draining_ends_after_its_time():
    started = asyncio.Event()

    async def endless(message):
        started.set()
        await asyncio.Event().wait()

    async with encoding(endless, ServerSettings(drain_seconds=0.05)) as running:
        serving = asyncio.create_task(running.server.serve())
        call = running.stub.Encode(request())
        await started.wait()
        running.server.stop()
        await serving
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def test_a_taken_port_is_one_clear_line():
    async with listening() as running:
        second = Server(ServerSettings(port=running.port), STATUS, services=[SERVICE])
        with pytest.raises(
            CannotListen, match=r"127\.0\.0\.1:\d+: Address already in use"
        ) as caught:
            await second.listen()
        assert "\n" not in str(caught.value)
        await second.close()


async def test_a_port_taken_by_another_program_is_refused_too():
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = Server(ServerSettings(port=other.getsockname()[1]), STATUS, services=[SERVICE])
        with pytest.raises(CannotListen, match="Address already in use"):
            await server.listen()
        await server.close()


async def test_a_foreign_address_is_refused():
    settings = ServerSettings(host="192.0.2.1", insecure=Exposure.ANYONE)
    server = Server(settings, STATUS, services=[SERVICE])
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:0: Cannot assign"):
        await server.listen()
    await server.close()


async def test_the_chosen_port_is_written_and_removed(tmp_path):
    path = tmp_path / "port"
    async with listening(ServerSettings(port_file=path)) as running:
        assert path.read_text() == f"{running.port}\n"
        assert [child.name for child in tmp_path.iterdir()] == ["port"]
    assert not path.exists()


async def test_a_server_that_cannot_listen_leaves_another_ones_port_file(tmp_path):
    path = tmp_path / "port"
    async with listening(ServerSettings(port_file=path)) as running:
        settings = ServerSettings(port=running.port, port_file=path)
        second = Server(settings, STATUS, services=[SERVICE])
        with pytest.raises(CannotListen):
            await second.listen()
        await second.close()
        assert path.read_text() == f"{running.port}\n"


async def test_a_port_that_cannot_be_written_is_one_clear_line(tmp_path):
    path = tmp_path / "absent" / "port"
    server = Server(ServerSettings(port_file=path), STATUS, services=[SERVICE])
    with pytest.raises(CannotListen, match=f"the port to {path}: No such file or directory"):
        await server.listen()
    await server.close()


async def test_an_oversized_request_is_refused_with_both_sizes():
    async with encoding(settings=ServerSettings(max_message_bytes=2**16)) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request(bytes(2**17)))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in caught.value.details()
        assert str(2**16) in caught.value.details()
        assert (await running.stub.Encode(request(b"next"))).stream == b"next"


async def test_where_many_calls_are_refused_each_is_told_so_by_us():
    async def full(message):
        raise Overloaded("full", retry_after_seconds=9.0)

    async with encoding(full, ServerSettings(max_calls_per_connection=16)) as running:
        calls = (running.stub.Encode(request(bytes(50_000))) for _ in range(3000))
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {answer.code() for answer in answers} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
