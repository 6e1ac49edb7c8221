"""What names a camera, and that no password is shown by it."""

from pathlib import Path

import pytest

from ugicm_client.errors import BadAddress
from ugicm_client.live_address import NetworkCamera, Webcam, parse_source, read_password


def parse(text, password=None):
    return parse_source(text, lambda: password)


def test_a_source_is_a_path_a_webcam_or_an_address():
    assert parse("photos/") == Path("photos")
    assert parse("webcam:12") == Webcam(12)
    assert parse("rtsp://cam:8554/a?b=c") == NetworkCamera("rtsp://cam:8554/a?b=c")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("rtsp://me@cam/1", "rtsp://me:p%40%2F%3A%20x@cam/1"),
        ("http://cam/?usr=me&pwd={password}", "http://cam/?usr=me&pwd=p%40%2F%3A%20x"),
        ("rtsp://me:{password}@cam/", "rtsp://me:p%40%2F%3A%20x@cam/"),
    ],
)
def test_a_password_goes_to_its_place_and_into_no_text(text, url):
    camera = parse(text, "p@/: x")
    assert camera.url == url
    assert str(camera) == text
    assert "p@" not in repr(camera)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://me:hunter2@cam/stream",
        "rtsp://me:hunter2/x@cam/stream",
        "rtsp://me:hunter2#x@cam/stream",
        "http://cam/?user=me&password=hunter2",
        "http://cam/?token=hunter2",
        "http://cam/?loginpas=1&pwd=hunter2",
    ],
)
def test_a_password_in_an_argument_is_refused_and_not_repeated(text):
    with pytest.raises(BadAddress, match="--password-file or set UGICM_CAMERA_PASSWORD") as caught:
        parse(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "password", "message"),
    [
        ("webcam:front", None, "webcam:NUMBER, from 0 to 999, got 'webcam:front'"),
        ("ftp://cam/", None, "rtsp, rtsps, http, https, got 'ftp'"),
        ("rtsp:///stream", None, "names no host"),
        ("rtsp://cam/", "hunter2", "a password needs a user"),
        ("http://cam/?pwd={password}", None, "a place for a password, and there is none"),
    ],
)
def test_an_address_that_no_camera_can_have_is_refused(text, password, message):
    with pytest.raises(BadAddress) as caught:
        parse(text, password)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_goes_before_the_environment(tmp_path):
    file = tmp_path / "password"
    file.write_text("from file é\n", encoding="utf-8")
    assert read_password(file, "from environment") == "from file é"
    assert read_password(None, "from environment") == "from environment"


@pytest.mark.parametrize("data", [b"", b"\n", b"two\nlines\n", b"\xff\n"])
def test_a_file_without_a_password_is_refused(tmp_path, data):
    (tmp_path / "password").write_bytes(data)
    with pytest.raises(BadAddress, match="holds no password: it needs one line"):
        read_password(tmp_path / "password", None)
