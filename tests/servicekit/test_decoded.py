"""What a decoder answers is pictures only if it is whole, and what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_codec.errors import ImageTooLarge
from ugicm_codec.limits import Limits
from ugicm_servicekit.decoded import assemble, assemble_file
from ugicm_servicekit.errors import BadAnswer

START = {"start": {"model": "a model"}}
END = {"statistics": {"queue_seconds": 0.5}}
HUMAN, MACHINE = np.arange(48, dtype=np.uint8).reshape(2, 2, 4, 3)


def picture(view, height=2, width=4, **fields):
    fields = {"format": types_pb2.PIXEL_FORMAT_RGB, "num_bytes": 3 * height * width, **fields}
    return {"picture": {"view": view, "height": height, "width": width, **fields}}


def chunks(pixels):
    data = pixels.tobytes()
    return {"chunk": data[:10]}, {"chunk": data[10:]}


async def assembled(*parts, views=(0.0, 1.0), **limits):
    async def answer():
        for part in parts:
            yield decoder_pb2.DecodeResponse(**part)

    return await assemble(answer(), views=views, limits=Limits(**limits))


WHOLE = (START, picture(0), *chunks(HUMAN), picture(1), *chunks(MACHINE), END)


async def test_the_chunks_of_each_view_become_its_pixels():
    decoded = await assembled(*WHOLE)
    np.testing.assert_array_equal(decoded.images, [HUMAN, MACHINE])
    assert decoded.start.model == "a model"
    assert decoded.statistics.queue_seconds == 0.5


@pytest.mark.parametrize("missing", range(len(WHOLE)))
async def test_an_answer_without_one_of_its_parts_is_none(missing):
    with pytest.raises(BadAnswer, match="expected"):
        await assembled(*WHOLE[:missing], *WHOLE[missing + 1 :])


@pytest.mark.parametrize("length", range(len(WHOLE)))
async def test_an_answer_that_ends_early_is_none(length):
    with pytest.raises(BadAnswer, match="got the end"):
        await assembled(*WHOLE[:length])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((*WHOLE, START), "more parts follow the statistics"),
        ((START, *WHOLE), "expected picture, got start"),
        ((*WHOLE[:-1], *WHOLE[4:]), "expected statistics, got picture"),
        ((*WHOLE[:-2], {"chunk": bytes(15)}, END), "a picture of 24 bytes came in 25"),
        ((START, picture(1)), "of view 0, got 2x4 of view 1"),
        ((START, picture(0, num_bytes=23)), "in 23 bytes"),
        ((START, picture(0, height=0)), "got 0x4"),
        ((START, picture(0, format=types_pb2.PIXEL_FORMAT_PNG)), "of format 2"),
        ((START, {}), "expected picture, got an empty part"),
    ],
)
async def test_an_answer_against_the_contract_says_what_is_wrong(parts, words):
    with pytest.raises(BadAnswer, match=words):
        await assembled(*parts)


async def test_a_picture_above_the_limits_is_refused_before_its_bytes_come():
    with pytest.raises(ImageTooLarge, match="2x4 pixels exceed 7"):
        await assembled(START, picture(0), max_pixels=7)


FILE = (
    START,
    picture(0.5, format=types_pb2.PIXEL_FORMAT_PNG, num_bytes=9),
    {"chunk": b"\x89PNG"},
    {"chunk": b"bytes"},
    END,
)


async def file_of(*parts, **limits):
    async def answer():
        for part in parts:
            yield decoder_pb2.DecodeResponse(**part)

    return await assemble_file(
        answer(), view=0.5, pixel_format=types_pb2.PIXEL_FORMAT_PNG, limits=Limits(**limits)
    )


async def test_the_chunks_of_a_file_become_the_file():
    decoded = await file_of(*FILE)
    assert (decoded.data, decoded.start.model) == (b"\x89PNGbytes", "a model")
    assert decoded.statistics.queue_seconds == 0.5


@pytest.mark.parametrize("length", range(len(FILE)))
async def test_a_file_that_ends_early_is_none(length):
    with pytest.raises(BadAnswer, match="got the end"):
        await file_of(*FILE[:length])


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": types_pb2.PIXEL_FORMAT_JPEG},
        {"view": 0.25},
        {"num_bytes": 0},
        {"num_bytes": 6 * 2 * 4 + 2**16 + 1},
    ],
    ids=["format", "view", "empty", "large"],
)
async def test_a_file_other_than_the_one_asked_for_is_refused(wrong):
    fields = {"format": types_pb2.PIXEL_FORMAT_PNG, "num_bytes": 9, **wrong}
    with pytest.raises(BadAnswer, match=r"expected a file of view 0\.5"):
        await file_of(START, picture(fields.pop("view", 0.5), **fields), *FILE[2:])


async def test_a_file_of_too_large_a_picture_is_refused():
    with pytest.raises(ImageTooLarge, match="2x4 pixels exceed 7"):
        await file_of(*FILE, max_pixels=7)
