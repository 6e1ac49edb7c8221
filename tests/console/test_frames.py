"""What the console answers of cameras, frames and findings is what the services have."""

from __future__ import annotations

import io
import logging

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.console.harness import START_SECONDS, Running, console_in_thread, scene
from tests.fake_codec import FakeCodec

FRAME = "/api/frames/gate/1/2"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A system with four frames of one camera and one of another; tests only read."""
    with console_in_thread(tmp_path_factory.mktemp("console")) as (call, running):
        for number in range(4):
            call(running.ingest("gate", scene(number), number, seconds=number))
        call(running.ingest("yard", scene(9), 7, epoch=2**64 - 1, seconds=0.25))
        call(running.until_ready())
        yield running


@pytest.fixture
def browser(system):
    with httpx.Client(base_url=system.url, timeout=30) as client:
        client.get("/api/session")
        yield client


def pixels_of(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_cameras_are_listed_with_their_newest_frames(browser):
    gate, yard = browser.get("/api/cameras").json()["cameras"]
    assert gate["newest"] == {"camera": "gate", "epoch": "1", "sequence": "3"}
    assert (gate["name"], gate["num_frames"], gate["oldest_time"]) == ("gate", 4, START_SECONDS)
    # JavaScript's numbers would make another epoch of it.
    assert yard["newest"]["epoch"] == "18446744073709551615"


def test_frames_of_a_time_are_those_from_its_start_to_before_its_end(browser):
    query = {"start": START_SECONDS + 1, "end": START_SECONDS + 3}
    frames = browser.get("/api/cameras/gate/frames", params=query).json()["frames"]
    assert [frame["key"]["sequence"] for frame in frames] == ["1", "2"]
    stream = FakeCodec().encode(scene(1))
    assert frames[0]["num_bytes"] == len(stream)
    assert frames[0]["bits_per_pixel"] == pytest.approx(8 * len(stream) / (48 * 64))


def test_a_time_that_was_told_finds_its_frame_again(browser):
    (told,) = browser.get("/api/cameras/yard/frames").json()["frames"]
    query = {"start": told["capture_time"], "page_size": 1}
    assert browser.get("/api/cameras/yard/frames", params=query).json()["frames"] == [told]


def test_pages_follow_each_other(browser):
    query = {"newest_first": "true", "page_size": 3}
    first = browser.get("/api/cameras/gate/frames", params=query).json()
    query["page_token"] = first["next_page_token"]
    second = browser.get("/api/cameras/gate/frames", params=query).json()
    sequences = [frame["key"]["sequence"] for frame in first["frames"] + second["frames"]]
    assert sequences == ["3", "2", "1", "0"]
    assert second["next_page_token"] == ""


@pytest.mark.parametrize("file_format", ["png", "webp"])
@pytest.mark.parametrize("view", [0, 0.25, 1])
def test_a_view_is_the_decoders_to_the_pixel(browser, view, file_format):
    answer = browser.get(f"{FRAME}/picture", params={"view": view, "format": file_format})
    np.testing.assert_array_equal(pixels_of(answer), scene(2) ^ np.uint8(round(255 * view)))
    assert answer.headers["content-type"] == f"image/{file_format}"


def test_another_view_of_the_same_frame_needs_no_entropy_decoding(system, browser):
    browser.get(f"{FRAME}/picture?view=0")
    before = system.codec.calls.copy()
    for percent in range(30, 40):
        answer = browser.get(f"{FRAME}/picture?view=0.{percent}&format=jpeg&quality=80")
        assert answer.headers["ugicm-latents"] == "cached"
        assert "latents;dur=0.0" in answer.headers["server-timing"]
    assert system.codec.calls["synthesise"] == before["synthesise"] + 10
    assert system.codec.calls["decode_latents"] == before["decode_latents"]


def test_a_picture_and_a_stream_are_saved_by_names_that_say_what_they_are(browser):
    picture = browser.get(f"{FRAME}/picture?view=0.5&format=jpeg&download=true")
    stream = browser.get(f"{FRAME}/stream")
    names = [answer.headers["content-disposition"] for answer in (picture, stream)]
    assert names == [
        'attachment; filename="gate-1-2-view-0.5.jpeg"',
        'attachment; filename="gate-1-2.ugi"',
    ]
    assert stream.content == FakeCodec().encode(scene(2))


def test_findings_are_those_of_the_view(browser):
    human = browser.get(f"{FRAME}/analysis?view=0").json()
    (result,) = human["results"]
    (found,) = result["detections"]
    assert (found["label"], found["box"]) == ("bright", [16, 8, 32, 24])
    runs = found["mask"]["runs"]
    assert (sum(runs), sum(runs[1::2])) == (48 * 64, 16 * 16)
    machine = browser.get(f"{FRAME}/analysis?view=1").json()
    (found,) = machine["results"][0]["detections"]
    assert (machine["view"], found["box"]) == (1, [0, 0, 64, 48])


def test_a_search_finds_the_frame_that_was_analyzed(browser):
    browser.get("/api/frames/gate/1/3/analysis?view=0")
    query = {"label": "bright", "camera": "gate", "minimum_score": 0.9, "view": 0}
    keys = [found["key"] for found in browser.get("/api/results", params=query).json()["results"]]
    assert {"camera": "gate", "epoch": "1", "sequence": "3"} in keys
    query["minimum_score"] = 0.99
    assert browser.get("/api/results", params=query).json()["results"] == []


def test_analyzers_are_listed(browser):
    (analyzer,) = browser.get("/api/analyzers").json()["analyzers"]
    assert (analyzer["name"], analyzer["task"], analyzer["labels"]) == (
        "bright",
        "detect",
        ["bright"],
    )


def test_the_systems_state_names_every_service_and_its_models(browser):
    services = {one["name"]: one for one in browser.get("/api/status").json()["services"]}
    assert {name: one["state"] for name, one in services.items()} == dict.fromkeys(
        ("decoder", "encoder", "analytics", "console"), "ready"
    )
    assert services["decoder"]["models"][0]["name"] == "fake"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/frames/gate/1/99", "the decoder has no frame gate/1/99"),
        ("/api/frames/gate/1/99/picture?view=0", "gate/1/99"),
        ("/api/frames/gate/1/99/stream", "gate/1/99"),
        ("/api/frames/gate/1/99/analysis?view=0", "gate/1/99"),
        ("/api/uploads/none/original", "no such upload"),
        ("/api/none", "nothing at '/api/none'"),
        ("/static/none.js", "nothing at '/static/none.js'"),
        ("/static/..%2f..%2fmain.py", "nothing at"),
    ],
)
def test_what_is_not_there_is_not_found(browser, path, words):
    error = error_of(browser.get(path), 404)
    assert error["code"] == "not_found"
    assert words in error["message"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{FRAME}/picture", "view is missing"),
        (f"{FRAME}/picture?view=2", "a view is a number from 0 to 1"),
        (f"{FRAME}/picture?view=nan", "view is a number, got 'nan'"),
        (f"{FRAME}/picture?view=0&format=gif", "format is one of png, jpeg, webp, got 'gif'"),
        (f"{FRAME}/picture?view=0&quality=101", "quality is a whole number from 0 to 100"),
        (f"{FRAME}/picture?view=0&download=1", "download is true or false, got '1'"),
        ("/api/frames/ga te/1/2", "a camera's name has 1 to 128 characters"),
        ("/api/events?camera=<script>", "a camera's name has 1 to 128 characters"),
        ("/api/frames/gate/-1/2", "an epoch is a whole number"),
        (f"/api/frames/gate/1/{2**64}", "a sequence is a whole number"),
        ("/api/cameras/gate/frames?start=1e30", "the years 1678 to 2261"),
        ("/api/cameras/gate/frames?page_size=1001", "page_size is a whole number from 0 to 1000"),
        ("/api/cameras/gate/frames?page_token=nonsense", "token"),
        ("/api/results?minimum_score=2", "score"),
        (f"{FRAME}/analysis?view=0&analyzer=none", "none"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(browser, path, words):
    error = error_of(browser.get(path), 400)
    assert error["code"] == "invalid_argument"
    assert words in error["message"]
    assert "\n" not in error["message"]


async def test_what_goes_wrong_is_one_line_in_the_log(tmp_path, caplog):
    async with Running(tmp_path) as running, running.browser() as browser:
        await running.ingest("gate", scene())
        with caplog.at_level(logging.INFO):
            unknown = await browser.get("/api/frames/gate/1/99/picture?view=0")
            await running.stop("decoder")
            unreachable = await browser.get("/api/frames/gate/1/0/picture?view=0")
    answers = (unknown, unreachable)
    assert [answer.status_code for answer in answers] == [404, 503]
    ours = [one for one in caplog.records if one.getMessage().startswith("GET /api/")]
    for line, answer in zip(ours, answers, strict=True):
        assert answer.json()["error"]["message"] in line.getMessage()
        assert line.exc_info is None


def test_a_method_that_nothing_takes_is_refused(browser):
    assert error_of(browser.put("/api/cameras"), 405)["code"] == "method_not_allowed"
