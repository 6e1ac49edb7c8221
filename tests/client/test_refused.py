"""Frames that a decoder refused for good: told of, and sent again once it takes them."""

from __future__ import annotations

import json

import pytest

from tests.client.harness import run
from tests.decoder.harness import decoding, frame
from tests.fake_codec import FakeCodec, picture
from tests.security.credentials import tokens_of_every_role
from ugicm.v1 import decoder_pb2
from ugicm_servicekit.refused_frames import FOLDER, RefusedFrames

STREAM = FakeCodec().encode(picture())
DENIED = 7


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


def keep(spool, *frames, message="encoder north does not speak for camera 'gate'"):
    folder = RefusedFrames(spool / FOLDER)
    for one in frames:
        folder.keep(one, DENIED, message)
    return folder


async def stored(decoder, camera="gate"):
    page = await decoder.stub.ListFrames(decoder_pb2.ListFramesRequest(camera=camera))
    return [record.key.sequence for record in page.frames]


async def test_they_are_listed_by_key_with_what_the_decoder_said(spool, capsys):
    keep(spool, *(frame(STREAM, sequence=number) for number in (10, 9)), frame(STREAM, "a.b"))
    assert await run("refused", "list", spool) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["a.b/1/0", "gate/1/9", "gate/1/10"]
    assert lines[1].endswith(
        f"{len(STREAM)} bytes, PERMISSION_DENIED: encoder north does not speak for camera 'gate'"
    )
    assert await run("refused", "list", spool, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {
        "key": "a.b/1/0",
        "capture_time": "2023-11-14T22:13:20.000000007Z",
        "num_bytes": len(STREAM),
        "status": "PERMISSION_DENIED",
        "message": "encoder north does not speak for camera 'gate'",
    }


async def test_a_spool_without_any_lists_nothing(spool, capsys):
    spool.mkdir()
    assert await run("refused", "list", spool) == 0
    assert capsys.readouterr().out == ""


async def test_what_the_decoder_takes_now_is_stored_as_it_was_and_removed(spool, tmp_path, capsys):
    folder = keep(spool, *(frame(STREAM, sequence=number) for number in range(3)))
    async with decoding(tmp_path) as decoder:
        await decoder.ingest(frame(STREAM, sequence=1))
        server = f"--server=127.0.0.1:{decoder.port}"
        assert await run("refused", "send", spool, "gate/1/2", server) == 0
        assert await stored(decoder) == [1, 2]
        assert await run("refused", "send", spool, server, "--json") == 0
        answer = await decoder.stub.GetFrame(
            decoder_pb2.GetFrameRequest(key=frame(STREAM, sequence=0).key)
        )
    assert answer.frame == frame(STREAM, sequence=0)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "gate/1/2: stored"
    assert [json.loads(line) for line in others] == [
        {"key": "gate/1/0", "result": "stored"},
        {"key": "gate/1/1", "result": "duplicate"},
    ]
    assert folder.list() == []
    assert list((spool / FOLDER).iterdir()) == []


async def test_what_is_refused_again_stays_and_the_others_are_sent(
    spool, tmp_path, capsys, monkeypatch
):
    folder = keep(spool, frame(STREAM, "cellar"), frame(STREAM, "gate"), frame(b"no", "yard"))
    tokens = tokens_of_every_role(tmp_path)
    monkeypatch.setenv("UGICM_TOKEN", tokens.secrets["encoder"])
    async with decoding(tmp_path, tokens=tokens.path, access=tokens.access("operator")) as decoder:
        server = f"--server=127.0.0.1:{decoder.port}"
        assert await run("refused", "send", spool, server) == 1
    output = capsys.readouterr()
    assert output.out == "gate/1/0: stored\n"
    # The decoder's log may be beside what the command says.
    denied, wrong = [line for line in output.err.splitlines() if line.startswith("ugicm: ")]
    assert "cellar/1/0" in denied
    assert "PERMISSION_DENIED: encoder encoder does not speak for camera 'cellar'" in denied
    assert "yard/1/0" in wrong
    assert [one.key.camera for one in folder.list()] == ["cellar", "yard"]


async def test_a_frame_whose_record_is_damaged_is_told_of_and_not_sent(spool, tmp_path, capsys):
    folder = keep(spool, frame(STREAM, sequence=0), frame(STREAM, sequence=1))
    (spool / FOLDER / "gate.1.0.json").write_text('{"key": "gate/1/0"')
    (spool / FOLDER / "notes.json").write_text("{}")
    async with decoding(tmp_path) as decoder:
        assert await run("refused", "send", spool, f"--server=127.0.0.1:{decoder.port}") == 1
        assert await stored(decoder) == [1]
    assert "gate/1/0: its record is damaged" in capsys.readouterr().err
    assert [one.key.sequence for one in folder.list()] == [0]


async def test_a_frame_whose_stream_is_gone_hides_no_other(spool, tmp_path, capsys):
    keep(spool, frame(STREAM, sequence=0), frame(STREAM, sequence=1))
    gone = spool / FOLDER / "gate.1.0.ugi"
    gone.unlink()
    assert await run("refused", "list", spool) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"gate/1/0: 0 bytes, {gone} is gone"
    assert second.startswith(f"gate/1/1: {len(STREAM)} bytes, ")
    async with decoding(tmp_path) as decoder:
        assert await run("refused", "send", spool, f"--server=127.0.0.1:{decoder.port}") == 1
        assert await stored(decoder) == [1]
    assert f"gate/1/0: {gone} is gone" in capsys.readouterr().err


async def test_a_frame_that_is_named_twice_is_sent_once(spool, tmp_path, capsys):
    keep(spool, frame(STREAM))
    async with decoding(tmp_path) as decoder:
        server = f"--server=127.0.0.1:{decoder.port}"
        assert await run("refused", "send", spool, "gate/1/0", "gate/1/0", server) == 0
    assert capsys.readouterr().out == "gate/1/0: stored\n"


async def test_a_frame_that_does_not_lie_there_is_an_error_before_anything_is_sent(
    spool, tmp_path, capsys
):
    keep(spool, frame(STREAM))
    assert await run("refused", "send", spool, "gate/1/0", "gate/1/7") == 1
    assert "no refused frame gate/1/7 lies there" in capsys.readouterr().err
    assert await run("refused", "send", spool, "gate") == 2
    assert "CAMERA/EPOCH/SEQUENCE" in capsys.readouterr().err


async def test_without_a_decoder_everything_stays(spool, capsys):
    folder = keep(spool, frame(STREAM))
    assert await run("refused", "send", spool, "--server=127.0.0.1:1") == 1
    assert "cannot reach the decoder" in capsys.readouterr().err
    assert len(folder.list()) == 1
