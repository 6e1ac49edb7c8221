"""Functions of networks on integers: close to the real ones, and rounded alike everywhere."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from ugicm_codec.bitstream import latents_checksum
from ugicm_codec.entropy.integers import (
    EXPONENTIAL_BITS,
    GELU_BITS,
    LATENT_BITS,
    LOGIT_BITS,
    NORMALISED_BITS,
    TANH_BITS,
    divide,
    exponentials,
    gelu,
    half_tanh,
    normalise,
    rescale,
    square_root,
    table_entries,
)

# Of every table's entries, int32 little-endian: streams depend on each of them.
CHECKSUMS = {"gelu": 0xAC4AAB29, "half_tanh": 0xFF56E3F0, "exponential": 0x7A10E226}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_tables_are_those_that_streams_were_coded_with(name):
    entries = [round(value) for value in table_entries(name)]
    data = b"".join(entry.to_bytes(4, "little") for entry in entries)
    assert (len(entries), latents_checksum(data)) == (2**14, CHECKSUMS[name])


@pytest.mark.parametrize("name", CHECKSUMS)
def test_no_entry_is_near_enough_to_a_half_for_libraries_to_differ(name):
    nearest = min(abs(value - math.floor(value) - 0.5) for value in table_entries(name))
    # Mathematical libraries differ by a few units in the last of 53 places.
    assert nearest > 1e4 * max(table_entries(name)) * 2.0**-53


def spread(reach, bits, count=20_001):
    return (torch.linspace(-reach, reach, count, dtype=torch.float64) * 2**bits).round().int()


def test_gelu_is_close():
    x = spread(20.0, GELU_BITS)
    expected = functional.gelu(x.double() / 2**GELU_BITS)
    assert (gelu(x).double() / 2**GELU_BITS - expected).abs().max() < 2e-4


def test_half_tanh_is_as_close_as_its_bits_allow():
    x = spread(20.0, TANH_BITS)
    expected = 0.5 * torch.tanh(x.double() / 2**TANH_BITS)
    assert (half_tanh(x).double() / 2**LATENT_BITS - expected).abs().max() <= 2.0 ** -(
        LATENT_BITS + 1
    ) + 1e-9


def test_exponentials_are_close():
    x = spread(30.0, LOGIT_BITS, 400).view(4, 100)
    expected = torch.exp((x - x.amax(1, keepdim=True)).double() / 2**LOGIT_BITS)
    weights = exponentials(x, 1).double() / 2**EXPONENTIAL_BITS
    assert (weights - expected).abs().max() < 2e-6


@pytest.mark.parametrize("channels", [2, 16, 64])
def test_normalised_values_are_close_to_a_layer_norm(channels):
    bits = 6
    x = torch.randint(-3000, 3001, (50, channels), generator=torch.Generator().manual_seed(1))
    epsilon = round(channels**2 * 1e-5 * 4.0 ** (bits + 4))
    expected = functional.layer_norm(x.double() / 2**bits, (channels,))
    got = normalise(x.short(), max(1, epsilon)).double() / 2**NORMALISED_BITS
    assert (got - expected).abs().max() < 2e-3


def test_normalising_a_constant_gives_zeros():
    assert normalise(torch.full((3, 8), 77, dtype=torch.int16), 1).eq(0).all()


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
def test_square_roots_are_floors(values):
    near = [max(0, value + step) for value in values for step in (-1, 0, 1)]
    squares = [math.isqrt(value) ** 2 for value in values]
    numbers = [min(each, 2**62) for each in near + squares]
    assert square_root(torch.tensor(numbers)).tolist() == [math.isqrt(each) for each in numbers]


@given(st.integers(-(2**50), 2**50), st.integers(1, 2**40))
def test_division_rounds_to_the_nearest_and_halves_up(numerator, denominator):
    quotient = divide(torch.tensor(numerator), torch.tensor(denominator)).item()
    assert quotient == (2 * numerator + denominator) // (2 * denominator)


@given(st.integers(-(2**40), 2**40), st.integers(-8, 20))
def test_rescaling_rounds_halves_up(value, shift):
    expected = math.floor(value / 2**shift + 0.5) if shift >= 0 else value * 2**-shift
    assert rescale(torch.tensor(value), shift).item() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_functions_on_a_gpu_are_those_of_the_cpu():
    x = spread(20.0, GELU_BITS)
    small = (x % 16000 - 8000).view(-1, 3)
    for function, values in [
        (gelu, x),
        (half_tanh, x),
        (lambda v: exponentials(v, 1), small),
        (lambda v: normalise(v.short(), 5), small),
        (square_root, x.long().abs() * 2**20),
        (lambda v: divide(v, v.abs() + 7), x.long()),
    ]:
        assert torch.equal(function(values.cuda()).cpu(), function(values))
