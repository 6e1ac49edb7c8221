"""``ugicm analyze --annotate``: folders, sheets and videos, whole or not at all."""

import av
import numpy as np
import pytest
from PIL import Image

from tests.analytics.analyzers import Broken
from tests.analytics.harness import FixedDecoder, analyzing, decoding
from tests.client.harness import flat, run
from tests.fake_codec import FakeCodec
from ugicm_analyzers.protocol import AnalyzerInfo, Box, Detection, Findings, Task
from ugicm_servicekit.wire import FrameKey

HEIGHT, WIDTH = 360, 481
STREAM = FakeCodec().encode(flat(1))


class Corner:
    """Finds a car in the upper left quarter of every picture that is not black."""

    info = AnalyzerInfo(name="corner", task=Task.DETECT, version="1", labels=("car",))

    def load(self):
        pass

    def analyze(self, pictures, labels):
        return [Findings(detections=self.cars(picture)) for picture in pictures]

    def cars(self, picture):
        height, width = picture.shape[:2]
        car = Detection("car", 0.9, Box(40, 40, width / 2, height / 2))
        return (car,) if picture.any() else ()


@pytest.fixture
async def servers(tmp_path):
    """Analytics over a decoder with one frame; yields the options that name both."""
    analyzers = {"corner": Corner(), "broken": Broken()}
    pictures = {7: flat(200, HEIGHT, WIDTH), STREAM: flat(100, HEIGHT, WIDTH)}
    port_file = tmp_path / "port"
    async with (
        decoding(FixedDecoder(pictures)) as decoder,
        analyzing(analyzers, decoder=decoder, port_file=port_file),
    ):
        server = f"127.0.0.1:{port_file.read_text().strip()}"
        yield ("--server", server, "--decoder", decoder, "--analyzer", "corner")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for level in (60, 120, 180):
        Image.fromarray(flat(level, HEIGHT, WIDTH)).save(folder / f"{level}.png")
    return folder


def read(path):
    return np.asarray(Image.open(path))


async def test_a_folder_gets_one_picture_for_each(servers, photos, tmp_path):
    out = tmp_path / "out" / "found"
    assert await run("analyze", photos, "--annotate", out, *servers) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["120.annotated.png", "180.annotated.png", "60.annotated.png"]
    image = read(out / "120.annotated.png")
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image[300, 300].tolist() == [120] * 3
    assert image[100, 40].tolist() != [120] * 3


async def test_streams_and_frames_are_drawn_in_the_human_view(servers, tmp_path):
    (tmp_path / "coded.ugi").write_bytes(STREAM)
    out = tmp_path / "found"
    inputs = (tmp_path / "coded.ugi", FrameKey("gate", 1, 7))
    assert await run("analyze", *inputs, "--annotate", out, *servers) == 0
    # The decoder of these tests shows black to people; the car was found in the machine view.
    for name in ("coded.annotated.png", "gate-1-000007.annotated.png"):
        image = read(out / name)
        assert image[300, 300].tolist() == [0] * 3
        assert image[100, 40].tolist() != [0] * 3


async def test_one_picture_is_drawn_at_its_own_size(servers, photos, tmp_path):
    out = tmp_path / "one.png"
    assert await run("analyze", photos / "60.png", "--annotate", out, *servers) == 0
    assert read(out).shape == (HEIGHT, WIDTH, 3)


async def test_several_pictures_are_on_one_sheet(servers, photos, tmp_path):
    out = tmp_path / "sheet.jpg"
    assert await run("analyze", photos, "--annotate", out, *servers) == 0
    sheet = read(out).astype(int)
    # The middles of three pictures of 340 pixels beside each other.
    middles = [sheet[94 + 200, 28 + 354 * column + 250].mean() for column in range(3)]
    assert middles == pytest.approx([120, 180, 60], abs=3)


async def test_a_video_has_every_picture_in_order_fitted_to_the_first(servers, photos, tmp_path):
    Image.fromarray(flat(240, 2 * HEIGHT, WIDTH)).save(photos / "90.png")
    out = tmp_path / "street.mp4"
    assert await run("analyze", photos, "--annotate", out, "--annotate-fps", 4, *servers) == 0
    with av.open(str(out)) as container:
        assert container.streams.video[0].average_rate == 4
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert {frame.shape for frame in frames} == {(HEIGHT, WIDTH + 1, 3)}
    middles = [frame[300, 240].mean() for frame in frames]
    assert middles == pytest.approx([120, 180, 60, 240], abs=4)
    assert frames[3][180, 20].mean() < 10  # black beside the picture that is too high


@pytest.mark.parametrize("name", ["found/", "sheet.png", "street.mkv"])
async def test_what_is_there_is_kept_unless_told_otherwise(servers, photos, tmp_path, capsys, name):
    arguments = ("analyze", photos, "--annotate", tmp_path / name, *servers)
    assert await run(*arguments) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert await run(*arguments) == 1
    out, err = capsys.readouterr()
    assert "; --force replaces" in err
    assert (out, err.count("\n")) == ("", 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert await run(*arguments, "--force") == 0


@pytest.mark.parametrize("name", ["sheet.png", "street.mp4"])
async def test_nothing_is_written_where_there_is_nothing_to_draw(
    servers, photos, tmp_path, capsys, name
):
    for path in photos.iterdir():
        path.write_bytes(b"bad")
    before = sorted(tmp_path.rglob("*"))
    assert await run("analyze", photos, "--annotate", tmp_path / name, *servers) == 1
    assert capsys.readouterr().err.endswith(f"{name} is not written: there is no picture to draw\n")
    assert sorted(tmp_path.rglob("*")) == before


async def test_a_bad_picture_is_told_and_the_others_are_drawn(servers, photos, tmp_path, capsys):
    (photos / "120.png").write_bytes(b"bad")
    out = tmp_path / "street.mp4"
    assert await run("analyze", photos, "--annotate", out, *servers) == 1
    assert "120.png: not a picture" in capsys.readouterr().err
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) == 2


async def test_pictures_are_drawn_also_where_one_analyzer_fails(servers, photos, tmp_path, capsys):
    arguments = ("analyze", photos, "--annotate", tmp_path / "found", *servers)
    assert await run(*arguments, "--analyzer", "broken") == 1
    assert capsys.readouterr().err.count("broken: ") == 3
    assert len(list((tmp_path / "found").iterdir())) == 3


async def test_two_pictures_of_one_name_are_refused(servers, photos, tmp_path, capsys):
    Image.fromarray(flat(1)).save(photos / "60.jpg")
    assert await run("analyze", photos, "--annotate", tmp_path / "found", *servers) == 2
    assert "would both become" in capsys.readouterr().err


async def test_a_sheet_has_room_for_so_many(servers, tmp_path, capsys):
    inputs = [f"gate/1/{number}" for number in range(401)]
    arguments = ("analyze", *inputs, "--annotate", tmp_path / "sheet.png", *servers)
    assert await run(*arguments) == 1
    assert "has room for 400 pictures, got 401; name a folder" in capsys.readouterr().err
