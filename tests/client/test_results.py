"""``ugicm results``, and the pipeline's client, against an analytics service that keeps results."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, redirect_stdout
from io import BytesIO, StringIO

import numpy as np
import pytest
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import RecordingDecoder, analyzing, decoding
from tests.client.harness import run
from ugicm_analyzers.protocol import AnalyzerInfo, Box, Detection, Findings, Mask, Segment, Task
from ugicm_client.errors import ServiceError
from ugicm_client.exports import CocoExport
from ugicm_client.pipeline import PipelineClient, ResultFilter

HEIGHT, WIDTH = 4, 6


class Things:
    """Finds a box, a masked box and an area, in the same place of every picture."""

    info = AnalyzerInfo(name="things", task=Task.DETECT, version="1", labels=("cat", "dog", "sky"))

    def load(self):
        pass

    def analyze(self, pictures, labels):
        return [
            Findings(
                detections=(
                    Detection("dog", 0.75, Box(1.0, 0.0, 2.5, 3.0)),
                    # The second column, and half of the third.
                    Detection("cat", 0.5, Box(1.0, 0.0, 3.0, 4.0), Mask((4, 6, 14))),
                ),
                segments=(Segment("sky", Mask((0, 4, 20))),),
            )
            for _ in pictures
        ]


@pytest.fixture
def decoder():
    return RecordingDecoder(
        {sequence: np.full((HEIGHT, WIDTH, 3), 51, np.uint8) for sequence in range(5)}
    )


@pytest.fixture
async def analytics(tmp_path, decoder):
    """Analytics that has watched two cameras, and missed a frame and a gap; yields its address."""
    port_file = tmp_path / "port"
    analyzers = {one.info.name: one for one in (Brightness(), Things())}
    del decoder.pictures[4]
    async with (
        decoding(decoder) as address,
        analyzing(
            analyzers,
            decoder=address,
            results=tmp_path / "results.sqlite",
            port_file=port_file,
            watch=("*",),
        ),
    ):
        where = f"127.0.0.1:{port_file.read_text().strip()}"
        for camera in ("gate", "yard"):
            for sequence in range(3):
                decoder.store(sequence, camera)
        decoder.store(4)
        decoder.store_gap(7, 9)
        async with PipelineClient(where) as client:
            while (
                len([one async for one in client.missed()]) < 4
                or sum([len(one.results) async for one in client.results(ResultFilter())]) < 12
            ):
                pass
        yield where


async def test_results_are_listed_as_text(analytics, capsysbinary):
    arguments = ("results", "gate", "--analyzer", "things", "--newest", "1", "--server", analytics)
    assert await run(*arguments) == 0
    assert capsysbinary.readouterr().out.decode().splitlines() == [
        "gate/1/2 2023-11-14T22:13:20.000000007Z: " + words
        for words in (
            "dog 0.75 at (1, 0) to (2, 3), things",
            "cat 0.50 at (1, 0) to (3, 4), things",
            "sky segmented, things",
        )
    ]


async def test_frames_without_results_are_listed_with_the_reason(analytics, capsysbinary):
    assert await run("results", "--missed", "--server", analytics) == 0
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert sum(line.startswith("gate/1/4: ") for line in lines) == 2
    assert sorted(line for line in lines if "gate/1/7" in line) == [
        "gate/1/7 to 9: retention, brightness",
        "gate/1/7 to 9: retention, things",
    ]


async def test_json_lines_hold_every_picture_once_and_are_written_whole(analytics, tmp_path):
    path = tmp_path / "results.jsonl"
    arguments = ("results", "--format", "jsonl", "-o", str(path), "--server", analytics)
    assert await run(*arguments) == 0
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(one["key"] for one in records) == [
        f"{camera}/1/{sequence}" for camera in ("gate", "yard") for sequence in range(3)
    ]
    assert {tuple(result["analyzer"] for result in one["results"]) for one in records} == {
        ("brightness", "things")
    }
    before = path.read_bytes()
    assert await run(*arguments) == 1  # it exists
    assert path.read_bytes() == before
    assert await run(*arguments, "--force", "--label", "dog") == 0
    assert len(path.read_text().splitlines()) == 6
    assert not list(tmp_path.glob(".ugicm-*"))


async def test_json_lines_go_to_standard_output(analytics, capsysbinary):
    arguments = ("results", "yard", "--format", "jsonl", "-o", "-", "--server", analytics)
    assert await run(*arguments) == 0
    lines = capsysbinary.readouterr().out.splitlines()
    assert {json.loads(line)["key"] for line in lines} == {f"yard/1/{n}" for n in range(3)}


async def test_coco_results_load_in_pycocotools_with_the_boxes_and_masks_found(
    analytics, tmp_path, capsys
):
    path, index = tmp_path / "coco.json", tmp_path / "images.json"
    arguments = ("results", "gate", "--format", "coco", "-o", str(path), "--index", str(index))
    assert await run(*arguments, "--server", analytics) == 0
    assert "left out 3 classifications" in capsys.readouterr().err
    with redirect_stdout(StringIO()):
        dataset = COCO(str(index))
        loaded = dataset.loadRes(str(path))
    assert sorted(image["file_name"] for image in dataset.imgs.values()) == [
        f"gate/1/{sequence}" for sequence in range(3)
    ]
    names = {number: one["name"] for number, one in dataset.cats.items()}
    for image in dataset.imgs:
        found = {names[one["category_id"]]: one for one in loaded.imgToAnns[image]}
        assert set(found) == {"cat", "dog", "sky"}
        assert (found["dog"]["bbox"], found["dog"]["score"]) == ([1.0, 0.0, 1.5, 3.0], 0.75)
        assert found["sky"]["bbox"] == [0, 0, 1, 4]
        mask = coco_masks.decode(found["cat"]["segmentation"])
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[:, 1] = expected[:2, 2] = 1
        np.testing.assert_array_equal(mask, expected)


def test_an_export_of_nothing_is_an_empty_list():
    file = BytesIO()
    export = CocoExport(file)
    export.finish()
    assert json.loads(file.getvalue()) == []
    assert export.index() == {"images": [], "categories": [], "annotations": []}


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ("--since yesterday", 2, "a time is written as"),
        ("--view 2", 2, "view"),
        ("--format coco -o x.json", 2, "--index"),
        ("--index x.json", 2, "--format coco"),
        ("--missed --format jsonl", 2, "--missed"),
        ("'no camera'", 1, "a camera's name"),
        ("--server 127.0.0.1:1", 1, "cannot reach the analytics"),
    ],
)
async def test_what_is_wrong_is_one_line(analytics, words, code, complaint, capsys):
    arguments = [word.strip("'") for word in words.split(maxsplit=0 if "'" in words else -1)]
    server = [] if "--server" in words else ["--server", analytics]
    assert await run("results", *arguments, *server) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


async def test_a_watch_goes_on_behind_the_cursor_it_is_given(analytics, decoder):
    @asynccontextmanager
    async def watching(*arguments, **options):
        async with PipelineClient(analytics) as client:
            watch = client.watch(*arguments, analyzers=["things"], **options)
            try:
                yield watch
            finally:
                await watch.aclose()

    async with watching(b"store:1", cameras=["gate"]) as watch:
        second = await anext(watch)
        assert second.analysis.key.sequence == 1
        assert len(second.analysis.results[0].detections) == 2
    async with watching(second.cursor, cameras=["gate"], minimum_score=0.6) as watch:
        third = await anext(watch)
        assert third.analysis.key.sequence == 2
        assert [one.label for one in third.analysis.results[0].detections] == ["dog"]
    async with watching() as watch:
        coming = asyncio.ensure_future(anext(watch))
        begun = len(decoder.watches)
        async with PipelineClient(analytics) as client:
            while len(decoder.watches) == begun:
                await client.analyzers()
        decoder.store(3, "yard")
        assert (await coming).analysis.key.sequence == 3
    async with watching(b"elsewhere:1") as watch:
        with pytest.raises(ServiceError, match="of another store"):
            await anext(watch)
