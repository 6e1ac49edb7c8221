"""A user's own picture, coded, shown as every view, and beside JPEG."""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.console.harness import console_in_thread, scene
from tests.fake_codec import picture
from ugicm_console.jpeg import jpeg_within


def file_of(pixels, file_format="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


def pixels_of(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    limits = {"max_upload_bytes": 20_000, "max_pixels": 10_000, "max_uploads_per_session": 2}
    with console_in_thread(tmp_path_factory.mktemp("uploads"), **limits) as (_, running):
        yield running


@pytest.fixture
def browser(system):
    with browsing(system) as client:
        yield client


@contextmanager
def browsing(system):
    with httpx.Client(base_url=system.url, timeout=30) as client:
        client.headers["X-CSRF-Token"] = client.get("/api/session").json()["csrf"]
        yield client


def test_an_upload_is_shown_as_original_as_every_view_and_as_jpeg(browser):
    pixels = picture(40, 60)
    sent = file_of(pixels)
    answer = browser.post("/api/uploads", content=sent)
    assert answer.status_code == 201, answer.text
    upload = answer.json()
    at = f"/api/uploads/{upload['id']}"
    assert (upload["height"], upload["width"], upload["original_bytes"]) == (40, 60, len(sent))
    np.testing.assert_array_equal(pixels_of(browser.get(f"{at}/original")), pixels)
    np.testing.assert_array_equal(pixels_of(browser.get(f"{at}/picture?view=0")), pixels)
    np.testing.assert_array_equal(pixels_of(browser.get(f"{at}/picture?view=1")), 255 - pixels)
    stream, jpeg = browser.get(f"{at}/stream").content, browser.get(f"{at}/jpeg").content
    assert len(stream) == upload["stream"]["num_bytes"]
    assert upload["stream"]["bits_per_pixel"] == pytest.approx(8 * len(stream) / 2400)
    assert upload["jpeg"]["fits"]
    assert len(jpeg) == upload["jpeg"]["num_bytes"] <= len(stream)
    assert pixels_of(browser.get(f"{at}/jpeg")).shape == (40, 60, 3)
    browser.delete(at)
    assert error_of(browser.get(f"{at}/original"), 404)["code"] == "not_found"


def test_findings_are_those_of_the_original_and_of_each_view(browser):
    upload = browser.post("/api/uploads", content=file_of(scene(2))).json()["id"]
    boxes = [
        browser.get(f"/api/uploads/{upload}/analysis?view={view}").json()["results"][0][
            "detections"
        ][0]["box"]
        for view in ("original", 0, 1)
    ]
    assert boxes == [[16, 8, 32, 24], [16, 8, 32, 24], [0, 0, 64, 48]]


def test_a_photo_taken_on_its_side_is_coded_upright(browser):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn clockwise shows it upright
    sent = file_of(picture(40, 60), exif=turned)
    upload = browser.post("/api/uploads", content=sent).json()
    assert (upload["height"], upload["width"]) == (60, 40)
    shown = pixels_of(browser.get(f"/api/uploads/{upload['id']}/picture?view=0"))
    np.testing.assert_array_equal(shown, np.rot90(picture(40, 60), -1))


def test_quality_and_bytes_reach_the_encoder(browser):
    sent = file_of(picture(40, 60))
    upload = browser.post("/api/uploads?quality=7", content=sent).json()
    assert upload["stream"]["quality_step"] == 7
    error = error_of(browser.post("/api/uploads?max_bytes=100", content=sent), 400)
    assert "the smallest has" in error["message"]


def test_a_session_keeps_its_newest_uploads_and_no_other_session_sees_them(system, browser):
    names = [
        browser.post("/api/uploads", content=file_of(scene(number))).json()["id"]
        for number in range(3)
    ]
    kept = [one["id"] for one in browser.get("/api/uploads").json()["uploads"]]
    assert kept == names[:0:-1]
    with browsing(system) as other:
        assert other.get("/api/uploads").json() == {"uploads": []}
        assert error_of(other.get(f"/api/uploads/{kept[0]}/original"), 404)["code"] == "not_found"
        assert error_of(other.delete(f"/api/uploads/{kept[0]}"), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"", 400, "an empty file"),
        (b"no picture at all", 400, "not a picture of a known kind"),
        (file_of(picture(40, 60))[:900], 400, "a damaged picture"),
        (file_of(picture(200, 51)), 413, "at most 20000 bytes are taken, got"),
        (file_of(np.zeros((101, 100, 3), np.uint8)), 400, "10000"),
        (bytes(100_000), 413, "at most 20000 bytes are taken, got 100000"),
    ],
    ids=["empty", "text", "cut off", "large", "many pixels", "huge"],
)
def test_what_cannot_be_taken_is_said_in_one_line(browser, caplog, sent, status, words):
    with caplog.at_level(logging.INFO):
        error = error_of(browser.post("/api/uploads", content=sent), status)
    assert words in error["message"]
    (line,) = [record for record in caplog.records if record.name != "httpx"]
    assert words in line.getMessage()
    assert line.exc_info is None


@pytest.mark.parametrize(
    "query", ["quality=101", "quality=x", "max_bytes=-1", "quality=1&max_bytes=9"]
)
def test_an_order_that_is_none_is_refused(browser, query):
    answer = browser.post(f"/api/uploads?{query}", content=file_of(scene()))
    assert error_of(answer, 400)["code"] == "invalid_argument"


@pytest.mark.parametrize("max_bytes", [1500, 3000, 6000])
def test_the_best_jpeg_fits_and_the_next_quality_does_not(max_bytes):
    smooth = np.clip(
        np.add.outer(np.arange(96), np.arange(128))[..., None] + picture(96, 128) // 8, 0, 255
    )
    pixels = smooth.astype(np.uint8)
    found = jpeg_within(pixels, max_bytes)
    assert found.fits
    assert len(found.data) <= max_bytes
    larger = file_of(pixels, "JPEG", quality=found.quality + 1, optimize=True, subsampling="4:2:0")
    assert len(larger) > max_bytes


def test_where_no_jpeg_is_small_enough_the_smallest_is_shown():
    found = jpeg_within(picture(40, 60), 10)
    assert (found.quality, found.fits) == (1, False)
    assert len(found.data) > 10
