"""``ugicm camera`` with each kind of source, against an encoder on a free port."""

import asyncio
import signal
import sys

import pytest
from PIL import Image

from tests.client.cameras import END, Camera, http_camera
from tests.client.harness import ScriptedEncoder, encoding, flat, run
from tests.client.test_live import opening


@pytest.fixture
def password_file(tmp_path):
    (tmp_path / "password").write_text("p/w:d@\n")
    return tmp_path / "password"


async def test_the_command_sends_what_a_camera_shows(password_file, capsys, monkeypatch):
    encoder = ScriptedEncoder()
    with http_camera(Camera(wanted=("me", "p/w:d@"))) as camera:
        camera.show(*opening(flat(50)))
        address = camera.address.replace("://", "://me@")
        async with encoding(encoder) as server:
            arguments = ("camera", address, "--server", server, "--frames", 1)
            assert await run(*arguments, "--password-file", password_file) == 0
            camera.show(END)
            monkeypatch.setenv("UGICM_CAMERA_PASSWORD", "p/w:d@")
            camera.show(*opening(flat(50)))
            assert await run(*arguments) == 0
            monkeypatch.setenv("UGICM_CAMERA_PASSWORD", "hunter2")
            assert await run(*arguments) == 1
    assert len(encoder.requests) == 2
    out, err = capsys.readouterr()
    assert out.count("1 frames sent as camera camera, 0 failed: ") == 2
    assert err.startswith(f"ugicm: {address} gives no video: ")
    assert err.count("\n") == 1
    assert "p/w:d@" not in out + err
    assert "hunter2" not in out + err


async def test_an_interrupted_camera_says_what_was_sent_and_what_was_not():
    encoder = ScriptedEncoder()
    with http_camera(Camera()) as camera:
        camera.show(*opening(flat(50)))
        async with encoding(encoder) as server:
            command = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ugicm_client", "camera", camera.address),
                *("--server", server, "--motion", "0.1"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            await encoder.received(1)
            camera.show(flat(200))
            await encoder.received(2)
            command.send_signal(signal.SIGINT)
            out, err = await command.communicate()
    assert command.returncode == 130
    assert b" frames sent as camera camera, 0 failed: " in out
    assert b"not sent: " in out
    assert err.strip() == b""


async def test_the_command_sends_only_what_moves(tmp_path, capsys):
    for index, level in enumerate((10, 10, 200, 200, 10)):
        Image.fromarray(flat(level)).save(tmp_path / f"{index}.png")
    encoder = ScriptedEncoder()
    async with encoding(encoder) as server:
        arguments = ("camera", tmp_path, "--server", server, "--motion", 0.1)
        assert await run(*arguments) == 0
        assert await run(*arguments, "--json") == 0
    assert [request.picture.data[0] for request in encoder.requests] == [10, 200, 10] * 2
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("3 frames sent")
    assert out.splitlines()[0].endswith("; not sent: 2 unchanged")
    assert err.endswith("; not sent: 2 unchanged\n")


async def test_the_command_ends_after_so_many_frames(tmp_path, capsys):
    for level in (10, 20, 30):
        Image.fromarray(flat(level)).save(tmp_path / f"{level}.png")
    encoder = ScriptedEncoder()
    async with encoding(encoder) as server:
        assert await run("camera", tmp_path, "--server", server, "--frames", 2, "--loop") == 0
    assert [request.picture.data[0] for request in encoder.requests] == [10, 20]


async def test_a_live_camera_never_uses_a_sequence_again(tmp_path):
    encoder = ScriptedEncoder()
    state = tmp_path / "state.json"
    async with encoding(encoder) as server:
        with http_camera(Camera()) as camera:
            for _ in range(2):
                camera.show(*opening(flat(50)))
                arguments = ("--server", server, "--frames", 1, "--state", state)
                assert await run("camera", camera.address, *arguments) == 0
                camera.show(END)
    keys = [(request.key.epoch, request.key.sequence) for request in encoder.requests]
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] < keys[1][1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("webcam:x", 1, "a webcam is named webcam:NUMBER"),
        ("rtsp://a:hunter2@cam/", 1, "the camera's address holds a password; everybody"),
        ("rtsp://cam/ --loop", 2, "--loop is for folders and videos"),
        ("{folder} --password-file x", 2, "--password-file is for a camera's address"),
        ("rtsp://me@cam/ --password-file {folder}/absent", 1, "absent: No such file"),
        ("{folder} --motion 0", 2, "0.0 is not in the range"),
        ("{folder} --motion 1.1", 2, "1.1 is not in the range"),
        ("{folder} --frames 0", 2, "0 is not in the range"),
        ("rtsp://127.0.0.1:1/ --server {server}", 1, "gives no video: Connection refused"),
        ("webcam:999 --server {server}", 1, "there is no /dev/video999; webcams here: "),
    ],
)
async def test_bad_sources_are_one_line(tmp_path, capsys, arguments, code, message):
    async with encoding(ScriptedEncoder()) as server:
        words = arguments.format(folder=tmp_path, server=server).split()
        assert await run("camera", *words) == code
    out, err = capsys.readouterr()
    assert message in err
    assert "hunter2" not in err
    assert err.count("\n") == 1
    assert out == ""
