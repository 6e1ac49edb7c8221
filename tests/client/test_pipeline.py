"""The pipeline's client and ``ugicm analyze``, against a real analytics service."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.analytics.analyzers import Brightness, Broken
from tests.analytics.harness import FixedDecoder, analyzing, decoding
from tests.client.harness import flat, run
from tests.fake_codec import FakeCodec
from ugicm_client.errors import ServiceRefused, ServiceUnavailable
from ugicm_client.pipeline import PipelineClient
from ugicm_codec.errors import BadView
from ugicm_servicekit.wire import FrameKey

STREAM = FakeCodec().encode(flat(1))
KEY = FrameKey("gate", 1, 7)


@pytest.fixture
async def analytics(tmp_path):
    """Analytics over a decoder that has one frame and one stream; yields its address."""
    analyzers = {analyzer.info.name: analyzer for analyzer in (Brightness(), Broken())}
    servicer = FixedDecoder({7: flat(51), STREAM: flat(102)})
    port_file = tmp_path / "port"
    async with (
        decoding(servicer) as decoder,
        analyzing(analyzers, decoder=decoder, port_file=port_file),
    ):
        yield f"127.0.0.1:{port_file.read_text().strip()}"


@pytest.fixture
async def client(analytics):
    async with PipelineClient(analytics) as pipeline:
        yield pipeline


async def test_analyzers_are_listed_by_name(client):
    assert [analyzer.name for analyzer in await client.analyzers()] == ["brightness", "broken"]


@pytest.mark.parametrize(
    ("source", "score"), [(KEY, 51 / 255), (STREAM, 102 / 255), (flat(255), 1.0)]
)
async def test_frames_streams_and_pictures_are_analyzed(client, source, score):
    analysis = await client.analyze(source, analyzers=["brightness"])
    (result,) = analysis.results
    assert result.classifications[0].score == pytest.approx(score)
    assert (analysis.height, analysis.width) == (8, 9)


async def test_the_view_decides_what_is_decoded(client):
    analysis = await client.analyze(KEY, view="human", analyzers=["brightness"])
    assert analysis.results[0].classifications[0].score == 0  # black, as the decoder answers
    assert analysis.view == 0


async def test_low_scores_are_left_out(client):
    analysis = await client.analyze(flat(51), analyzers=["brightness"], minimum_score=0.5)
    assert len(analysis.results[0].classifications) == 0


async def test_an_unknown_analyzer_is_refused(client):
    with pytest.raises(ServiceRefused, match="nonesuch"):
        await client.analyze(flat(1), analyzers=["nonesuch"])


async def test_a_view_out_of_range_is_refused_before_it_is_sent(client):
    with pytest.raises(BadView):
        await client.analyze(STREAM, view=-1)


async def test_nobody_at_the_address_is_one_clear_error():
    async with PipelineClient("127.0.0.1:1") as pipeline:
        with pytest.raises(ServiceUnavailable, match="cannot reach the analytics"):
            await pipeline.analyzers()


async def test_the_command_analyzes_files_and_frames(analytics, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(flat(255)).save("white.png")
    (tmp_path / "coded.ugi").write_bytes(STREAM)
    inputs = ("white.png", "coded.ugi", str(KEY))
    arguments = ("analyze", *inputs, "--analyzer", "brightness", "--server", analytics)
    assert await run(*arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        "white.png: bright 1.00, brightness",
        "coded.ugi: bright 0.40, brightness",
        "gate/1/7: bright 0.20, brightness",
    ]
    assert await run(*arguments, "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["input"] for record in records] == list(inputs)
    assert records[2]["key"]["sequence"] == "7"
    assert records[0]["results"][0]["classifications"] == [{"label": "bright", "score": 1.0}]


async def test_the_command_analyzes_standard_input(analytics, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(STREAM)))
    arguments = ("analyze", "-", "--analyzer", "brightness", "--server", analytics)
    assert await run(*arguments) == 0
    assert capsys.readouterr().out == "-: bright 0.40, brightness\n"


async def test_an_analyzer_that_fails_is_told_and_the_others_results_stand(
    analytics, tmp_path, capsys
):
    Image.fromarray(flat(255)).save(tmp_path / "white.png")
    assert await run("analyze", tmp_path / "white.png", "--server", analytics) == 1
    out, err = capsys.readouterr()
    assert out.endswith("white.png: bright 1.00, brightness\n")
    assert "white.png: broken: " in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("{file} --server 127.0.0.1:1", 1, "cannot reach the analytics at 127.0.0.1:1"),
        ("{file} --server 127.0.0.1:1 --wait 0.1", 1, "127.0.0.1:1 does not serve after 0.1 s"),
        ("gate/1/8", 1, "gate/1/8: the analytics at"),
        ("absent.png", 1, "absent.png: No such file or directory"),
        ("{file} --view x", 2, "got 'x'"),
        ("{file} --minimum-score 2", 2, "2.0 is not in the range 0<=x<=1"),
        ("{file} --analyzer nonesuch", 1, "nonesuch"),
    ],
)
async def test_bad_usage_of_the_command_is_one_line(
    analytics, tmp_path, capsys, arguments, code, message
):
    file = tmp_path / "white.png"
    Image.fromarray(flat(255)).save(file)
    words = arguments.format(file=file).split()
    server = [] if "--server" in words else ["--server", analytics]
    assert await run("analyze", *words, *server) == code
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
