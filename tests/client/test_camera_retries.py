"""A camera whose encoder comes and goes: every frame in order, and where to go on."""

import asyncio
import json
import signal
import sys
from contextlib import nullcontext

import grpc
import pytest
from PIL import Image

from tests.client.harness import ScriptedEncoder, encoding, flat, run
from ugicm_client.camera import CameraClient
from ugicm_client.camera_state import CameraState
from ugicm_client.errors import BadState, ServiceRefused, ServiceUnavailable
from ugicm_client.retries import Retries
from ugicm_servicekit.access import Access
from ugicm_servicekit.backoff import Backoff

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
DOWN = grpc.StatusCode.UNAVAILABLE


class Waits:
    """Waits that take no time: how long they would have been, and what the user was told."""

    def __init__(self):
        self.seconds = []
        self.changes = []
        backoff = Backoff(first_seconds=1, most_seconds=4, uniform=lambda low, high: high)
        self.retries = Retries(backoff, changed=self.changes.append, sleep=self._sleep)

    async def _sleep(self, seconds):
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def images(*levels):
    for level in levels:
        yield flat(level)


async def send(encoder, waits, *levels):
    async with encoding(encoder) as address, CameraClient(address) as camera:
        frames = camera.stream(images(*levels), camera="door", epoch=9, retries=waits.retries)
        return [frame async for frame in frames]


def accepted(encoder, sent):
    """Check that each frame was answered once, in order; return how often each was sent."""
    sequences = [frame.key.sequence for frame in sent]
    assert sequences == list(range(len(sent)))
    asked = [request.key.sequence for request in encoder.requests]
    return [asked.count(sequence) for sequence in sequences]


async def test_a_call_that_ends_is_made_again_with_what_was_not_answered():
    encoder, waits = ScriptedEncoder(hitches={2: ["end", "end"], 4: ["end"]}), Waits()
    sent = await send(encoder, waits, *range(1, 7))
    assert accepted(encoder, sent)[:2] == [1, 1]
    assert [request.picture.data[0] for request in encoder.requests[-2:]] == [5, 6]
    assert waits.seconds == [1, 2, 1]
    assert [type(change) for change in waits.changes] == [ServiceUnavailable, type(None)] * 2


class GuardedEncoder(ScriptedEncoder):
    """Knows one token, which may change while a call goes on."""

    known = "old"

    async def EncodeStream(self, requests, context):
        shown = dict(context.invocation_metadata())["authorization"]
        async for response in super().EncodeStream(requests, context):
            if shown != f"Bearer {self.known}":
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "it was withdrawn")
            yield response


@pytest.mark.parametrize("handed_out", ["new", "old"])
async def test_a_withdrawn_token_ends_a_camera_only_if_there_is_no_other(tmp_path, handed_out):
    encoder, waits, token_file = GuardedEncoder(), Waits(), tmp_path / "token"
    token_file.write_text("old")

    async def pictures():
        for level in range(1, 5):
            yield flat(level)
        await encoder.received(4)
        encoder.known = "new"
        token_file.write_text(handed_out)
        yield flat(5)

    sent = []
    async with (
        encoding(encoder) as address,
        CameraClient(address, access=Access(token_file=token_file)) as camera,
    ):
        frames = camera.stream(pictures(), camera="door", epoch=9, retries=waits.retries)
        with nullcontext() if handed_out == "new" else pytest.raises(ServiceRefused):
            async for frame in frames:
                sent.append(frame.key.sequence)  # noqa: PERF401 - kept where it raises
    assert sent[:3] == [0, 1, 2]
    assert (sent == list(range(5))) == (handed_out == "new")


async def test_frames_that_find_no_room_are_sent_again_until_they_do():
    encoder, waits = ScriptedEncoder(hitches={1: [FULL, DOWN], 2: [FULL, FULL]}), Waits()
    sent = await send(encoder, waits, *range(1, 7))
    assert not any(isinstance(frame.outcome, Exception) for frame in sent)
    # The hint comes first, and then everybody's own time.
    assert waits.seconds[:2] == [2 + 1, 2 + 2]
    assert sorted(frame.key.sequence for frame in sent) == list(range(6))
    order = [request.key.sequence for request in encoder.requests]
    assert [order.count(sequence) for sequence in range(6)] == [1, 3, 3, 1, 1, 1]


async def test_a_frame_that_is_wrong_is_sent_once():
    encoder, waits = ScriptedEncoder(failures={2}), Waits()
    sent = await send(encoder, waits, 1, 2, 3)
    assert accepted(encoder, sent) == [1, 1, 1]
    assert sent[1].outcome.status == "INVALID_ARGUMENT"
    assert waits.seconds == []


async def test_a_call_that_is_refused_for_good_is_an_error():
    encoder, waits = ScriptedEncoder(ends_after=1), Waits()
    with pytest.raises(ServiceRefused, match="RESOURCE_EXHAUSTED: too many pictures"):
        await send(encoder, waits, 1, 2)
    assert waits.seconds == []


async def test_only_so_many_frames_wait_for_their_answers():
    taken, full = [], asyncio.Event()

    class Stalling(ScriptedEncoder):
        async def EncodeStream(self, requests, context):
            async for _ in requests:
                pass
            yield

        async def Encode(self, request, context):
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")

    async def endless():
        while True:
            taken.append(1)
            if len(taken) == 16:
                full.set()
            yield flat(1)

    async with encoding(Stalling()) as address, CameraClient(address) as camera:
        frames = camera.stream(endless(), camera="door", retries=Waits().retries)
        first = asyncio.create_task(anext(frames))
        async with asyncio.timeout(20):
            await full.wait()
        # Calls on one connection are taken in turn: it has had every chance to take more.
        for _ in range(10):
            with pytest.raises(ServiceRefused):
                await camera.encode(flat(1))
        assert len(taken) == 16
        first.cancel()
        await asyncio.wait([first])
        await frames.aclose()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    for level in (10, 20, 30, 40):
        Image.fromarray(flat(level)).save(path / f"{level}.png")
    return path


def keys(encoder):
    return [(request.key.epoch, request.key.sequence) for request in encoder.requests]


def levels(encoder):
    return [request.picture.data[0] for request in encoder.requests]


async def test_the_command_says_that_it_lost_the_encoder_and_that_it_is_back(folder, capsys):
    encoder = ScriptedEncoder(hitches={1: ["end behind all"]})
    async with encoding(encoder) as address:
        assert await run("camera", folder, "--server", address) == 0
    out, err = capsys.readouterr()
    assert out.startswith("4 frames sent as camera camera, 0 failed")
    assert err.splitlines() == [
        f"ugicm: the encoder at {address} is not available: it is stopping; trying again",
        f"ugicm: the encoder at {address} takes frames again",
    ]


async def test_a_state_goes_on_behind_what_was_answered_and_keeps_its_epoch(folder, tmp_path):
    encoder, state = ScriptedEncoder(), tmp_path / "door.json"
    async with encoding(encoder) as address:
        command = ("camera", folder, "--server", address, "--state", state)
        assert await run(*command) == 0
        assert await run(*command) == 0
        Image.fromarray(flat(50)).save(folder / "50.png")
        assert await run(*command) == 0
    (epoch,) = {epoch for epoch, _ in keys(encoder)}
    assert keys(encoder) == [(epoch, sequence) for sequence in range(5)]
    assert levels(encoder) == [10, 20, 30, 40, 50]


async def test_an_endless_source_goes_on_in_the_middle(folder, tmp_path):
    encoder, state = ScriptedEncoder(failures={40}), tmp_path / "door.json"
    async with encoding(encoder) as address:
        with CameraState.open(state, camera="camera", source=str(folder)) as begun:
            await begun.sending(1)
            await begun.answered(1, "20.png")
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ugicm_client", "camera", str(folder), "--loop"),
            *("--server", address, "--state", str(state)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await encoder.received(7)
        command.send_signal(signal.SIGINT)
        assert await command.wait() == 130
    assert levels(encoder)[:7] == [30, 40, 10, 20, 30, 40, 10]
    assert [sequence for _, sequence in keys(encoder)[:7]] == list(range(2, 9))


async def test_a_camera_that_was_killed_sends_again_what_was_not_answered(folder, tmp_path):
    class Silent(ScriptedEncoder):
        async def EncodeStream(self, requests, context):
            async for item in requests:
                self.requests.append(item.request)
                async with self._more:
                    self._more.notify_all()
            yield

    silent, encoder, state = Silent(), ScriptedEncoder(), tmp_path / "door.json"
    async with encoding(silent) as address:
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ugicm_client", "camera", str(folder)),
            *("--server", address, "--state", str(state)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        await silent.received(3)
        command.kill()
        await command.wait()
    async with encoding(encoder) as address:
        assert await run("camera", folder, "--server", address, "--state", state) == 0
    assert keys(encoder)[:3] == keys(silent)[:3]
    assert levels(encoder) == [10, 20, 30, 40]


async def test_another_source_goes_on_where_no_sequence_was_sent(tmp_path):
    path = tmp_path / "door.json"
    with CameraState.open(path, camera="door", source="one") as state:
        epoch = state.progress.epoch
        for sequence in range(3):
            await state.sending(sequence)
        await state.answered(0, "a")
    unused = json.loads(path.read_text())["unused_sequence"]
    assert unused > 2
    with CameraState.open(path, camera="door", source="two") as state:
        assert (state.progress.epoch, state.progress.next_sequence) == (epoch, unused)
        assert state.progress.after == ""


async def test_the_file_says_that_a_sequence_is_used_before_it_is_sent(tmp_path):
    path = tmp_path / "door.json"
    with CameraState.open(path, camera="door", source="one", clock=lambda: 0.0) as state:
        for sequence in range(200):
            await state.sending(sequence)
            assert json.loads(path.read_text())["unused_sequence"] > sequence


async def test_answers_are_written_once_a_second_and_at_the_end(tmp_path):
    path, now = tmp_path / "door.json", [0.0]
    with CameraState.open(path, camera="door", source="one", clock=lambda: now[0]) as state:
        await state.sending(0)
        await state.answered(0, "a")
        assert json.loads(path.read_text())["next_sequence"] == 0
        now[0] = 1.0
        await state.answered(1, "b")
        assert json.loads(path.read_text())["next_sequence"] == 2
        await state.answered(2, "c")
    assert json.loads(path.read_text())["after"] == "c"


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "{}", '{"camera": "door"}', '{"x": 1}', b"\xff\xfe".decode("latin-1")],
)
def test_a_file_that_is_no_state_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "door.json"
    path.write_text(text)
    with (
        pytest.raises(BadState, match="is no camera's state"),
        CameraState.open(path, camera="door", source="one"),
    ):
        pass
    assert path.read_text() == text


def test_a_state_belongs_to_one_camera_and_one_process(tmp_path):
    path = tmp_path / "door.json"
    with (
        CameraState.open(path, camera="door", source="one"),
        pytest.raises(BadState, match="another process"),
        CameraState.open(path, camera="door", source="one"),
    ):
        pass
    with (
        pytest.raises(BadState, match="the state of camera door, not of yard"),
        CameraState.open(path, camera="yard", source="one"),
    ):
        pass
