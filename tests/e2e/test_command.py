"""The command as a process, beside real services: the same bytes and pixels everywhere."""

import io
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ugicm_client.camera import CameraClient
from ugicm_client.demo.processes import started
from ugicm_client.operator import OperatorClient
from ugicm_client.pictures import picture_bytes
from ugicm_codec import Codec
from ugicm_servicekit.wire import key_from_wire

pytestmark = pytest.mark.slow

UGICM = (sys.executable, "-m", "ugicm_client")


@pytest.fixture(scope="module")
def codec():
    return Codec.load()


@pytest.fixture(scope="module")
def image():
    row, column = np.mgrid[0:75, 0:110]
    channels = [row * 2, column * 2, (row * column) % 256]
    return np.dstack(channels).astype(np.uint8)


def ugicm(*arguments, data=None, code=0):
    done = subprocess.run([*UGICM, *map(str, arguments)], input=data, capture_output=True)
    assert done.returncode == code, done.stderr.decode()
    return done


def test_standard_streams_carry_the_codecs_bytes_and_pixels(codec, image):
    stream = ugicm("encode", "-", "-q", 40, data=picture_bytes(image, "png")).stdout
    assert stream == codec.encode(image, 40)
    picture = ugicm("decode", "-", "--view", "machine", data=stream).stdout
    decoded = np.array(Image.open(io.BytesIO(picture)))
    np.testing.assert_array_equal(decoded, codec.decode(stream, "machine"))


async def test_command_service_and_library_agree_on_bytes_and_pixels(codec, image, tmp_path):
    async def one():
        yield image

    store = str(tmp_path / "frames.sqlite")
    async with started("decoder", ["--store", store], log=tmp_path / "decoder.log") as decoder:
        arguments = ["--upstream", decoder.address]
        async with started("encoder", arguments, log=tmp_path / "encoder.log") as encoder:
            await decoder.until_serving()
            await encoder.until_serving()
            async with CameraClient(encoder.address) as camera:
                sent = [frame async for frame in camera.stream(one(), camera="door", quality=60)]
            stream = sent[0].outcome.stream
            async with OperatorClient(decoder.address) as operator:
                assert [key_from_wire(f.key) async for f in operator.frames("door")] == [
                    sent[0].key
                ]
                assert await operator.stream(sent[0].key) == stream
                decoded = await operator.decode(sent[0].key, [0.0, 0.3, 1.0])

    assert stream == codec.encode(image, 60)
    expected = codec.decode_views(stream, [0.0, 0.3, 1.0])
    np.testing.assert_array_equal(decoded.images, expected)
    (tmp_path / "x.ugi").write_bytes(stream)
    views = [f"--view={view}" for view in ("human", "0.3", "machine")]
    ugicm("decode", tmp_path / "x.ugi", *views)
    saved = [tmp_path / f"x.{name}.png" for name in ("human", "view-0.3", "machine")]
    np.testing.assert_array_equal([np.array(Image.open(path)) for path in saved], expected)


def test_a_damaged_stream_is_one_line_and_no_picture(codec, image):
    stream = bytearray(codec.encode(image))
    stream[len(stream) // 2] ^= 1
    done = ugicm("decode", "-", data=bytes(stream), code=1)
    assert done.stdout == b""
    assert done.stderr.startswith(b"ugicm: -: ")
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_leaves_is_no_error(codec, image, tmp_path):
    for index in range(20):
        (tmp_path / f"{index}.ugi").write_bytes(codec.encode(image, 0))
    command = subprocess.Popen(
        [*UGICM, "inspect", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    command.stdout.close()
    with command.stderr:
        assert command.stderr.read() == b""
    assert command.wait() == 1


@pytest.mark.parametrize("service", ["encoder", "decoder", "analytics"])
def test_a_port_that_is_taken_is_one_line(service, tmp_path):
    store = ["--store", tmp_path / "frames.sqlite"] if service == "decoder" else []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = ugicm("serve", service, "--port", port, *store, code=1)
    lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("2")]
    assert len(lines) == 1
    assert str(port) in lines[0]


@pytest.mark.parametrize("service", ["encoder", "decoder"])
def test_a_model_that_is_missing_is_one_line(service, tmp_path):
    arguments = ["--models", "nonesuch", "--port", 0]
    store = ["--store", tmp_path / "frames.sqlite"] if service == "decoder" else []
    done = ugicm("serve", service, *arguments, *store, code=2)
    assert "nonesuch" in done.stderr.decode().splitlines()[-1]
    assert b"Traceback" not in done.stderr


def test_a_wrong_flag_of_a_service_is_bad_usage():
    done = ugicm("serve", "encoder", "--qality", "3", code=2)
    assert done.stderr == b"encoder: --qality is not a setting; did you mean --quality?\n"


def test_bundled_models_are_listed(codec):
    out = ugicm("models").stdout.decode()
    assert "default: bmshj2018" in out
    assert codec.model.sha256 in out
    assert codec.model.latents_id.hex() in out
