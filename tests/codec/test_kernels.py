"""Each loop of the kernels computes what PyTorch's operations, one after the other, define."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tests.codec.test_fixedpoint import integers
from ugicm_codec.entropy import attention, attention_kernels, kernels, team
from ugicm_codec.entropy.checkerboard import checkerboard
from ugicm_codec.entropy.endings import Ending, Function
from ugicm_codec.entropy.fixedpoint import ACTIVATION_LIMIT
from ugicm_codec.entropy.packing import DIGIT_ZERO

WIDE = {"low": -(2**30), "high": 2**30}
ENDINGS = {
    "activations": Ending(13, low=-8127, high=8127, dtype=torch.int16),
    "rectified activations": Ending(20, low=0, high=8127, dtype=torch.int16),
    "bits added": Ending(-5, **WIDE, dtype=torch.int32),
    "no bits": Ending(0, **WIDE, dtype=torch.int32),
    "GELU": Ending(18, **WIDE, dtype=torch.int16, function=Function.GELU, narrow=9, limit=8127),
    "GELU, kept": Ending(30, **WIDE, dtype=torch.int16, function=Function.GELU, limit=8127),
    "GELU, all bits dropped": Ending(
        0, **WIDE, dtype=torch.int16, function=Function.GELU, narrow=30, limit=8127
    ),
    "half tanh": Ending(26, **WIDE, dtype=torch.int32, function=Function.HALF_TANH),
}

each_ending = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)


@settings(max_examples=20)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    channels=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_digits_stand_for_maps_side_by_side(size, channels, seed):
    # Every other part is a view into a wider map, as the halves of a layer's channels are.
    wide = [integers(*size, 2 * c, limit=ACTIVATION_LIMIT, seed=seed + c) for c in channels]
    maps = [each.to(torch.int16) for each in wide]
    parts = [each[..., each.shape[3] // 2 :] for each in maps[::2]]
    parts += [each[..., : each.shape[3] // 2].contiguous() for each in maps[1::2]]
    digits = kernels.split_digits(parts)
    assert int(digits.max()) <= 127
    high, low = digits.long() - DIGIT_ZERO
    assert torch.equal(high * 128 + low, torch.cat(parts, 3).long())


def test_maps_whose_rows_do_not_follow_each_other_are_split_too():
    values = integers(2, 6, 7, 5, limit=ACTIVATION_LIMIT).to(torch.int16)
    cut = values[:, 1:5, 2:6]
    assert torch.equal(kernels.split_digits([cut]), kernels.split_digits([cut.contiguous()]))


@each_ending
@pytest.mark.parametrize("digits", [1, 2])
def test_products_end_as_sums_do(ending, digits):
    rows, columns = 130, 33
    products = integers(2, rows, digits * columns, limit=2**24 - 1)
    # Small ones as well, on which rounding shows.
    products[:, ::2] >>= 14
    bias = integers(columns, limit=2**45)
    bias[::2] = 0
    high, low = products
    weights = [2**7, 1] if digits == 2 else [1]
    sums = sum(
        (high * 2**7 + low)[:, index * columns : (index + 1) * columns] * weight
        for index, weight in enumerate(weights)
    )
    got = kernels.finish_products(products.float(), bias.double(), ending)
    assert got.dtype is ending.dtype
    assert torch.equal(got, ending(sums + bias))


@each_ending
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 4)])
def test_a_depthwise_layer_is_a_convolution_of_each_channel(ending, size):
    channels = 19
    values = integers(2, *size, channels, limit=ACTIVATION_LIMIT)
    weight, bias = integers(9, channels, limit=2**14), integers(channels, limit=2**28)
    weight[:, ::2] >>= 10
    sums = functional.conv2d(
        values.permute(0, 3, 1, 2).double(),
        weight.t().reshape(channels, 1, 3, 3).double(),
        bias.double(),
        padding=1,
        groups=channels,
    )
    got = kernels.depthwise(
        values.to(torch.int16), weight.to(torch.int32), bias.to(torch.int32), ending
    )
    assert got.dtype is ending.dtype
    assert torch.equal(got, ending(sums.long().permute(0, 2, 3, 1)))


def test_weights_may_lie_in_memory_in_any_order():
    ending = ENDINGS["activations"]
    values = integers(1, 4, 3, 6, limit=ACTIVATION_LIMIT).to(torch.int16)
    weight, bias = integers(9, 6, limit=2**10).int(), integers(6, limit=2**10).int()
    columns_first = weight.t().contiguous().t()
    assert torch.equal(
        kernels.depthwise(values, columns_first, bias, ending),
        kernels.depthwise(values, weight, bias, ending),
    )


@pytest.mark.parametrize("shift", [18, 30, 0, -3])
@pytest.mark.parametrize(
    ("size", "channels"), [((1, 1, 1), 2), ((1, 5, 3), 6), ((2, 2, 9), 8), ((2, 11, 37), 16)]
)
def test_local_attention_is_what_attention_defines(size, channels, shift):
    batch, height, width = size
    qkv = integers(batch, height, width, 3 * channels, limit=ACTIVATION_LIMIT).short()
    bias = integers(2, 25, 25, limit=2**20)
    board = checkerboard(height, width, torch.device("cpu"))
    assert torch.equal(
        attention_kernels.attend_locally(qkv, bias, shift, board),
        attention.attend_locally(qkv, bias, shift, board),
    )


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("openmp", [True, False])
def test_loops_are_divided_among_any_number_of_threads(threads, openmp, monkeypatch):
    if not openmp:
        monkeypatch.setattr(team, "openmp", lambda: None)
    values = integers(1, 30, 40, 16, limit=ACTIVATION_LIMIT).to(torch.int16)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        high, low = kernels.split_digits([values]).long() - DIGIT_ZERO
    finally:
        torch.set_num_threads(before)
    assert torch.equal(high * 128 + low, values.long())
