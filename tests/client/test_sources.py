"""Folders and videos as cameras see them."""

import time
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest
from PIL import Image

from ugicm_client.errors import PictureTooLarge, SourceError, UnreadablePicture
from ugicm_client.sources import SourceFrame, count_frames, paced, read_endlessly, read_source
from ugicm_codec import Limits

# Every picture of one level, in order.
LEVELS = [0, 60, 120, 180, 240]


def write_video(path, images, *, fps=10, codec="ffv1", pixels="bgr0"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def flat(level, height=16, width=32):
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def video(tmp_path):
    write_video(tmp_path / "street.mkv", [flat(level) for level in LEVELS])
    return tmp_path / "street.mkv"


@pytest.fixture
def folder(tmp_path):
    for level in LEVELS:
        Image.fromarray(flat(level)).save(tmp_path / f"{level:03d}.png")
    (tmp_path / "notes.txt").touch()
    return tmp_path


def levels(frames):
    return [int(frame.image[0, 0, 0]) for frame in frames]


def test_a_folder_gives_its_pictures_by_name(folder):
    frames = list(read_source(folder))
    assert levels(frames) == LEVELS
    assert frames[1].name == "060.png"
    assert count_frames(folder) == len(LEVELS)


def test_a_video_gives_its_frames_with_their_exact_pixels(video):
    frames = list(read_source(video))
    assert levels(frames) == LEVELS
    assert frames[1].name == "street-000001"
    assert all(frame.image.flags.c_contiguous for frame in frames)


def test_a_video_gives_frames_at_a_rate_of_its_own_time(video):
    assert levels(read_source(video, fps=5)) == LEVELS[::2]


@pytest.mark.parametrize("at", range(len(LEVELS)))
def test_reading_goes_on_behind_a_frame_that_is_named(folder, video, at):
    for source in (folder, video):
        first = list(read_source(source))[at]
        assert levels(read_source(source, after=first.name)) == LEVELS[at + 1 :]
        endless = levels(islice(read_endlessly(source, after=first.name), 6))
        assert endless == [*LEVELS[at + 1 :], *LEVELS, *LEVELS][:6]


def test_a_rate_counts_from_the_beginning_also_behind_a_frame_that_is_named(video):
    second = list(read_source(video, fps=5))[1]
    assert levels(read_source(video, fps=5, after=second.name)) == LEVELS[4:]


def test_a_rate_above_the_videos_gives_every_frame_once(video):
    assert levels(read_source(video, fps=1000)) == LEVELS


def test_a_rate_may_be_no_divisor_of_the_videos(tmp_path):
    write_video(tmp_path / "v.mkv", [flat(level) for level in range(30)], fps=30)
    assert len(list(read_source(tmp_path / "v.mkv", fps=float(Fraction(20))))) == 20


def test_a_video_that_a_phone_recorded_upright_is_turned_upright(tmp_path):
    path = tmp_path / "phone.mp4"
    sideways = flat(0, 16, 32)
    sideways[:, 16:] = 255
    write_video(path, [sideways], codec="mpeg4", pixels="yuv420p")
    # The matrix in the track's header: a quarter turn clockwise.
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    numbers = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")
    data[matrix : matrix + 36] = numbers.tobytes()
    path.write_bytes(data)

    (frame,) = read_source(path)
    assert frame.image.shape == (32, 16, 3)
    assert frame.image[:12].mean() < 30
    assert frame.image[20:].mean() > 225


def test_frames_beyond_the_limits_are_refused(video):
    with pytest.raises(PictureTooLarge, match="32x16"):
        list(read_source(video, limits=Limits(max_pixels=500)))


def test_an_unreadable_picture_is_passed_over_if_somebody_is_told(folder):
    (folder / "100.png").write_bytes(b"bad")
    told = []
    assert levels(read_source(folder, on_bad_picture=told.append)) == LEVELS
    assert [str(folder / "100.png") in str(error) for error in told] == [True]


def test_an_unreadable_picture_ends_the_frames_if_nobody_is_told(folder):
    (folder / "100.png").write_bytes(b"bad")
    with pytest.raises(UnreadablePicture, match=r"100\.png"):
        list(read_source(folder))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no pictures"):
        list(read_source(tmp_path))


def test_a_missing_source_is_an_ordinary_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(read_source(tmp_path / "absent.mp4"))


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "notes.mp4").write_text("notes")
    with pytest.raises(SourceError, match=r"notes\.mp4 is not a video"):
        list(read_source(tmp_path / "notes.mp4"))
    assert count_frames(tmp_path / "notes.mp4") is None


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(SourceError, match="has no video"):
        list(read_source(path))


def test_an_endless_source_begins_again(folder):
    assert levels(islice(read_endlessly(folder), 12)) == [*LEVELS, *LEVELS, 0, 60]


def test_an_endless_source_ends_when_nothing_can_be_read(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(SourceError, match="nothing in"):
        list(read_endlessly(tmp_path, on_bad_picture=lambda error: None))


async def test_pacing_keeps_the_rate_and_the_frames():
    frames = [SourceFrame(str(index), flat(index)) for index in range(4)]
    began = time.monotonic()
    assert [frame async for frame in paced(iter(frames), fps=50)] == frames
    assert time.monotonic() - began >= 3 / 50


async def test_without_a_rate_frames_come_as_they_are_read():
    frames = [SourceFrame(str(index), flat(index)) for index in range(4)]
    assert [frame async for frame in paced(iter(frames), fps=None)] == frames
