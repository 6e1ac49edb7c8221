"""The networks between coded symbols and table indexes: exact integers on every machine."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ugicm_codec.entropy import products
from ugicm_codec.entropy.fixedpoint import (
    ACTIVATION_LIMIT,
    WEIGHT_LIMIT,
    FixedPointLayer,
    FixedPointNetwork,
)
from ugicm_codec.entropy.products import (
    PRODUCTS,
    exact_product,
    float64_product,
    int8_product,
    packed_product,
)
from ugicm_codec.errors import InexactArithmetic
from ugicm_codec.models.layers import output_phases

over_products = pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.__name__)


def integers(*shape, limit, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-limit, limit + 1, shape, generator=generator)


def a_layer(channels=8, columns=16, *, shift=0, upsample=False, limit=WEIGHT_LIMIT):
    return FixedPointLayer.build(
        weight=integers(9 * channels, columns, limit=limit, seed=1).to(torch.int16),
        bias=integers(columns, limit=2**20, seed=2),
        shift=shift,
        upsample=upsample,
    )


def run(layers, product, values):
    """Return the last layer's sums, channels first, as float networks give them."""
    sums = FixedPointNetwork(layers, product)(values.to(torch.int16), lambda sums: sums)
    return sums.permute(0, 3, 1, 2)


def multiply(product, gathered, layer):
    """Return the sums of neighbourhoods, ``(R, K)``, each in the middle of a map of its own."""
    maps = gathered.view(len(gathered), layer.kernel, layer.kernel, -1)
    middle = torch.tensor([layer.kernel**2 // 2], device=gathered.device)
    return product([maps], layer, torch.clone, middle)[:, 0] - layer.bias


def product_of(multiply_rows):
    """Return the product that multiplies gathered rows, ``(R, K)``, so."""

    def product(parts, layer, finish, at=None):
        whole = torch.cat(list(parts), dim=3).permute(0, 3, 1, 2)
        columns = functional.unfold(whole.double(), layer.kernel, padding=layer.kernel // 2)
        rows = columns.unflatten(1, (whole.shape[1], -1)).permute(0, 3, 2, 1).flatten(2)
        sums = multiply_rows(rows.flatten(0, 1).to(torch.int16), layer) + layer.bias
        out = finish(sums).view(len(whole), -1, len(layer.bias))
        return out if at is None else out[:, at]

    return product


@over_products
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (6, 9)])
def test_a_layer_is_a_convolution(product, size):
    kernel = integers(16, 8, 3, 3, limit=WEIGHT_LIMIT)
    bias = integers(16, limit=2**20)
    layer = FixedPointLayer.build(
        weight=kernel.permute(2, 3, 1, 0).reshape(-1, 16).to(torch.int16),
        bias=bias,
        shift=0,
        upsample=False,
    )
    x = integers(2, *size, 8, limit=ACTIVATION_LIMIT)
    inputs = x.permute(0, 3, 1, 2).double()
    expected = functional.conv2d(inputs, kernel.double(), bias.double(), padding=1)
    assert torch.equal(run([layer], product, x), expected.long())


@over_products
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (6, 9)])
def test_an_upsampling_layer_is_a_transposed_convolution(product, size):
    kernel = integers(8, 4, 5, 5, limit=WEIGHT_LIMIT)
    bias = integers(4, limit=2**20)
    layer = FixedPointLayer.build(
        weight=output_phases(kernel).reshape(72, 16).to(torch.int16),
        bias=bias.repeat(4),
        shift=0,
        upsample=True,
    )
    x = integers(2, *size, 8, limit=ACTIVATION_LIMIT)
    expected = functional.conv_transpose2d(
        x.permute(0, 3, 1, 2).double(),
        kernel.double(),
        bias.double(),
        stride=2,
        padding=2,
        output_padding=1,
    )
    assert torch.equal(run([layer], product, x), expected.long())


def test_activations_round_halves_up_and_are_rectified_and_bounded():
    layer = a_layer(shift=4)
    sums = torch.tensor([-100, -9, -8, 7, 8, 23, 24, 2**40])
    assert layer.activate(sums).tolist() == [0, 0, 0, 0, 1, 1, 2, ACTIVATION_LIMIT]


@settings(max_examples=30)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([1, 3, 8, 12]),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_agree_on_whole_networks(height, width, channels, seed):
    layers = [
        a_layer(channels, 4 * channels, shift=20, upsample=True),
        a_layer(channels, 4 * channels, shift=18, upsample=True),
        a_layer(channels, 5),
    ]
    values = integers(1, height, width, channels, limit=2**15 - 1, seed=seed)
    first, *others = (run(layers, product, values) for product in PRODUCTS)
    assert first.shape == (1, 5, 4 * height, 4 * width)
    assert all(torch.equal(first, other) for other in others)


@over_products
@pytest.mark.parametrize("sign", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_products_are_exact_at_the_extremes(product, sign):
    depth = 9 * 320
    layer = FixedPointLayer.build(
        weight=torch.full((depth, 8), sign[0] * WEIGHT_LIMIT, dtype=torch.int16),
        bias=torch.zeros(8, dtype=torch.int64),
        shift=0,
        upsample=False,
    )
    gathered = torch.full((32, depth), sign[1] * ACTIVATION_LIMIT, dtype=torch.int16)
    expected = sign[0] * sign[1] * depth * WEIGHT_LIMIT * ACTIVATION_LIMIT
    assert torch.equal(multiply(product, gathered, layer), torch.full((32, 8), expected))


@over_products
@pytest.mark.parametrize("weight", [-64, 63])
@pytest.mark.parametrize("activation", [-ACTIVATION_LIMIT, ACTIVATION_LIMIT])
def test_products_with_weights_of_one_digit_are_exact(product, weight, activation):
    layer = FixedPointLayer.build(
        weight=torch.full((9 * 320, 8), weight, dtype=torch.int16),
        bias=torch.zeros(8, dtype=torch.int64),
        shift=0,
        upsample=False,
    )
    gathered = torch.full((32, 9 * 320), activation, dtype=torch.int16)
    expected = 9 * 320 * weight * activation
    assert layer.digits.shape == (9 * 320, 8)
    assert torch.equal(multiply(product, gathered, layer), torch.full((32, 8), expected))


@over_products
def test_chunks_change_nothing(product, monkeypatch):
    layers = [a_layer(8, 32, shift=20, upsample=True), a_layer(8, 6)]
    values = integers(2, 7, 5, 8, limit=100)
    whole = run(layers, product, values)
    monkeypatch.setattr(products, "_CHUNK_ELEMENTS", 1)
    assert torch.equal(run(layers, product, values), whole)


@product_of
def saturating_product(gathered, layer):
    """Multiply as instruction sets do that add pairs of byte products in 16 bits."""
    high, low = (gathered >> 8).long(), (gathered & 255).long()
    pairs = low.view(len(gathered), -1, 2)
    sums = torch.zeros(len(gathered), layer.weight.shape[1], dtype=torch.int64)
    weight = layer.weight.long().clamp(-128, 127).view(-1, 2, layer.weight.shape[1])
    for pair, rows in zip(pairs.unbind(1), weight, strict=True):
        sums += (pair @ rows).clamp_(-(2**15), 2**15 - 1)
    return sums + (high * 256) @ layer.weight.long()


def test_a_product_that_saturates_is_passed_over():
    # Small enough for one byte, so that only pairs that add up beyond 16 bits go wrong.
    layer = a_layer(limit=127)
    small = integers(4, 72, limit=1).to(torch.int16).abs()
    right, wrong = (multiply(each, small, layer) for each in (float64_product, saturating_product))
    assert torch.equal(right, wrong)
    assert exact_product([layer], [saturating_product, float64_product]) is float64_product


def test_a_product_that_rounds_is_passed_over():
    @product_of
    def float32_product(gathered, layer):
        return (gathered.float() @ layer.weight.float()).long()

    assert exact_product([a_layer()], [float32_product, int8_product]) is int8_product


def test_a_product_that_the_device_lacks_is_passed_over():
    @product_of
    def missing_product(gathered, layer):
        raise NotImplementedError

    assert exact_product([a_layer()], [missing_product, float64_product]) is float64_product


def test_no_exact_product_is_an_error():
    with pytest.raises(InexactArithmetic):
        exact_product([a_layer(limit=127)], [saturating_product])


def test_one_inexact_layer_decides_for_all():
    exact_on_narrow = [a_layer(1, 4, limit=1), a_layer(limit=127)]
    assert exact_product(exact_on_narrow, [saturating_product, float64_product]) is float64_product


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"weight": torch.full((72, 4), 8128)}, "8127, got 8128", id="weight"),
        pytest.param({"bias": torch.full((4,), 2**53)}, r"2\*\*53", id="bias"),
        pytest.param({"shift": 53}, "limit", id="shift"),
        pytest.param({"weight": torch.ones(71, 4)}, "71x4", id="taps"),
        pytest.param({"bias": torch.zeros(5)}, "72x4", id="bias of another length"),
    ],
)
def test_a_layer_that_might_be_inexact_is_refused(change, message):
    fields = {"weight": torch.ones(72, 4), "bias": torch.zeros(4), "shift": 0} | change
    integral = {"weight": torch.int16, "bias": torch.int64}
    fields |= {name: fields[name].to(kind) for name, kind in integral.items()}
    with pytest.raises(ValueError, match=message):
        FixedPointLayer.build(**fields, upsample=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@over_products
@pytest.mark.parametrize("rows", [1, 17, 1000])
def test_products_on_a_gpu_are_those_of_the_cpu(product, rows):
    layer = a_layer(channels=128, columns=192)
    gathered = integers(rows, 9 * 128, limit=ACTIVATION_LIMIT).to(torch.int16)
    if product is packed_product:
        pytest.skip("oneDNN computes on CPUs")
    there = multiply(product, gathered.cuda(), layer.to(torch.device("cuda")))
    assert torch.equal(there.cpu(), multiply(float64_product, gathered, layer))


@pytest.mark.parametrize(
    ("weight", "depth", "planes"),
    [
        pytest.param(127, 9 * 64, 1, id="8 bits"),
        pytest.param(-128, 9 * 64, 1, id="8 bits, the least"),
        pytest.param(128, 9 * 64, 2, id="9 bits"),
        pytest.param(127, 9 * 256, 2, id="8 bits, deep"),
        pytest.param(WEIGHT_LIMIT, 9 * 512, None, id="too deep"),
    ],
)
@pytest.mark.parametrize("activation", [-ACTIVATION_LIMIT, ACTIVATION_LIMIT])
def test_weights_are_packed_where_floats_hold_their_sums(weight, depth, planes, activation):
    layer = FixedPointLayer.build(
        weight=torch.full((depth, 8), weight, dtype=torch.int16),
        bias=torch.zeros(8, dtype=torch.int64),
        shift=0,
        upsample=False,
    )
    assert (layer.packed and layer.packed.columns // 8) == planes
    gathered = torch.full((3, depth), activation, dtype=torch.int16)
    expected = torch.full((3, 8), depth * weight * activation)
    assert torch.equal(multiply(packed_product, gathered, layer), expected)


def test_a_product_that_is_wrong_at_edges_is_passed_over():
    def wrong_at_edges(parts, layer, finish, at=None):
        def finish_wrong(sums):
            wrong = sums.clone()
            wrong[0] += 10**6
            return finish(wrong)

        return float64_product(parts, layer, finish if at is not None else finish_wrong, at)

    layer = a_layer(shift=10)
    assert exact_product([layer], [wrong_at_edges, float64_product]) is float64_product


def test_every_layer_is_tried_and_not_one_of_each_shape():
    wrong_layer, other = a_layer(shift=10), a_layer(shift=12)

    def wrong_for_one(parts, layer, finish, at=None):
        wrong = 10**6 * (layer is wrong_layer)
        return float64_product(parts, layer, lambda sums: finish(sums + wrong), at)

    assert exact_product([other], [wrong_for_one, float64_product]) is wrong_for_one
    layers = [wrong_layer, other]
    assert exact_product(layers, [wrong_for_one, float64_product]) is float64_product


@over_products
def test_a_layer_without_neighbours_takes_positions_in_chunks(product, monkeypatch):
    layer = FixedPointLayer.build(
        weight=integers(24, 16, limit=WEIGHT_LIMIT).to(torch.int16),
        bias=integers(16, limit=2**20),
        shift=14,
        upsample=False,
        kernel=1,
    )
    parts = [integers(2, 5, 7, 12, limit=ACTIVATION_LIMIT, seed=s).to(torch.int16) for s in (1, 2)]
    whole = product(parts, layer, layer.activate)
    expected = float64_product(parts, layer, layer.activate)
    assert torch.equal(whole, expected)
    monkeypatch.setattr(products, "_CHUNK_ELEMENTS", 4 * 16 * 3)
    assert torch.equal(product(parts, layer, layer.activate), expected)


def test_products_do_not_depend_on_threads():
    layer = a_layer(channels=64, columns=64)
    gathered = integers(500, 9 * 64, limit=ACTIVATION_LIMIT).to(torch.int16)
    expected = gathered.numpy().astype(np.int64) @ layer.weight.numpy().astype(np.int64)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for product in PRODUCTS:
                assert np.array_equal(multiply(product, gathered, layer).numpy(), expected)
    finally:
        torch.set_num_threads(before)
