"""The camera's client and command, against an encoder on a free port."""

import asyncio
import json
import signal
import sys

import click
import numpy as np
import pytest
from PIL import Image

from tests.client.harness import ScriptedEncoder, ScriptedHealth, encoding, flat, run
from ugicm.v1 import types_pb2
from ugicm_client.camera import CameraClient
from ugicm_client.errors import ServiceRefused, ServiceUnavailable, UnreadablePicture
from ugicm_client.wire import picture_to_wire
from ugicm_codec import Limits
from ugicm_servicekit.pictures import pixels_from_wire
from ugicm_servicekit.wire import FrameKey


async def images(*levels):
    for level in levels:
        if isinstance(level, Exception):
            raise level
        yield flat(level)


@pytest.fixture
def folder(tmp_path):
    for level in (10, 20, 30):
        Image.fromarray(flat(level)).save(tmp_path / f"{level}.png")
    return tmp_path


async def test_one_picture_is_encoded_without_a_key():
    encoder = ScriptedEncoder()
    async with encoding(encoder) as address, CameraClient(address) as camera:
        answer = await camera.encode(flat(7), quality=30, model="other")
    assert encoder.codec.decode_views(answer.stream, [0])[0][0, 0, 0] == 7
    (request,) = encoder.requests
    assert not request.HasField("key")
    assert (request.quality, request.model) == (30, "other")


@pytest.mark.parametrize(
    ("rate", "field"), [({"quality": 0}, "quality"), ({"max_bytes": 9}, "max_bytes"), ({}, None)]
)
async def test_a_rate_is_sent_if_there_is_one(rate, field):
    encoder = ScriptedEncoder()
    async with encoding(encoder) as address, CameraClient(address) as camera:
        await camera.encode(flat(7), **rate)
    assert encoder.requests[0].WhichOneof("target") == field


async def test_frames_are_sent_in_order_with_keys_that_count_up():
    encoder = ScriptedEncoder()
    async with encoding(encoder) as address, CameraClient(address) as camera:
        sent = [frame async for frame in camera.stream(images(5, 6, 7), camera="door", epoch=9)]
    assert [frame.key for frame in sent] == [FrameKey("door", 9, index) for index in range(3)]
    streams = [frame.outcome.stream for frame in sent]
    decoded = [encoder.codec.decode_views(stream, [0])[0][0, 0, 0] for stream in streams]
    assert decoded == [5, 6, 7]
    times = [request.capture_time.ToNanoseconds() for request in encoder.requests]
    assert times == sorted(times)


async def test_every_run_is_an_epoch_of_its_own():
    async with encoding(ScriptedEncoder()) as address, CameraClient(address) as camera:
        first, second = [
            [frame.key.epoch async for frame in camera.stream(images(1), camera="door")]
            for _ in range(2)
        ]
    assert first < second


async def test_a_frame_that_fails_is_told_and_the_stream_goes_on():
    encoder = ScriptedEncoder(failures={6})
    async with encoding(encoder) as address, CameraClient(address) as camera:
        sent = [frame async for frame in camera.stream(images(5, 6, 7), camera="door")]
    assert [isinstance(frame.outcome, ServiceRefused) for frame in sent] == [False, True, False]
    assert sent[1].outcome.status == "INVALID_ARGUMENT"
    assert str(sent[1].outcome).endswith("answered INVALID_ARGUMENT: no such picture")


async def test_an_encoder_that_ends_the_stream_is_an_error():
    encoder = ScriptedEncoder(ends_after=1)
    async with encoding(encoder) as address, CameraClient(address) as camera:
        with pytest.raises(ServiceRefused, match="RESOURCE_EXHAUSTED: too many pictures"):
            _ = [frame async for frame in camera.stream(images(1, 2), camera="door")]


async def test_an_error_of_the_source_is_raised_behind_the_frames_before_it():
    seen = []

    async def watch(frames):
        async for frame in frames:
            seen.append(frame.key.sequence)  # noqa: PERF401 - kept when the iteration fails

    bad = UnreadablePicture("a bad picture")
    async with encoding(ScriptedEncoder()) as address, CameraClient(address) as camera:
        with pytest.raises(UnreadablePicture, match="a bad picture"):
            await watch(camera.stream(images(1, bad), camera="door"))
    assert seen == [0]


async def test_nobody_at_the_address_is_one_clear_error():
    async with CameraClient("127.0.0.1:1") as camera:
        with pytest.raises(
            ServiceUnavailable, match=r"cannot reach the encoder at 127\.0\.0\.1:1: .*refused"
        ):
            await camera.encode(flat(1))


async def test_an_encoder_that_cannot_serve_now_says_itself_why():
    encoder = ScriptedEncoder()
    encoder.unavailable = "the decoder at gate:1 is not available: it ended the call"
    async with encoding(encoder) as address, CameraClient(address) as camera:
        with pytest.raises(ServiceUnavailable) as caught:
            await camera.encode(flat(1))
    assert str(caught.value) == f"the encoder at {address} is not available: {encoder.unavailable}"


@pytest.mark.parametrize(
    ("height", "pixel_format"),
    [(1, types_pb2.PIXEL_FORMAT_RGB), (12_000, types_pb2.PIXEL_FORMAT_PNG)],
)
def test_pictures_too_large_for_a_message_travel_as_files(height, pixel_format):
    image = flat(3, height, 1000)
    message = picture_to_wire(image)
    assert message.format == pixel_format
    np.testing.assert_array_equal(pixels_from_wire(message, Limits()), image)


async def test_the_command_sends_a_folder(folder, capsys):
    encoder = ScriptedEncoder()
    async with encoding(encoder) as address:
        assert await run("camera", folder, "--server", address, "--camera", "door") == 0
    assert [request.picture.data[0] for request in encoder.requests] == [10, 20, 30]
    assert {request.key.camera for request in encoder.requests} == {"door"}
    assert all(request.omit_stream for request in encoder.requests)
    assert capsys.readouterr().out.startswith("3 frames sent as camera door, 0 failed: ")


async def test_the_command_reports_bad_files_and_refused_frames_and_goes_on(folder, capsys):
    (folder / "15.png").write_bytes(b"bad")
    encoder = ScriptedEncoder(failures={20})
    async with encoding(encoder) as address:
        assert await run("camera", folder, "--server", address) == 1
    out, err = capsys.readouterr()
    assert out.startswith("3 frames sent as camera camera, 2 failed: ")
    assert err.splitlines()[0].endswith("15.png: not a picture of a known kind")
    assert err.splitlines()[1].endswith("answered INVALID_ARGUMENT: no such picture")
    assert err.splitlines()[1].startswith("ugicm: 20.png: ")


async def test_the_command_tells_a_program_of_every_frame(folder, capsys):
    async with encoding(ScriptedEncoder()) as address:
        assert await run("camera", folder, "--server", address, "--json", "-q", 80) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records] == ["10.png", "20.png", "30.png"]
    assert [record["key"].rpartition("/")[2] for record in records] == ["0", "1", "2"]
    assert {record["delivery"] for record in records} == {"stored"}


async def test_the_command_waits_for_an_encoder_that_is_starting(folder, capsys):
    health = ScriptedHealth("NOT_SERVING", "NOT_SERVING", "SERVING")
    encoder = ScriptedEncoder()
    async with encoding(encoder, health) as address:
        assert await run("camera", folder, "--server", address, "--wait", 30) == 0
    assert health.answers == []
    assert len(encoder.requests) == 3


async def test_the_call_ends_before_its_channel_when_the_command_is_given_up(folder, monkeypatch):
    ended = []

    class Client(CameraClient):
        async def __aexit__(self, *error):
            ended.append("channel")
            await super().__aexit__(*error)

        async def stream(self, *arguments, **options):
            try:
                async for sent in super().stream(*arguments, **options):
                    yield sent
            finally:
                ended.append("call")

    def give_up(record):
        raise click.Abort

    monkeypatch.setattr("ugicm_client.camera.CameraClient", Client)
    monkeypatch.setattr("ugicm_client.commands.camera.print_record", give_up)
    async with encoding(ScriptedEncoder()) as address:
        assert await run("camera", folder, "--server", address, "--json") == 130
    assert ended == ["call", "channel"]


async def test_an_endless_camera_ends_by_an_interrupt(folder):
    encoder = ScriptedEncoder()
    async with encoding(encoder) as address:
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ugicm_client", "camera", str(folder)),
            *("--server", address, "--loop", "--fps", "100"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await encoder.received(7)
        command.send_signal(signal.SIGINT)
        out, err = await command.communicate()
    assert command.returncode == 130
    assert (out, err.strip()) == (b"", b"")
    assert [request.key.sequence for request in encoder.requests[:7]] == list(range(7))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("absent", 1, "No such file or directory"),
        ("{folder} --server 127.0.0.1:1", 1, "cannot reach the encoder at 127.0.0.1:1"),
        ("{folder} --server 127.0.0.1:1 --wait 0.1", 1, "127.0.0.1:1 does not serve after 0.1 s"),
        ("{folder} --camera a/b", 2, "1 to 128 characters of A-Z"),
        ("{folder} --fps 0", 2, "0.0 is not in the range x>0"),
        ("{folder} -q 1 --max-bytes 2", 2, "exclude each other"),
    ],
)
async def test_bad_usage_of_the_command_is_one_line(folder, capsys, arguments, code, message):
    assert await run("camera", *arguments.format(folder=folder).split()) == code
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
