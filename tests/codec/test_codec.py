"""What the codec promises a caller who reads nothing but its docstrings."""

import itertools
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import gradient, noise, scene
from ugicm_codec import Codec, Limits, inspect
from ugicm_codec.codec import _batches
from ugicm_codec.errors import (
    BadImage,
    BadQuality,
    BadView,
    BudgetTooSmall,
    CorruptStream,
    ImageTooLarge,
    StreamTooLarge,
    UnusableDevice,
    WrongModel,
)
from ugicm_codec.models.bmshj2018 import HYPER_STRIDE, LATENT_STRIDE

SIDE = LATENT_STRIDE * HYPER_STRIDE
# One, and each side of what a latent and a hyper-latent cover.
SIZES = [1, 2, LATENT_STRIDE - 1, LATENT_STRIDE, LATENT_STRIDE + 1, SIDE - 1, SIDE, SIDE + 1]


@pytest.fixture(scope="module")
def default():
    return Codec.load()


@pytest.fixture(scope="module")
def photo():
    return scene(120, 200)


@pytest.mark.parametrize("height", SIZES)
@pytest.mark.parametrize("width", SIZES)
def test_every_size_comes_back(codec, height, width):
    stream = codec.encode(noise(height, width))
    picture = codec.decode(stream)
    assert (inspect(stream).height, inspect(stream).width) == (height, width)
    assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
    assert picture.flags.c_contiguous


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1)])
def test_slivers_come_back(codec, shape):
    assert codec.decode(codec.encode(noise(*shape))).shape == (*shape, 3)


def test_the_default_model_shows_what_it_was_given(default, photo):
    error = default.decode(default.encode(photo, 100)).astype(float) - photo
    assert np.mean(error**2) < 100.0


def test_quality_orders_size_and_error(default, photo):
    streams = [default.encode(photo, quality) for quality in (0, 25, 50, 75, 100)]
    errors = [np.mean((default.decode(stream).astype(float) - photo) ** 2) for stream in streams]
    assert [len(stream) for stream in streams] == sorted(len(stream) for stream in streams)
    assert errors == sorted(errors, reverse=True)


def test_the_ends_of_quality_are_the_first_and_the_last_step(codec, photo):
    steps = [inspect(codec.encode(photo, quality)).quality_step for quality in (0, 50, 100)]
    assert steps == [0, 1, codec.model.quality_steps - 1]


def test_quality_is_50_unless_told_otherwise(codec, photo):
    assert codec.encode(photo) == codec.encode(photo, 50)


def test_encoding_changes_no_argument_and_takes_any_layout(codec, photo):
    before = photo.copy()
    stream = codec.encode(photo)
    photo.setflags(write=False)
    strided = np.asfortranarray(photo)
    flipped_twice = photo[::-1].copy()[::-1]
    assert codec.encode(photo) == codec.encode(strided) == codec.encode(flipped_twice) == stream
    assert np.array_equal(photo, before)


def test_views_of_one_stream_differ(codec, photo):
    human, between, machine = codec.decode_views(codec.encode(photo), ["human", 0.5, "machine"])
    assert not np.array_equal(human, machine)
    assert not np.array_equal(human, between)


def test_presets_are_numbers(codec, photo):
    stream = codec.encode(photo)
    assert np.array_equal(codec.decode(stream, "human"), codec.decode(stream, 0.0))
    assert np.array_equal(codec.decode(stream, "machine"), codec.decode(stream, 1))


def test_a_view_does_not_depend_on_which_others_are_asked_for(codec, photo):
    stream = codec.encode(photo)
    views = [0.0, 1.0, 0.3, 0.0]
    together = codec.decode_views(stream, views)
    for view, picture in zip(views, together, strict=True):
        assert np.array_equal(picture, codec.decode(stream, view))


def test_further_views_decode_no_latents_again(codec, photo, monkeypatch):
    stream = codec.encode(photo)
    decoded = []
    decode_latents = codec.decode_latents
    monkeypatch.setattr(
        codec, "decode_latents", lambda data: decoded.append(1) or decode_latents(data)
    )
    assert len(codec.decode_views(stream, [0.0, 0.5, 1.0])) == 3
    assert len(decoded) == 1


def test_kept_latents_give_the_pixels_of_the_stream(codec, photo):
    stream = codec.encode(photo)
    latents = codec.decode_latents(stream)
    assert latents.num_bytes == latents.integers.size * 2
    assert not latents.integers.flags.writeable
    assert np.array_equal(codec.synthesise([latents], [1.0])[0], codec.decode(stream, 1.0))


def test_a_batch_mixes_sizes_and_views(codec):
    pictures = [noise(40, 56), gradient(17, 33), scene(40, 50), scene(40, 56)]
    views = [0.0, 1.0, 0.3, 1.0]
    streams = codec.encode_batch(pictures, 100)
    together = codec.decode_batch(streams, views)
    for picture, stream, view, decoded in zip(pictures, streams, views, together, strict=True):
        assert decoded.shape == picture.shape
        # The batch may take another convolution: pixels agree up to rounding.
        alone = codec.decode(stream, view).astype(int)
        assert np.abs(decoded - alone).max() <= 1


def test_a_batch_of_nothing_is_nothing(codec):
    assert codec.encode_batch([]) == []
    assert codec.decode_batch([], []) == []


def test_a_batch_needs_one_view_for_each_stream(codec, photo):
    with pytest.raises(ValueError, match="got 2 for 1"):
        codec.decode_batch([codec.encode(photo)], [0.0, 1.0])


def test_calls_from_many_threads_give_the_same_bytes_and_pixels(codec):
    jobs = [
        (scene(30 + 17 * index, 90 - 7 * index, index), 50 * (index % 3), index / 8)
        for index in range(8)
    ]

    def run(job):
        picture, quality, view = job
        stream = codec.encode(picture, quality)
        return stream, codec.decode(stream, view).tobytes()

    alone = [run(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, jobs * 4)) == alone * 4


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_budget_gets_the_best_step_that_fits(codec, photo, step):
    sizes = [len(codec.encode(photo, quality)) for quality in (0, 50, 100)]
    assert sizes[0] < sizes[1] < sizes[2]
    for budget in (sizes[step], (sizes[step : step + 2][-1] + sizes[step]) // 2):
        stream = codec.encode(photo, max_bytes=budget)
        assert len(stream) <= budget
        assert stream == codec.encode(photo, 50 * step)


def test_a_budget_above_all_gets_the_best_quality(codec, photo):
    assert codec.encode(photo, max_bytes=10**9) == codec.encode(photo, 100)


@settings(max_examples=20)
@given(st.integers(-1, 4000))
def test_a_budget_is_kept_or_refused(codec, budget):
    picture = scene(60, 70)
    try:
        assert len(codec.encode(picture, max_bytes=budget)) <= budget
    except BudgetTooSmall as refusal:
        assert budget < refusal.smallest == len(codec.encode(picture, 0))


def test_too_small_a_budget_names_the_smallest(codec, photo):
    smallest = len(codec.encode(photo, 0))
    with pytest.raises(BudgetTooSmall, match=f"has {smallest} bytes, the budget is 10") as caught:
        codec.encode(photo, max_bytes=10)
    assert caught.value.smallest == smallest
    assert codec.encode(photo, max_bytes=smallest) == codec.encode(photo, 0)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        pytest.param([[[1, 2, 3]]], "list", id="no array"),
        pytest.param(None, "NoneType", id="none"),
        pytest.param(np.zeros((4, 4, 3), np.float32), "float32", id="floats"),
        pytest.param(np.zeros((4, 4, 3), np.uint16), "uint16", id="16 bits"),
        pytest.param(np.zeros((4, 4), np.uint8), r"\(4, 4\)", id="grey"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)", id="alpha"),
        pytest.param(np.zeros((3, 4, 4), np.uint8), r"\(3, 4, 4\)", id="channels first"),
        pytest.param(np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\)", id="a batch"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)", id="no rows"),
        pytest.param(np.zeros((4, 0, 3), np.uint8), r"\(4, 0, 3\)", id="no columns"),
    ],
)
def test_what_is_no_picture_is_refused(codec, picture, message):
    with pytest.raises(BadImage, match=message):
        codec.encode(picture)
    with pytest.raises(BadImage, match=message):
        codec.encode(picture, max_bytes=1000)


@pytest.mark.parametrize("quality", [-1, 101, 50.0, "50", True])
def test_what_is_no_quality_is_refused(codec, photo, quality):
    with pytest.raises(BadQuality, match="0 to 100"):
        codec.encode(photo, quality)


def test_a_quality_and_a_budget_are_one_too_many(codec, photo):
    with pytest.raises(BadQuality, match="not both"):
        codec.encode(photo, 50, max_bytes=1000)


@pytest.mark.parametrize("view", [-0.1, 1.1, float("nan"), float("inf"), "robot", None, [0.5]])
def test_what_is_no_view_is_refused_before_anything_is_decoded(codec, view):
    for decode in (
        lambda: codec.decode(b"", view),
        lambda: codec.decode_views(b"", [0.0, view]),
        lambda: codec.decode_batch([b""], [view]),
    ):
        with pytest.raises(BadView, match="human, machine"):
            decode()


def test_limits_hold_both_ways(tiny, codec, photo):
    stream = codec.encode(photo)

    def limited_to(**limits):
        return Codec.load(tiny, limits=Limits(**limits), precision=torch.float32)

    narrow, small = limited_to(max_side=199), limited_to(max_pixels=120 * 200 - 1)
    for limited, message in [(narrow, "199 along a side"), (small, "23999 pixels")]:
        with pytest.raises(ImageTooLarge, match=f"{message}.*120x200"):
            limited.encode(photo)
        with pytest.raises(StreamTooLarge, match=f"{message}.*120x200"):
            limited.decode(stream)
    assert limited_to(max_side=200, max_pixels=120 * 200).encode(photo) == stream


def test_a_stream_of_another_model_is_refused_by_name(codec, default, photo):
    with pytest.raises(WrongModel, match=default.model.latents_id.hex()):
        codec.decode(default.encode(photo))


def test_a_step_that_the_model_lacks_is_damage(codec, photo, monkeypatch):
    monkeypatch.setattr("ugicm_codec.codec.write_stream", _with_step_3(codec))
    stream = codec.encode(photo)
    with pytest.raises(CorruptStream, match="3 quality steps, the stream names step 3"):
        codec.decode(stream)


def _with_step_3(codec):
    from ugicm_codec.bitstream import write_stream

    return lambda **fields: write_stream(**fields | {"quality_step": 3})


def test_bfloat16_changes_few_pixels_by_little(tiny, codec, photo):
    stream = codec.encode(photo)
    coarse = Codec.load(tiny, precision=torch.bfloat16).decode(stream).astype(float)
    assert np.mean((coarse - codec.decode(stream)) ** 2) < 1.0


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there_is_one_clear_line(device):
    with pytest.raises(UnusableDevice, match=f"cannot compute on {device}: [^\n]+$"):
        Codec.load(device=device)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 40), (16, 16), (90, 128)])
def test_a_small_picture_gets_the_best_step_that_fits(height, width):
    codec = Codec.load()
    picture = scene(height, width)
    sizes = [len(codec.encode(picture, quality)) for quality in range(101)]
    for budget in sorted({*sizes[::9], max(sizes)}):
        best = max(step for step, size in enumerate(sizes) if size <= budget)
        assert inspect(codec.encode(picture, max_bytes=budget)).quality_step == best
    with pytest.raises(BudgetTooSmall) as caught:
        codec.encode(picture, max_bytes=min(sizes) - 1)
    assert caught.value.smallest == min(sizes)
    assert pickle.loads(pickle.dumps(caught.value)).smallest == min(sizes)


def test_precisions_agree_within_two_levels():
    full = Codec.load(precision=torch.float32)
    half = Codec.load(precision=torch.bfloat16)
    for quality in (0, 50, 100):
        stream = full.encode(scene(200, 312), quality)
        for view in (0.0, 0.5, 1.0):
            exact = full.decode(stream, view).astype(int)
            assert np.abs(half.decode(stream, view) - exact).max() <= 2


def test_a_batch_is_cut_where_it_would_fill_more_than_a_tile():
    shapes = [(1024, 1024, 3)] * 9 + [(16, 16, 3)] * 3 + [(4096, 4096, 3)] * 2
    batches = _batches(shapes, stride=LATENT_STRIDE, tile_side=2048 // LATENT_STRIDE)
    assert [len(batch) for batch in batches] == [4, 4, 1, 3, 1, 1]
    assert sorted(itertools.chain(*batches)) == list(range(14))


STARTED = """
import sys
import numpy as np
from ugicm_codec import Codec

codec = Codec.load()
codec.decode(codec.encode(np.zeros((8, 8, 3), np.uint8)))
print(*sorted({"sympy", "torch._dynamo"} & sys.modules.keys()))
"""


def test_a_start_does_not_wait_for_pytorch_s_compiler():
    # Some of what PyTorch does with tensors of no memory imports it, for a second and a half.
    process = [sys.executable, "-c", STARTED]
    assert subprocess.run(process, check=True, capture_output=True, text=True).stdout == "\n"
