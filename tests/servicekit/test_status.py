from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import grpc
import pytest

from tests.servicekit.harness import SERVICE, encoding, request
from ugicm.v1 import encoder_pb2, types_pb2
from ugicm_codec.errors import BitstreamError, CodecError, CorruptStream
from ugicm_servicekit.errors import BadRequest, CallError, Overloaded, ServicekitError
from ugicm_servicekit.status import CODEC_STATUS, STATUS, failure_of, leaves, or_failure


def test_every_error_of_the_codec_has_a_status():
    assert set(CODEC_STATUS) == leaves(CodecError)


def test_every_error_that_ends_a_call_has_a_status():
    assert set(STATUS) == leaves(CodecError) | leaves(CallError)


def test_bad_bytes_are_the_callers_argument_or_lost_data():
    codes = {STATUS[error] for error in leaves(BitstreamError)}
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DATA_LOSS}


def test_leaves_have_no_subclasses():
    assert leaves(CallError) < leaves(ServicekitError)
    assert all(not error.__subclasses__() for error in leaves(ServicekitError))


def raising(error: Exception):
    async def handle(message):
        raise error

    return handle


async def _refusal(error: Exception) -> grpc.aio.AioRpcError:
    async with encoding(raising(error)) as running:
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await running.stub.Encode(request())
        with pytest.raises(grpc.aio.AioRpcError) as streamed:
            async for _ in running.stub.EncodeStream(iter([encoder_pb2.EncodeStreamRequest()])):
                pass
        assert streamed.value.code() is unary.value.code()
        assert streamed.value.details() == unary.value.details()
        return unary.value


@pytest.mark.parametrize("kind", sorted(set(STATUS) - {Overloaded}, key=lambda kind: kind.__name__))
async def test_a_domain_error_becomes_its_status_with_its_text(kind):
    options = {"smallest": 9} if kind.__name__ == "BudgetTooSmall" else {}
    refusal = await _refusal(kind("limit and value", **options))
    assert refusal.code() is STATUS[kind]
    assert refusal.details() == "limit and value"


async def test_an_endless_text_of_several_lines_arrives_as_one_short_line():
    refusal = await _refusal(BadRequest("two\nlines " + "€" * 20_000))
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.details().startswith("two lines €€€")
    assert len(refusal.details().encode()) <= 1024


def test_a_mistake_that_the_table_knows_keeps_its_text_to_the_log(caplog):
    table = {LookupError: grpc.StatusCode.INTERNAL}
    with caplog.at_level(logging.ERROR):
        failure = failure_of(LookupError("secret"), table, method="Encode")
    assert failure == types_pb2.Failure(code=13, message="internal error")
    (record,) = caplog.records
    assert record.exc_info[1].args == ("secret",)


def test_a_subclass_has_the_status_of_its_parent():
    table = {LookupError: grpc.StatusCode.NOT_FOUND}
    assert failure_of(KeyError("key"), table, method="Encode").code == 5


async def test_a_full_queue_tells_grpc_when_to_try_again():
    refusal = await _refusal(Overloaded("full", retry_after_seconds=1.5))
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ("grpc-retry-pushback-ms", "1500") in tuple(refusal.trailing_metadata())


async def test_an_unknown_error_is_internal_without_its_text(caplog):
    with caplog.at_level(logging.ERROR):
        refusal = await _refusal(ZeroDivisionError("secret"))
    assert refusal.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in refusal.details()
    assert all(record.exc_info[0] is ZeroDivisionError for record in caplog.records)
    assert "/ugicm.v1.EncoderService/Encode failed" in caplog.messages


async def test_the_server_goes_on_after_an_unknown_error():
    answers = iter([ZeroDivisionError("once"), None])

    async def handle(message):
        error = next(answers)
        if error is not None:
            raise error
        return encoder_pb2.EncodeResponse(stream=b"fine")

    async with encoding(handle) as running:
        with pytest.raises(grpc.aio.AioRpcError):
            await running.stub.Encode(request())
        assert (await running.stub.Encode(request())).stream == b"fine"


@pytest.mark.parametrize("method", ["Encode", "EncodeStream"])
async def test_bytes_that_are_no_message_are_an_invalid_argument(method):
    async with encoding() as running:
        call = running.channel.unary_unary(f"/{SERVICE}/{method}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await running.stub.Encode(request(b"next"))).stream == b"next"


async def test_a_handlers_own_abort_passes():
    async with encoding() as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.ListModels(types_pb2.ListModelsRequest())
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert caught.value.details() == "said by the handler itself"


def test_an_item_fails_with_the_code_and_text_a_call_would_have():
    failure = failure_of(CorruptStream("bad sum"), STATUS, method="EncodeStream")
    assert failure == types_pb2.Failure(code=15, message="bad sum")


def test_an_item_refused_by_a_full_queue_says_when_to_try_again():
    failure = failure_of(Overloaded("full", retry_after_seconds=2.0), STATUS, method="Encode")
    assert failure == types_pb2.Failure(code=8, message="full", retry_after_seconds=2.0)


async def test_an_item_comes_to_its_result_or_its_failure():
    async def work(error=None):
        if error is not None:
            raise error
        return "done"

    assert await or_failure(work(), STATUS, method="EncodeStream") == "done"
    failed = await or_failure(work(BadRequest("empty")), STATUS, method="EncodeStream")
    assert failed == types_pb2.Failure(code=3, message="empty")


class Held:
    """Something that a handler works on."""


@pytest.fixture
def no_collections():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _refuse(held):
    raise Overloaded("full", retry_after_seconds=1.0)


def _refuse_because_of_another(held):
    try:
        raise ValueError
    except ValueError as error:
        raise BadRequest("no") from error


@pytest.mark.parametrize("refuse", [_refuse, _refuse_because_of_another])
@pytest.mark.usefixtures("no_collections")
async def test_what_a_refused_call_held_is_freed_without_a_collection(refuse):
    held = []

    async def handle(message):
        one = Held()
        held.append(weakref.ref(one))
        refuse(one)

    async with encoding(handle) as running:
        items = [encoder_pb2.EncodeStreamRequest()]
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError):
                await running.stub.Encode(request())
            with pytest.raises(grpc.aio.AioRpcError):
                async for _ in running.stub.EncodeStream(iter(items)):
                    pass
        assert len(held) >= 6
        # A server's call ends shortly after its client's.
        for _ in range(500):
            if all(one() is None for one in held):
                break
            await asyncio.sleep(0.01)
        assert all(one() is None for one in held)
