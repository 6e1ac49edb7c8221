"""What requests to one decoder share: batches, latents and views, and what they do not."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest

from tests.decoder.harness import HUMAN, MACHINE, decoding, frame, order
from tests.fake_codec import FakeCodec, FakeModel, picture
from ugicm.v1 import types_pb2 as types
from ugicm_codec import Limits
from ugicm_codec.errors import CorruptStream
from ugicm_decoder.renderer import Renderer
from ugicm_servicekit.batching import BatchLimits
from ugicm_servicekit.clients import Clients
from ugicm_servicekit.models import load_models


class Recording(FakeCodec):
    """Remembers the views of each batch, and fails at one picture where a test names it."""

    def __init__(self, model: FakeModel | None = None) -> None:
        super().__init__(model)
        self.batches: list[list[float]] = []
        self.unlucky: np.ndarray | None = None

    def synthesise(self, latents, views):
        self.batches.append(list(views))
        if any(np.array_equal(item.integers, self.unlucky) for item in latents):
            raise CorruptStream("the unlucky one")
        return super().synthesise(latents, views)


@pytest.fixture
def codec():
    return Recording()


@pytest.fixture
async def decoder(tmp_path, codec):
    async with decoding(tmp_path, codec, batch_delay_seconds=1) as running:
        yield running


def view(number):
    return types.View(number=number)


async def test_requests_of_one_size_share_a_batch_whatever_their_views(decoder, codec):
    streams = [codec.encode(picture(seed=seed)) for seed in range(4)]
    codec.go_on.clear()
    views = [0.0, 1.0, 0.5, 0.25]
    tasks = [
        asyncio.create_task(decoder.decode(stream=stream, views=[view(number)]))
        for stream, number in zip(streams, views, strict=True)
    ]
    await asyncio.to_thread(codec.held_up.wait)
    # One connection keeps its order: all have arrived, and are announced to the batcher.
    await decoder.stub.ListModels(types.ListModelsRequest())
    codec.go_on.set()
    answers = await asyncio.gather(*tasks)
    assert sorted(number for batch in codec.batches for number in batch) == sorted(views)
    assert len(codec.batches) < len(views)
    for seed, (answer, number) in enumerate(zip(answers, views, strict=True)):
        np.testing.assert_array_equal(
            answer.pixels[0], picture(seed=seed) ^ np.uint8(round(255 * number))
        )


async def test_one_bad_picture_does_not_fail_those_beside_it(decoder, codec):
    codec.unlucky = picture(seed=1)
    streams = [codec.encode(picture(seed=seed)) for seed in range(3)]
    codec.go_on.clear()
    tasks = [asyncio.create_task(decoder.decode(stream=stream)) for stream in streams]
    await asyncio.to_thread(codec.held_up.wait)
    await decoder.stub.ListModels(types.ListModelsRequest())
    codec.go_on.set()
    good, bad, fine = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(bad, grpc.aio.AioRpcError)
    assert bad.code() is grpc.StatusCode.DATA_LOSS
    np.testing.assert_array_equal(good.pixels[0], picture(seed=0))
    np.testing.assert_array_equal(fine.pixels[0], picture(seed=2))


async def test_equal_requests_at_one_time_are_computed_once(decoder, codec):
    stream = codec.encode(picture())
    codec.go_on.clear()
    tasks = [asyncio.create_task(decoder.decode(stream=stream)) for _ in range(5)]
    await asyncio.to_thread(codec.held_up.wait)
    await decoder.stub.ListModels(types.ListModelsRequest())
    codec.go_on.set()
    for answer in await asyncio.gather(*tasks):
        np.testing.assert_array_equal(answer.pixels[0], picture())
    assert (codec.calls["decode_latents"], codec.calls["synthesise"]) == (1, 1)


async def test_a_view_that_is_kept_costs_nothing_and_says_so(decoder, codec):
    sent = frame(codec.encode(picture()))
    await decoder.ingest(sent)
    await decoder.decode(key=sent.key)
    again = await decoder.decode(key=sent.key)
    np.testing.assert_array_equal(again.pixels[0], picture())
    assert (codec.calls["decode_latents"], codec.calls["synthesise"]) == (1, 1)
    statistics = again.statistics
    assert (statistics.latents_seconds, statistics.synthesis_seconds) == (0, 0)
    assert statistics.picture_seconds > 0


async def test_another_view_of_kept_latents_costs_a_synthesis_only(decoder, codec):
    stream = codec.encode(picture())
    await decoder.decode(stream=stream, views=[HUMAN])
    other = await decoder.decode(stream=stream, views=[MACHINE])
    assert (codec.calls["decode_latents"], codec.calls["synthesise"]) == (1, 2)
    assert other.statistics.latents_seconds == 0
    assert other.statistics.synthesis_seconds > 0


async def test_without_caches_several_views_still_cost_one_entropy_decode(tmp_path, codec):
    settings = {"latents_cache_bytes": 0, "views_cache_bytes": 0}
    async with decoding(tmp_path, codec, **settings) as decoder:
        stream = codec.encode(picture())
        await decoder.decode(stream=stream, views=[HUMAN, MACHINE, HUMAN])
        assert (codec.calls["decode_latents"], codec.calls["synthesise"]) == (1, 3)


async def test_a_reloaded_model_is_never_answered_from_the_pictures_of_the_old_one(tmp_path, codec):
    class Inverting(FakeCodec):
        def synthesise(self, latents, views):
            return [~pixels for pixels in super().synthesise(latents, views)]

    stream = codec.encode(picture())
    async with decoding(tmp_path, codec) as decoder:
        await decoder.decode(stream=stream)
        decoder.models.replace_by(type(decoder.models)([Inverting(FakeModel(sha256="7" * 64))]))
        answer = await decoder.decode(stream=stream)
    np.testing.assert_array_equal(answer.pixels[0], ~picture())
    assert answer.start.model_sha256 == "7" * 64


async def test_a_call_that_gives_up_takes_its_picture_out_of_the_batch(tmp_path, codec):
    streams = [codec.encode(picture(seed=seed)) for seed in range(3)]
    async with decoding(tmp_path, codec, threads=1) as decoder:
        codec.go_on.clear()
        first = asyncio.create_task(decoder.decode(stream=streams[0]))
        await asyncio.to_thread(codec.held_up.wait)
        late = decoder.stub.Decode(order(stream=streams[1]), timeout=0.05)
        assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await decoder.stub.ListModels(types.ListModelsRequest())
        codec.go_on.set()
        await first
        await decoder.decode(stream=streams[2])
    assert codec.calls["decode_latents"] == 2
    assert sum(map(len, codec.batches)) == 2


async def test_a_flood_inside_does_not_push_another_client_back(codec):
    done: list[str] = []
    limits = BatchLimits(max_items=9, max_pixels=2**20, delay_seconds=0)
    renderer = Renderer(
        threads=1,
        in_company=9,
        max_queued=0,
        limits=limits,
        latents_cache_bytes=0,
        views_cache_bytes=0,
    )
    clients = Clients(max_calls=99, max_calls_in_all=99, max_pixels=99)

    async def work(name):
        with clients.call(name):
            await renderer.in_thread(lambda: (codec.encode(picture()), done.append(name)))

    codec.go_on.clear()
    tasks = []
    for name in ("flood", "flood", "flood", "flood", "other"):
        tasks.append(asyncio.create_task(work(name)))
        await asyncio.sleep(0)
    codec.go_on.set()
    await asyncio.gather(*tasks)
    renderer.close()
    assert done.index("other") <= 2


@pytest.mark.slow
async def test_the_models_pixels_and_latents_do_not_depend_on_who_shares_the_batch(tmp_path):
    model = load_models(["default"], device="cpu", limits=Limits()).named("")
    images = [picture(64, 48, seed) // 4 for seed in range(5)]
    streams = [model.encode(image) for image in images]
    views = [0.0, 1.0, 0.5, 1.0, 0.0]
    async with decoding(tmp_path, model) as decoder:
        answers = await asyncio.gather(
            *(
                decoder.decode(stream=stream, views=[view(number)])
                for stream, number in zip(streams, views, strict=True)
            )
        )
    for stream, number, answer in zip(streams, views, answers, strict=True):
        alone = model.decode(stream, number).astype(int)
        assert np.abs(answer.pixels[0] - alone).max() <= 2
