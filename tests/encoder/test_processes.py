"""Pictures are coded in other processes as they would be here, and none is lost with a process."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest

from tests.encoder.harness import encoding, raw
from tests.fake_codec import FakeCodec, FakeModel
from tests.pictures import scene
from ugicm.v1 import encoder_pb2 as pb
from ugicm_codec import Codec, Limits
from ugicm_codec.errors import BadImage, BudgetTooSmall, UnknownModel
from ugicm_codec.threads import at_most
from ugicm_encoder.coding_process import CodedElsewhere, CodingProcess
from ugicm_encoder.errors import CodingProcessEnded
from ugicm_encoder.processes import CodingProcesses
from ugicm_encoder.settings import EncoderSettings
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.metrics import REGISTRY
from ugicm_servicekit.models import Models


@pytest.fixture(scope="module")
def process():
    made = CodingProcess(["default"], device="cpu", limits=Limits())
    yield made
    made.close()


@pytest.fixture(scope="module")
def codec():
    return Codec.load()


@pytest.mark.parametrize("size", [(128, 128), (37, 250), (1, 1), (300, 400)])
@pytest.mark.parametrize("target", [{"quality": 0}, {"quality": 83}, {"max_bytes": 900}])
def test_its_streams_are_those_that_one_thread_makes(process, codec, size, target):
    image = scene(*size)
    try:
        with at_most(1):
            expected = codec.encode(image, **target)
    except BudgetTooSmall as error:
        with pytest.raises(BudgetTooSmall, match="smallest stream") as caught:
            process.encode(codec, image, target)
        assert caught.value.smallest == error.smallest
        return
    coded = process.encode(codec, image, target)
    assert coded.stream == expected
    assert coded.began_ns < coded.analysed_ns < coded.coded_ns <= time.time_ns()


def test_what_the_codec_refuses_is_refused_and_the_next_picture_is_coded(process, codec):
    with pytest.raises(BadImage):
        process.encode(codec, np.zeros((4, 4), np.uint8), {})
    assert process.encode(codec, scene(8, 8), {}).stream
    assert not process.has_ended


def test_it_has_the_model_files_of_its_names(process, codec):
    assert process.has(codec.model.sha256)
    assert not process.has("0" * 64)


def test_it_outlives_what_tells_all_processes_to_stop(process, codec):
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(process.pid, number)
    assert process.encode(codec, scene(8, 8), {}).stream
    # Nor is it one of those that a terminal tells.
    assert os.getpgid(process.pid) != os.getpgid(0)


def test_an_unknown_model_is_refused_as_the_codec_refuses_it():
    with pytest.raises(UnknownModel, match="nothing-like-it"):
        CodingProcess(["nothing-like-it"], device="cpu", limits=Limits())


@pytest.mark.parametrize("side", [8, 360])
def test_one_that_does_not_answer_in_time_is_killed(codec, side):
    # The limit on pictures is below the size of the picture that it would try at its start.
    process = CodingProcess(
        ["default"], device="cpu", limits=Limits(max_pixels=100), coding_seconds=0.3
    )
    os.kill(process.pid, signal.SIGSTOP)
    # The larger one is more than the connection takes at once.
    with pytest.raises(CodingProcessEnded, match=r"took more than 0\.3 s"):
        process.encode(codec, scene(side, side), {})
    assert process.has_ended
    process.close()
    assert not psutil.pid_exists(process.pid)


_PARENT = """
from ugicm_codec import Limits
from ugicm_encoder.coding_process import CodingProcess
process = CodingProcess(["default"], device="cpu", limits=Limits())
print(process.pid, flush=True)
input()
"""


def test_it_ends_with_an_encoder_that_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        coding = psutil.Process(int(parent.stdout.readline()))
        assert runs(coding)
        parent.kill()
    until(lambda: not runs(coding))


async def test_an_encoder_codes_on_when_its_processes_are_killed(codec):
    others = children()
    pictures = [scene(64, 64, seed) for seed in range(40)]
    async with encoding(codec, processes=1) as running:

        async def encoded(pixels):
            return (await running.stub.Encode(pb.EncodeRequest(picture=raw(pixels)))).stream

        async def one_by_one(chosen):
            return [await encoded(pixels) for pixels in chosen]

        [first] = children() - others
        before = seconds_of(first)
        alone = await one_by_one(pictures)
        # Nobody is beside them.
        assert seconds_of(first) == before
        killed = asyncio.Event()

        async def again_and_again():
            while not killed.is_set():
                assert await one_by_one(pictures) == alone

        callers = [asyncio.create_task(again_and_again()) for _ in range(4)]
        await asyncio.to_thread(until, lambda: seconds_of(first) > before)
        first.kill()
        killed.set()
        await asyncio.gather(*callers)
        await asyncio.to_thread(until, lambda: num_processes() == 1 and children() - others)
        [second] = children() - others
        assert second != first
        before = seconds_of(second)
        assert await asyncio.gather(*map(encoded, pictures)) == alone
        assert seconds_of(second) > before
    assert children() == others


def test_processes_would_have_to_share_a_gpu():
    with pytest.raises(BadSettings, match="--processes needs --device cpu, got cuda"):
        EncoderSettings(processes=2, device="cuda")


class FakeProcess:
    """Codes with a ``FakeCodec`` until a test says otherwise."""

    numbers = itertools.count(1)

    def __init__(self, digests):
        self.pid = next(self.numbers)
        self.digests = set(digests)
        self.has_ended = self.is_closed = self.ends = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.busy = threading.Event()

    def has(self, digest):
        return digest in self.digests

    def encode(self, codec, image, target):
        self.busy.set()
        self.go_on.wait()
        if self.ends:
            self.has_ended = True
            raise CodingProcessEnded("it ended")
        return CodedElsewhere(codec.encode(image, **target), 1, 2, 3)

    def close(self):
        self.is_closed = True


class Starts:
    """Starts ``FakeProcess``es with the digests that the test says; ``errors`` come first."""

    def __init__(self):
        self.started = []
        self.errors = []
        self.digests = {FakeModel().sha256}
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self):
        digests = self.digests
        self.asked.set()
        self.go_on.wait()
        if self.errors:
            raise self.errors.pop()
        self.started.append(FakeProcess(digests))
        return self.started[-1]


@pytest.fixture
def starts():
    return Starts()


@pytest.fixture
def models():
    return Models([FakeCodec()])


@pytest.fixture
def processes(starts, models):
    made = CodingProcesses(starts, 2, models)
    made.begin()
    yield made
    made.close()
    assert all(one.is_closed for one in starts.started)


def coded(processes, codec=None):
    return processes.encode(codec or FakeCodec(), scene(8, 8), {})


def test_without_processes_nothing_is_coded_elsewhere(starts, models):
    none = CodingProcesses(starts, 0, models)
    none.begin()
    assert coded(none) is None
    none.read()()
    none.close()
    assert not starts.started


def test_a_busy_process_gets_no_second_picture(processes, starts):
    for one in starts.started:
        one.go_on.clear()
    threads = [threading.Thread(target=coded, args=[processes]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for one in starts.started:
        assert one.busy.wait(10)
    assert coded(processes) is None
    for one in starts.started:
        one.go_on.set()
    for thread in threads:
        thread.join()
    assert coded(processes) is not None


def test_one_that_ends_is_replaced_as_soon_as_another_can_start(processes, starts):
    first = list(starts.started)
    starts.errors = [CodingProcessEnded("no memory"), RuntimeError("no such library")]
    for one in first:
        one.ends = True
    assert coded(processes) is None
    until(lambda: len(starts.started) == 3 and num_processes() == 2)
    assert [one.is_closed for one in first if one.has_ended] == [True]


def test_one_that_ends_while_nobody_uses_it_is_replaced(monkeypatch, starts, models):
    monkeypatch.setattr("ugicm_encoder.processes._LOOK_SECONDS", 0.01)
    made = CodingProcesses(starts, 1, models)
    made.begin()
    starts.started[0].has_ended = True
    until(lambda: len(starts.started) == 2 and num_processes() == 1)
    assert starts.started[0].is_closed
    assert coded(made) is not None
    made.close()


def test_a_reload_leaves_processes_alone_that_have_every_model(processes, starts):
    assert processes.read()() == []
    assert coded(processes) is not None
    assert len(starts.started) == 2
    assert not any(one.is_closed for one in starts.started)


def test_a_reload_replaces_processes_that_lack_a_model_when_their_work_is_done(
    processes, starts, models
):
    first = list(starts.started)
    for one in first:
        one.go_on.clear()
    work = threading.Thread(target=coded, args=[processes])
    work.start()
    until(lambda: any(one.busy.is_set() for one in first))
    [worked] = [one for one in first if one.busy.is_set()]
    [idle] = [one for one in first if not one.busy.is_set()]
    use = processes.read()
    new = FakeCodec(FakeModel(sha256="e" * 64))
    starts.digests = {new.model.sha256}
    models.replace_by(Models([new]))
    use()
    until(lambda: idle.is_closed and len(starts.started) == 4)
    assert not worked.is_closed
    worked.go_on.set()
    work.join()
    until(lambda: worked.is_closed)
    assert coded(processes, FakeCodec()) is None
    assert coded(processes, new) is not None


def test_one_that_found_other_files_is_no_hindrance_to_those_that_did_not(
    processes, starts, caplog
):
    starts.digests = {"e" * 64}
    starts.started[-1].ends = starts.started[0].ends = True
    assert coded(processes) is None
    until(lambda: len(starts.started) == 3 and num_processes() == 2)
    for one in starts.started:
        one.ends = False
    assert all(coded(processes) is not None for _ in range(3))
    assert "found other model files" in caplog.text


def test_one_that_started_before_a_reload_makes_way_for_one_that_started_after_it(
    processes, starts, models
):
    starts.asked.clear()
    starts.go_on.clear()
    for one in starts.started:
        one.ends = True
    assert coded(processes) is None
    assert starts.asked.wait(10)
    new = FakeCodec(FakeModel(sha256="e" * 64))
    starts.digests = {new.model.sha256}
    models.replace_by(Models([new]))
    processes.read()()
    starts.go_on.set()
    until(lambda: num_processes() == 2 and starts.started[2].is_closed)
    assert coded(processes, new) is not None


def test_where_one_cannot_start_the_others_are_ended(starts, models):
    made = CodingProcesses(starts, 2, models)
    starts.errors = [CodingProcessEnded("no memory")]
    with pytest.raises(CodingProcessEnded, match="no memory"):
        made.begin()
    made.close()
    assert [one.is_closed for one in starts.started] == [True]


def num_processes():
    return REGISTRY.get_sample_value("ugicm_coding_processes")


def children():
    """Return the coding processes of this one."""
    running = [each for each in psutil.Process().children() if runs(each)]
    return {each for each in running if any("coding_process" in part for part in each.cmdline())}


def runs(process):
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def seconds_of(process):
    """Return a process's time of the processor."""
    return sum(process.cpu_times()[:2])


def until(met, seconds=100):
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)
