"""A slow, stuck or failing analyzer is late by itself."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import cv2
import grpc
import numpy as np
import pytest
import torch

from tests.analytics.analyzers import Brightness, Broken, bright
from tests.analytics.harness import MACHINE, FixedDecoder, analyzing, decoding, key, rgb
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2 as types
from ugicm_analytics.errors import AnalyzerStuck, AnalyzerTooSlow
from ugicm_analytics.lanes import Lane
from ugicm_analyzers.protocol import AnalyzerInfo, Findings, Task
from ugicm_analyzers.threads import limit_threads
from ugicm_servicekit.batching import BatchLimits
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.metrics import REGISTRY

LIMITS = BatchLimits(max_items=4, max_pixels=10**6, delay_seconds=0)
NOWHERE = "127.0.0.1:1"


def grey(level, height=4):
    return np.full((height, 6, 3), level, np.uint8)


class Recording(Brightness):
    """Remembers the sizes of its batches."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def analyze(self, pictures, labels):
        self.batches.append([len(picture) for picture in pictures])
        return super().analyze(pictures, labels)


class Hanging:
    """Answers only when it is let go."""

    info = AnalyzerInfo(name="hanging", task=Task.CLASSIFY, version="1", labels=("bright",))

    def __init__(self):
        self.let_go, self.begun = threading.Event(), threading.Event()

    def load(self):
        pass

    def analyze(self, pictures, labels):
        self.begun.set()
        assert self.let_go.wait(60)
        return [Findings(classifications=(bright(picture),)) for picture in pictures]


@pytest.fixture
def lane_of():
    lanes = []

    def make(analyzer, **options):
        given = {"limits": LIMITS, "max_queued": 100, "deadline_seconds": 60, **options}
        lanes.append(Lane(analyzer, **given))
        return lanes[-1]

    yield make
    for lane in lanes:
        lane.close()


async def look_or_error(lane):
    (answer,) = await asyncio.gather(lane.look(grey(51), ()), return_exceptions=True)
    return answer


async def test_pictures_that_wait_share_batches_by_size(lane_of):
    analyzer = Recording()
    lane = lane_of(analyzer)
    with analyzer.holding_up():
        first = asyncio.create_task(lane.look(grey(0), ()))
        await analyzer.until_held_up()
        heights = [4, 8, 4, 4, 8, 4]
        others = [
            asyncio.create_task(lane.look(grey(51 * number, height), ()))
            for number, height in enumerate(heights)
        ]
        await asyncio.sleep(0)
    found = [done.value.classifications[0].score for done in await asyncio.gather(*others)]
    await first
    assert found == [number / 5 for number in range(6)]
    assert analyzer.batches[0] == [4]
    assert sorted(analyzer.batches[1:]) == [[4, 4, 4, 4], [8, 8]]


async def test_an_analyzer_computes_with_as_many_threads_as_libraries_were_limited_to(lane_of):
    class Counting(Brightness):
        def analyze(self, pictures, labels):
            self.counts = cv2.getNumThreads(), torch.get_num_threads()
            return super().analyze(pictures, labels)

    before = cv2.getNumThreads(), torch.get_num_threads()
    analyzer = Counting()
    limit_threads(3)
    try:
        await lane_of(analyzer).look(grey(51), ())
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
    assert analyzer.counts == (3, 3)


async def test_a_batch_tells_what_it_waited_and_took(lane_of):
    done = await lane_of(Brightness()).look(grey(51), ())
    assert done.value == Findings(classifications=(bright(grey(51)),))
    assert done.queue_seconds >= 0
    assert done.run_seconds > 0


async def test_each_batch_is_counted_once_though_it_fails_or_is_shared(lane_of):
    class Spoiled(Recording):
        info = replace(Brightness.info, name="spoiled")

        def analyze(self, pictures, labels):
            findings = super().analyze(pictures, labels)
            if any(picture[0, 0, 0] == 102 for picture in pictures):
                raise ValueError("not this one")
            return findings

    analyzer = Spoiled()
    lane = lane_of(analyzer)
    with analyzer.holding_up():
        tasks = [asyncio.create_task(lane.look(grey(level), ())) for level in (0, 51, 102, 153)]
        await analyzer.until_held_up()
    await asyncio.gather(*tasks, return_exceptions=True)
    # The first alone, the others together, and each of them again, as one spoils their batch.
    assert [len(batch) for batch in analyzer.batches] == [1, 3, 1, 1, 1]
    for name in ("ugicm_analysis_batch_pictures", "ugicm_analyzer_seconds"):
        assert REGISTRY.get_sample_value(f"{name}_count", {"analyzer": "spoiled"}) == 5
    pictures = REGISTRY.get_sample_value(
        "ugicm_analysis_batch_pictures_sum", {"analyzer": "spoiled"}
    )
    assert pictures == 7


async def test_a_picture_that_spoils_a_batch_fails_alone(lane_of):
    class Picky(Recording):
        def analyze(self, pictures, labels):
            if any(picture[0, 0, 0] == 102 for picture in pictures):
                raise ValueError("not this one")
            return super().analyze(pictures, labels)

    analyzer = Picky()
    lane = lane_of(analyzer)
    with analyzer.holding_up():
        tasks = [asyncio.create_task(lane.look(grey(level), ())) for level in (0, 51, 102, 153)]
        await analyzer.until_held_up()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(one) if isinstance(one, ValueError) else "" for one in answers] == [
        *("", ""),
        "not this one",
        "",
    ]


async def test_more_than_may_wait_are_refused(lane_of):
    analyzer = Brightness()
    lane = lane_of(analyzer, max_queued=1)
    with analyzer.holding_up():
        tasks = [asyncio.create_task(lane.look(grey(0), ())) for _ in range(9)]
        await analyzer.until_held_up()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert [type(task.exception()) for task in done] == [Overloaded]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, Overloaded) for one in answers) == 1


async def test_an_analyzer_whose_time_is_up_refuses_at_once_until_it_answers(lane_of):
    now = 0.0
    analyzer = Hanging()
    lane = lane_of(analyzer, deadline_seconds=0.05, clock=lambda: now)
    with pytest.raises(AnalyzerTooSlow, match=r"within 0\.05 s"):
        await lane.look(grey(51), ())
    assert await asyncio.to_thread(analyzer.begun.wait, 60)
    now = 1.0
    assert lane.stuck_seconds == 1.0
    with pytest.raises(AnalyzerStuck):
        await lane.look(grey(51), ())
    analyzer.let_go.set()
    while isinstance(done := await look_or_error(lane), AnalyzerStuck):
        pass
    assert done.value.classifications[0].score == 0.2


async def test_what_never_got_its_turn_is_told_that_others_hold_it_up(lane_of):
    analyzer = Hanging()
    lane = lane_of(analyzer, deadline_seconds=0.05)
    answers = await asyncio.gather(
        lane.look(grey(0), ()), lane.look(grey(0, 8), ()), return_exceptions=True
    )
    assert [type(one) for one in answers] == [AnalyzerTooSlow, AnalyzerStuck]
    analyzer.let_go.set()


async def test_a_thread_that_is_late_is_not_taken_for_others_that_hold_it_up(lane_of):
    lane, go_on = lane_of(Brightness(), deadline_seconds=0.05), threading.Event()
    lane._batcher._executor.submit(go_on.wait)
    try:
        with pytest.raises(AnalyzerTooSlow):
            await lane.look(grey(0), ())
    finally:
        go_on.set()


async def test_what_waited_for_most_of_its_time_was_held_up_though_it_had_begun(lane_of):
    class Stepping(Hanging):
        def __init__(self):
            super().__init__()
            self.first, self.second_began = threading.Event(), threading.Event()

        def analyze(self, pictures, labels):
            if pictures[0].shape[0] == 8:
                self.second_began.set()
                return super().analyze(pictures, labels)
            assert self.first.wait(60)
            return [Findings(classifications=(bright(picture),)) for picture in pictures]

    now = 0.0
    analyzer = Stepping()
    lane = lane_of(analyzer, deadline_seconds=3, clock=lambda: now)
    looks = asyncio.gather(
        lane.look(grey(0), ()), lane.look(grey(0, 8), ()), return_exceptions=True
    )
    await asyncio.sleep(0)
    now = 0.4
    analyzer.first.set()
    assert await asyncio.to_thread(analyzer.second_began.wait, 60)
    done, held_up = await looks
    analyzer.let_go.set()
    assert done.value.classifications[0].score == 0
    assert isinstance(held_up, AnalyzerStuck)


async def test_a_timeout_of_the_library_is_its_own(lane_of):
    class Timing(Brightness):
        def analyze(self, pictures, labels):
            raise TimeoutError("of the library")

    with pytest.raises(TimeoutError, match="of the library"):
        await lane_of(Timing()).look(grey(0), ())


async def test_a_stuck_analyzer_fails_for_its_part_and_the_service_says_so():
    hanging = Hanging()
    analyzers = {one.info.name: one for one in (Brightness(), Broken(), hanging)}
    decoder = FixedDecoder({7: grey(51)})
    async with (
        decoding(decoder) as address,
        analyzing(analyzers, decoder=address, analyze_seconds=3) as (stub, server),
    ):
        options = pb.AnalyzeOptions(view=MACHINE)
        by_key = pb.AnalyzeRequest(key=key(7), options=options)
        answer = await stub.Analyze(by_key)
        brightness, broken, late = answer.analysis.results
        assert brightness.classifications[0].score == 0.2
        assert broken.failure.code == grpc.StatusCode.INTERNAL.value[0]
        assert late.failure.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]

        # A watch goes on meanwhile, with what the others find.
        decoder.store(7)
        call = stub.Watch(
            pb.WatchResultsRequest(
                mode=types.WATCH_MODE_EVERY, start=types.WATCH_START_OLDEST, options=options
            )
        )
        brightness, broken, late = (await call.read()).analysis.results
        call.cancel()
        assert brightness.classifications[0].score == 0.2
        assert late.failure.code == grpc.StatusCode.UNAVAILABLE.value[0]
        assert late.failure.retry_after_seconds > 0
        while not any("hanging" in problem for problem in server.readiness.problems):
            await server.readiness.changed()
        assert server.readiness.is_ready

        hanging.let_go.set()
        while any("hanging" in problem for problem in server.readiness.problems):
            await server.readiness.changed()
        answer = await stub.Analyze(by_key)
        assert [one.failure.code for one in answer.analysis.results] == [0, 13, 0]


async def test_an_analyzer_without_room_refuses_for_its_part():
    brightness, hanging = Brightness(), Hanging()
    analyzers = {one.info.name: one for one in (brightness, hanging)}
    both = pb.AnalyzeRequest(picture=rgb(grey(51)))
    only = pb.AnalyzeRequest(picture=rgb(grey(51)))
    only.options.analyzers.add(name="hanging")
    async with analyzing(analyzers, decoder=NOWHERE, max_batch=1, max_queued=0) as (stub, _):
        first = asyncio.ensure_future(stub.Analyze(only))
        assert await asyncio.to_thread(hanging.begun.wait, 60)
        answer = await stub.Analyze(both)
        found, refused = answer.analysis.results
        assert found.classifications[0].score == 0.2
        assert refused.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        hanging.let_go.set()
        await first
