"""``ugicm watch`` and the labels that analyzers may need, against a real analytics service."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from PIL import Image

from tests.analytics.analyzers import Brightness, Everything
from tests.analytics.harness import RecordingDecoder, analyzing, decoding
from tests.client.harness import flat, run
from ugicm_client.errors import ServiceError
from ugicm_client.pipeline import PipelineClient
from ugicm_client.retries import Retries
from ugicm_servicekit.backoff import Backoff


@pytest.fixture
def decoder():
    return RecordingDecoder(
        {sequence: np.full((2, 3, 3), 51 * sequence, np.uint8) for sequence in range(4)}
    )


@pytest.fixture
async def analytics(tmp_path, decoder):
    """Analytics behind a decoder that has stored three frames and a gap; yields its address."""
    port_file = tmp_path / "port"
    analyzers = {one.info.name: one for one in (Brightness(), Everything())}
    async with (
        decoding(decoder) as address,
        analyzing(analyzers, decoder=address, port_file=port_file),
    ):
        decoder.store(1)
        decoder.store(9)
        decoder.store_gap(5, 6)
        decoder.store(2)
        yield f"127.0.0.1:{port_file.read_text().strip()}"


def watch(*words):
    return run("watch", "--start", "oldest", *words)


async def test_what_is_found_is_shown_with_what_failed_and_what_is_gone(analytics, capsys):
    assert await watch("gate", "--frames", "3", "--server", analytics) == 0
    assert capsys.readouterr().out.splitlines() == [
        "gate/1/1 2023-11-14T22:13:20.000000007Z: bright 0.20, brightness",
        "gate/1/9: the decoder's own words",
        "gate/1/5 to 6: retention",
        "gate/1/2 2023-11-14T22:13:20.000000007Z: bright 0.40, brightness",
    ]


async def test_programs_get_one_object_for_each(analytics, capsys):
    assert await watch("--frames", "3", "--json", "--server", analytics) == 0
    found, failed, gap, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["key"], found["results"][0]["classifications"][0]["label"]) == (
        "gate/1/1",
        "bright",
    )
    assert (failed["key"], failed["failure"]["code"]) == ("gate/1/9", 5)
    assert gap["gap"]["first_sequence"] == "5"


async def test_a_state_file_lets_the_next_run_go_on(analytics, tmp_path, capsys):
    state = tmp_path / "state" / "gate.cursor"
    words = ("--frames", "1", "--state", state, "--server", analytics)
    shown = []
    for _ in range(3):
        assert await watch(*words) == 0
        shown += [line.split()[0].rstrip(":") for line in capsys.readouterr().out.splitlines()]
    assert shown == ["gate/1/1", "gate/1/9", "gate/1/5", "gate/1/2"]
    state.write_text("not a cursor")
    assert await watch(*words) == 1
    assert "holds no cursor" in capsys.readouterr().err


async def test_a_watch_goes_on_where_it_was_when_the_decoder_is_back(analytics, decoder):
    troubles = []
    retries = Retries(Backoff(first_seconds=0.001, most_seconds=0.001), changed=troubles.append)
    async with PipelineClient(analytics) as client:
        frames = client.watch(b"store:3", analyzers=["brightness"], retries=retries)
        assert (await anext(frames)).analysis.key.sequence == 2
        coming = asyncio.ensure_future(anext(frames))
        decoder.here.clear()
        decoder.leaving.set()
        while not troubles:
            await client.analyzers()
        decoder.store(3)
        decoder.leaving.clear()
        decoder.here.set()
        assert (await coming).analysis.key.sequence == 3
        await frames.aclose()
    assert [trouble is None for trouble in troubles] == [False, True]


async def test_a_watch_tells_that_it_has_begun_before_the_first_frame_and_not_where_it_fails(
    analytics, decoder
):
    decoder.here.clear()
    troubles = []
    retries = Retries(Backoff(first_seconds=0.001, most_seconds=0.001), changed=troubles.append)
    async with PipelineClient(analytics) as client:
        frames = client.watch(cameras=["hall"], retries=retries)
        coming = asyncio.ensure_future(anext(frames))
        while not troubles:
            await client.analyzers()
        assert not retries.has_begun
        decoder.here.set()
        while not retries.has_begun:
            await client.analyzers()
        decoder.store(3, "hall")
        assert (await coming).analysis.key.camera == "hall"
        await frames.aclose()


async def test_a_decoder_that_is_not_there_is_an_error_but_is_waited_for_where_that_is_asked(
    analytics, decoder, capsys
):
    decoder.here.clear()
    assert await watch("--frames", "1", "--server", analytics) == 1
    assert "the analytics at" in capsys.readouterr().err
    watching = asyncio.create_task(watch("--frames", "1", "--wait", "60", "--server", analytics))
    async with PipelineClient(analytics) as client:
        while len(decoder.watches) < 2:
            await client.analyzers()
        decoder.here.set()
        assert await watching == 0


async def test_labels_go_to_the_analyzers_that_need_some(analytics, tmp_path, capsys):
    Image.fromarray(flat(255)).save(tmp_path / "white.png")
    labels = ("--label", "a cat", "--label", "a dog", "--server", analytics)
    assert await run("analyze", tmp_path / "white.png", *labels) == 0
    out = capsys.readouterr().out
    assert "bright 1.00, brightness" in out
    assert "a dog 0.60, everything" in out
    assert await watch("--analyzer", "everything", "--frames", "1", *labels) == 0
    assert "a cat 0.75 at" in capsys.readouterr().out


async def test_labels_for_analyzers_of_other_labels_or_names_are_refused(analytics):
    async with PipelineClient(analytics) as client:
        with pytest.raises(ServiceError, match="these do not: brightness"):
            await client.labelled(["brightness"], ["cat"])
        unknown = await client.labelled(["nonesuch"], ["cat"])
        with pytest.raises(ServiceError, match="nonesuch"):
            await client.analyze(flat(1), analyzers=unknown)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ("--server 127.0.0.1:1", 1, "cannot reach the analytics"),
        ("--analyzer nonesuch", 1, "nonesuch"),
        ("--mode both", 2, "both"),
    ],
)
async def test_what_is_wrong_is_one_line(analytics, words, code, complaint, capsys):
    server = [] if "--server" in words else ["--server", analytics]
    assert await watch(*words.split(), *server) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
