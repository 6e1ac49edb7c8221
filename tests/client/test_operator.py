"""The operator's client and ``ugicm view``, against a real decoder with frames in its store."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.analytics.harness import FixedDecoder
from tests.analytics.harness import decoding as fixed_decoding
from tests.client.harness import flat, run
from tests.decoder.harness import decoding, frame
from tests.fake_codec import FakeCodec, FakeModel
from ugicm.v1 import decoder_pb2, decoder_pb2_grpc
from ugicm_client.errors import ServiceError, ServiceRefused, ServiceUnavailable
from ugicm_client.operator import OperatorClient
from ugicm_client.wire import parse_key
from ugicm_codec import Limits
from ugicm_codec.errors import BadView, ImageTooLarge
from ugicm_servicekit.wire import FrameKey

DOOR = [FrameKey("door", 1, sequence) for sequence in range(4)]


@pytest.fixture
async def decoder(tmp_path):
    """A decoder with four frames of a door and one of a gate; yields its address."""
    codec = FakeCodec()
    frames = [frame(codec.encode(flat(10 * k)), "door", k, seconds=1000 + k) for k in range(4)]
    foreign = FakeCodec(FakeModel(latents_id=b"another!")).encode(flat(1))
    async with decoding(tmp_path, codec) as running:
        answers = await running.ingest(*frames, frame(foreign, "gate", 0))
        assert len(answers) == 5
        yield f"127.0.0.1:{running.port}"


@pytest.fixture
async def client(decoder):
    async with OperatorClient(decoder) as operator:
        yield operator


async def sequences(frames):
    return [found.key.sequence async for found in frames]


async def test_cameras_are_listed(client):
    found = {camera.name: camera.num_frames async for camera in client.cameras()}
    assert found == {"door": 4, "gate": 1}


async def test_frames_are_listed_from_the_first_or_from_the_newest(client):
    assert await sequences(client.frames("door")) == [0, 1, 2, 3]
    assert await sequences(client.frames("door", newest=2)) == [3, 2]
    assert await sequences(client.frames("nowhere")) == []


async def test_listing_goes_on_over_pages(tmp_path):
    codec = FakeCodec()
    stream = codec.encode(flat(1, 1, 1))
    async with decoding(tmp_path, codec) as running:
        await running.ingest(*(frame(stream, "door", k) for k in range(120)))
        async with OperatorClient(f"127.0.0.1:{running.port}") as operator:
            assert await sequences(operator.frames("door")) == list(range(120))
            assert len(await sequences(operator.frames("door", newest=110))) == 110


async def test_one_frame_is_found_by_its_key(client):
    assert (await client.frame(DOOR[2])).key.sequence == 2
    with pytest.raises(ServiceRefused, match="no frame door/1/9"):
        await client.frame(FrameKey("door", 1, 9))


async def test_a_stream_comes_back_byte_for_byte(client):
    stream = await client.stream(DOOR[1])
    assert stream == FakeCodec().encode(flat(10))


@pytest.mark.parametrize("by_key", [True, False])
async def test_views_of_frames_and_streams_are_the_codecs_pixels(client, by_key):
    stream = FakeCodec().encode(flat(10))
    decoded = await client.decode(DOOR[1] if by_key else stream, ["human", 1.0, 0.25])
    for image, expected in zip(
        decoded.images, FakeCodec().decode_views(stream, [0, 1, 0.25]), strict=True
    ):
        np.testing.assert_array_equal(image, expected)
    assert decoded.start.model_sha256 == FakeModel.sha256


async def test_pictures_of_many_chunks_are_put_together(client):
    image = np.random.default_rng(0).integers(0, 256, (900, 1000, 3), np.uint8)
    decoded = await client.decode(FakeCodec().encode(image), [0.0])
    np.testing.assert_array_equal(decoded.images[0], image)


async def test_a_view_out_of_range_is_refused_before_it_is_sent(client):
    with pytest.raises(BadView):
        await client.decode(DOOR[0], [2.0])


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (FrameKey("door", 1, 9), "NOT_FOUND"),
        (FrameKey("gate", 1, 0), "FAILED_PRECONDITION"),
        (b"no stream", "INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_be_decoded_is_refused_with_its_status(client, source, status):
    with pytest.raises(ServiceRefused) as caught:
        await client.decode(source, [0.0])
    assert caught.value.status == status


async def test_nobody_at_the_address_is_one_clear_error():
    async with OperatorClient("127.0.0.1:1") as operator:
        with pytest.raises(ServiceUnavailable, match="cannot reach the decoder"):
            await operator.decode(b"", [0.0])


@pytest.mark.parametrize("num_pictures", [0, 2])
async def test_an_answer_that_is_not_what_was_asked_for_is_one_clear_error(num_pictures):
    servicer = FixedDecoder({7: flat(1)})
    whole = servicer.parts
    servicer.parts = lambda pixels, view: [
        *whole(pixels, view)[:1],
        *whole(pixels, view)[1:-1] * num_pictures,
        *whole(pixels, view)[-1:],
    ]
    async with fixed_decoding(servicer) as address, OperatorClient(address) as operator:
        with pytest.raises(ServiceError, match=f"the decoder at {address} answered wrongly: "):
            await operator.decode(FrameKey("gate", 1, 7), ["machine"])


async def test_a_picture_above_the_limits_is_refused():
    async with (
        fixed_decoding(FixedDecoder({7: flat(1)})) as address,
        OperatorClient(address, limits=Limits(max_pixels=71)) as operator,
    ):
        with pytest.raises(ImageTooLarge, match="8x9 pixels exceed 71"):
            await operator.decode(FrameKey("gate", 1, 7), ["machine"])


@pytest.mark.parametrize("text", ["door", "door/1", "door/1/2/3", "door/one/2", "/1/2", "door/1/²"])
def test_keys_of_another_form_are_refused(text):
    with pytest.raises(ValueError, match="CAMERA/EPOCH/SEQUENCE"):
        parse_key(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"door/{2**64}/0", "64 bits"),
        (f"door/0/{2**64}", "64 bits"),
        (f"{'d' * 129}/1/2", "1 to 128 characters"),
        ("the door/1/2", "1 to 128 characters"),
    ],
)
def test_keys_that_no_frame_can_have_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_key(text)


@pytest.mark.parametrize("key", [DOOR[3], FrameKey("d" * 128, 2**64 - 1, 2**64 - 1)])
def test_keys_are_read_as_they_are_written(key):
    assert parse_key(str(key)) == key


async def test_the_command_lists_cameras_and_frames(decoder, capsys):
    assert await run("view", "--server", decoder) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("door: 4 frames, ")
    assert await run("view", "door", "gate/1/0", "--server", decoder, "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["key"] for record in records] == [*map(str, DOOR), "gate/1/0"]
    assert [record["decodable"] for record in records] == [True] * 4 + [False]


async def test_the_command_saves_the_views_of_frames(decoder, tmp_path, capsys):
    out = tmp_path / "pictures"
    arguments = ("view", "door", "--newest", 2, "-o", out, "--view=human", "--view=machine")
    assert await run(*arguments, "--server", decoder) == 0
    assert sorted(entry.name for entry in out.iterdir()) == [
        "door-1-000002.human.png",
        "door-1-000002.machine.png",
        "door-1-000003.human.png",
        "door-1-000003.machine.png",
    ]
    image = np.array(Image.open(out / "door-1-000003.machine.png"))
    np.testing.assert_array_equal(image, ~flat(30))
    assert await run(*arguments, "--server", decoder) == 1
    assert "exist; --force replaces them" in capsys.readouterr().err


async def test_the_command_saves_one_frame_under_a_name(decoder, tmp_path):
    assert await run("view", "door/1/1", "-o", tmp_path / "x.png", "--server", decoder) == 0
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "x.png")), flat(10))


class NamelessDecoder(decoder_pb2_grpc.DecoderServiceServicer):
    """Has one frame, of a camera without a name."""

    async def ListFrames(self, request, context):
        return decoder_pb2.ListFramesResponse(frames=[decoder_pb2.StoredFrame()])


async def test_a_key_against_the_contract_is_one_line(capsys):
    async with fixed_decoding(NamelessDecoder()) as address:
        assert await run("view", "door", "--server", address) == 1
    out, err = capsys.readouterr()
    assert err.startswith("ugicm: a camera's name has 1 to 128 characters")
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("--server 127.0.0.1:1", 1, "cannot reach the decoder at 127.0.0.1:1"),
        ("--server 127.0.0.1:1 --wait 0.1", 1, "127.0.0.1:1 does not serve after 0.1 s"),
        ("-o out/", 2, "name a camera or a frame"),
        ("door/1 -o out/", 2, "CAMERA/EPOCH/SEQUENCE"),
        ("door/99999999999999999999/0", 2, "64 bits"),
        ("door/1/9 -o out/", 1, "no frame door/1/9"),
        ("nowhere -o out/", 1, "no frames of nowhere"),
        ("gate -o out/", 1, "gate/1/0: the decoder at"),
        ("door -o -", 2, "standard output takes one result"),
        ("door --newest 0", 2, "0 is not in the range x>=1"),
    ],
)
async def test_bad_usage_of_the_command_is_one_line(
    decoder, tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    words = arguments.split()
    server = [] if "--server" in words else ["--server", decoder]
    assert await run("view", *words, *server) == code
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert not (tmp_path / "out").exists()
