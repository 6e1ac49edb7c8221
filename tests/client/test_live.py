"""Live cameras: what is newest is taken, what is lost comes back, and passwords stay unseen."""

import asyncio
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.client.cameras import END, Camera, http_camera, rtsp_camera
from tests.client.harness import flat
from tests.client.test_sources import write_video
from ugicm_client.errors import PictureTooLarge, SourceError
from ugicm_client.live import LiveCamera
from ugicm_client.live_address import NetworkCamera, Webcam
from ugicm_client.motion import MotionGate
from ugicm_client.sources import Skipped
from ugicm_codec import Limits
from ugicm_servicekit.backoff import Backoff


def opening(image):
    """Return as many pictures as FFmpeg looks at, at most, before it gives the first."""
    return [image] * 12


class Told:
    """What a live camera says of itself, and an event for each."""

    def __init__(self):
        self.troubles = []
        self.sizes = []

    def changed(self, trouble):
        self.troubles.append(trouble and str(trouble))

    def resized(self, before, after):
        self.sizes.append((before, after))


@asynccontextmanager
async def watching(address, told=None, skipped=None, **options):
    told = told or Told()
    camera = LiveCamera(
        address,
        skipped=skipped or Skipped(),
        changed=told.changed,
        resized=told.resized,
        backoff=Backoff(first_seconds=0.001, most_seconds=0.001),
        **options,
    )
    async with camera:
        yield camera


def level(frame):
    return round(float(frame.image.mean()), -1)


async def read_up_to(frames, wanted):
    """Read until a picture of a level comes, as a reader sees the newest only."""
    async for frame in frames:
        if level(frame) == wanted:
            return frame
    raise AssertionError("the camera ended")


@pytest.mark.parametrize("serve", [http_camera, rtsp_camera])
async def test_frames_come_from_a_camera_on_the_network(serve):
    with serve(Camera()) as camera:
        # One more, as the end of a picture of H.264 is seen by the next one.
        camera.show(*opening(flat(50, 48, 64)), *[flat(200, 48, 64)] * 2)
        async with watching(NetworkCamera(camera.address)) as live:
            frames = live.frames()
            frame = await read_up_to(frames, 200)
            assert frame.image.shape == (48, 64, 3)
            camera.show(*[flat(100, 48, 64)] * 2)
            await read_up_to(frames, 100)


@pytest.mark.parametrize("serve", [http_camera, rtsp_camera])
async def test_a_camera_lets_in_who_has_the_password_whatever_is_in_it(serve):
    password = "p:w/d@ 100%é#?"
    with serve(Camera(wanted=("me@home", password))) as camera:
        camera.show(*opening(flat(50, 48, 64)))
        address = camera.address.replace("://", "://me%40home@")
        async with watching(NetworkCamera(address, password)) as live:
            assert level(await anext(live.frames())) == 50


@pytest.mark.parametrize("serve", [http_camera, rtsp_camera])
async def test_a_wrong_password_is_told_and_not_shown(serve, capfd):
    with serve(Camera(wanted=("me", "right"))) as camera:
        address = camera.address.replace("://", "://me@")
        async with watching(NetworkCamera(address, "hunter2")) as live:
            with pytest.raises(SourceError, match=r"gives no video: .*401 Unauthorized") as caught:
                await anext(live.frames())
    assert "hunter2" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


async def test_what_was_not_taken_in_time_is_missed_and_the_newest_is_next():
    skipped = Skipped()
    with http_camera(Camera()) as camera:
        async with watching(NetworkCamera(camera.address), skipped=skipped) as live:
            frames = live.frames()
            camera.show(*opening(flat(10)), flat(30))
            await read_up_to(frames, 30)
            before = skipped.missed
            read = threading.Event()
            camera.show(*[flat(50)] * 4, flat(200), read)
            assert await asyncio.to_thread(read.wait, 30)
            await until(lambda: skipped.missed == before + 4)
            assert level(await anext(frames)) == 200
            assert skipped.unchanged == skipped.beyond_rate == 0


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in a thread
            await asyncio.sleep(0.001)


async def test_frames_beyond_the_rate_are_not_counted_as_missed():
    skipped = Skipped()
    with http_camera(Camera()) as camera:
        async with watching(NetworkCamera(camera.address), skipped=skipped) as live:
            frames = live.frames(fps=0.001)
            camera.show(*opening(flat(10)), flat(200))
            await until(lambda: skipped.missed == 12)
            await anext(frames)
            waiting = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0)
            camera.show(*[flat(50)] * 5)
            await until(lambda: skipped.beyond_rate == 4)
            assert skipped.missed == 12
            waiting.cancel()


async def test_only_what_moves_is_taken():
    skipped = Skipped()
    with http_camera(Camera()) as camera:
        async with watching(NetworkCamera(camera.address), skipped=skipped) as live:
            frames = live.frames(gate=MotionGate(share=0.5, key_seconds=1000))
            camera.show(*opening(flat(50)))
            assert level(await anext(frames)) == 50
            following = asyncio.ensure_future(anext(frames))
            camera.show(flat(52))
            await until(lambda: skipped.unchanged + skipped.missed == 12)
            assert skipped.unchanged
            camera.show(flat(200))
            assert level(await following) == 200


async def test_a_camera_that_ends_is_connected_to_again():
    told = Told()
    with http_camera(Camera()) as camera:
        camera.show(*opening(flat(10)), END)
        async with watching(NetworkCamera(camera.address), told) as live:
            frames = live.frames()
            assert level(await anext(frames)) == 10
            camera.show(*opening(flat(200)))
            await read_up_to(frames, 200)
    assert camera.num_connections == 2
    lost, back = told.troubles[:2]
    assert lost.startswith(camera.address)
    assert back is None


async def test_a_camera_that_falls_silent_counts_as_lost():
    told = Told()
    with http_camera(Camera()) as camera:
        camera.show(*opening(flat(10)))
        async with watching(NetworkCamera(camera.address), told, silence_seconds=1.0) as live:
            frames = live.frames()
            await anext(frames)
            await until(lambda: told.troubles)
            assert told.troubles[0] == f"{camera.address} gave nothing for 1 s"
            camera.show(END, *opening(flat(200)))
            await read_up_to(frames, 200)


async def test_a_picture_size_that_changes_is_told_and_taken():
    told = Told()
    with http_camera(Camera()) as camera:
        camera.show(*opening(flat(10, 48, 64)))
        async with watching(NetworkCamera(camera.address), told) as live:
            frames = live.frames()
            await anext(frames)
            camera.show(flat(200, 32, 40))
            assert (await read_up_to(frames, 200)).image.shape == (32, 40, 3)
    assert told.sizes == [((64, 48), (40, 32))]


async def test_a_picture_beyond_the_limits_ends_a_live_camera():
    with http_camera(Camera()) as camera:
        camera.show(*opening(flat(10, 48, 64)), flat(10, 480, 640))
        limits = Limits(max_pixels=10_000)
        async with watching(NetworkCamera(camera.address), limits=limits) as live:
            with pytest.raises(PictureTooLarge, match="at most 10000 pixels, got 640x480"):
                await read_up_to(live.frames(), 200)


async def test_a_coding_that_nobody_decodes_is_told():
    with rtsp_camera(Camera(), coding="X-UNKNOWN") as camera:
        camera.show(*opening(flat(50, 48, 64)), END)
        async with watching(NetworkCamera(camera.address)) as live:
            with pytest.raises(SourceError, match="there is no decoder for its video"):
                await anext(live.frames())


async def test_nobody_at_a_cameras_address_is_one_clear_error():
    async with watching(NetworkCamera("rtsp://127.0.0.1:1/")) as live:
        with pytest.raises(SourceError, match="gives no video: Connection refused"):
            await anext(live.frames())


async def test_a_camera_cannot_make_its_reader_open_files(tmp_path):
    with http_camera(Camera()) as camera:
        write_video(tmp_path / "v.ts", [flat(50, 48, 64)] * 9, codec="mpeg2video", pixels="yuv420p")
        camera.playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/v.ts\n#EXT-X-ENDLIST\n"
        async with watching(NetworkCamera(camera.address + ".m3u8")) as live:
            with pytest.raises(SourceError, match="gives no"):
                await anext(live.frames())


async def test_a_webcam_that_is_not_there_is_told_with_those_that_are(tmp_path, monkeypatch):
    monkeypatch.setattr("ugicm_client.live._DEVICES", tmp_path)
    for name in ("video0", "video10", "video2"):
        (tmp_path / name).touch()
    async with watching(Webcam(7)) as live:
        with pytest.raises(SourceError, match="video7; webcams here: 0, 2, 10"):
            await anext(live.frames())


async def test_a_device_that_is_no_webcam_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("ugicm_client.live._DEVICES", tmp_path)
    np.zeros(9).tofile(tmp_path / "video0")
    async with watching(Webcam(0)) as live:
        with pytest.raises(SourceError, match="webcam:0 gives no video: "):
            await anext(live.frames())
