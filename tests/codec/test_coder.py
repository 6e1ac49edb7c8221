"""The entropy coder: exact words, its bytes against a slow reference, its rate, and damage."""

import math
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codec import reference_coder
from tests.codec.coding import TOTAL, build, laplacian, messages
from ugicm_codec.entropy import rans
from ugicm_codec.entropy.rans import MAX_VALUE, CodingTables
from ugicm_codec.errors import CorruptStream

ROOT = Path(__file__).parents[2]

GOLDEN_TABLES = [(-1, [20_000, 30_000, 15_000, 536]), (5, [65_535, 1]), (0, [65_536])]


def encode(values, indexes, tables):
    return rans.encode(np.array(values, np.int16), np.array(indexes, np.uint8), build(tables))


def decode(data, indexes, tables):
    return rans.decode(data, np.array(indexes, np.uint8), build(tables))


@pytest.fixture(scope="module")
def message():
    generator = np.random.default_rng(5)
    tables = [laplacian(scale, reach) for scale, reach in [(0.3, 3), (1.0, 8), (5.0, 40)]]
    values = np.rint(generator.laplace(0.0, 4.0, 300)).astype(int).tolist()
    indexes = generator.integers(0, len(tables), 300).tolist()
    return encode(values, indexes, tables), indexes, tables


def test_no_symbols_take_the_two_words_of_the_first_state():
    assert encode([], [], GOLDEN_TABLES) == bytes.fromhex("00000080 00000000")


@pytest.mark.parametrize(
    ("values", "indexes", "words"),
    [
        pytest.param([0], [0], "80aa9e17 01000000", id="one symbol"),
        pytest.param([-1, 0, 1, 0, 5, 5], [0, 0, 0, 0, 1, 1], "a1495f29 22000000", id="no escapes"),
        pytest.param(
            [2, -2, 7, 4, 0, -1],
            [0, 0, 1, 1, 2, 2],
            "e1febfc2 cb740000 c2ffbff8 42100000",
            id="escapes next to the tables",
        ),
        pytest.param(
            [MAX_VALUE, -MAX_VALUE] * 2,
            [0, 0, 1, 2],
            "a0feedcf 321d0000 ff1bd4bf 9fff7ff8 7f86ff3f",
            id="the largest escapes",
        ),
    ],
)
def test_words_are_fixed(values, indexes, words):
    data = encode(values, indexes, GOLDEN_TABLES)
    assert data.hex(" ", -4) == words
    assert decode(data, indexes, GOLDEN_TABLES).tolist() == values


@given(messages())
def test_bytes_are_those_of_the_reference(message):
    values, indexes, tables = message
    data = encode(values, indexes, tables)
    assert data == reference_coder.encode(values, indexes, tables)
    assert decode(data, indexes, tables).tolist() == values
    assert reference_coder.decode(data, indexes, tables) == values


def test_a_message_larger_than_the_first_buffer_is_coded():
    # Two words for each value, where a quarter of a word was expected.
    values, indexes = [MAX_VALUE] * 20_000, [1] * 20_000
    data = encode(values, indexes, GOLDEN_TABLES)
    assert decode(data, indexes, GOLDEN_TABLES).tolist() == values


@pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
def test_the_size_is_the_tables_entropy(scale):
    reach = 40
    first, frequencies = laplacian(scale, reach)
    generator = np.random.default_rng(7)
    symbols = generator.choice(2 * reach + 1, 50_000, p=_shares(frequencies[:-1]))
    values = (symbols + first).tolist()
    bits = sum(math.log2(TOTAL / frequencies[symbol]) for symbol in symbols)
    size = len(encode(values, [0] * len(values), [(first, frequencies)]))
    assert bits / 8 <= size <= 1.005 * bits / 8 + 64


def test_an_escape_costs_its_frequency_a_length_and_its_digits():
    values = [1000] * 5000
    size = len(encode(values, [0] * len(values), [(0, [TOTAL - 256, 256])]))
    excess = 2 * (1000 - 1) + 1
    bits = 5000 * (math.log2(TOTAL / 256) + 5 + excess.bit_length() - 1)
    assert bits / 8 <= size <= 1.005 * bits / 8 + 64


def test_every_truncation_is_refused(message):
    data, indexes, tables = message
    for length in range(len(data)):
        with pytest.raises(CorruptStream):
            decode(data[:length], indexes, tables)


def test_words_that_no_symbol_needs_are_refused(message):
    data, indexes, tables = message
    with pytest.raises(CorruptStream):
        decode(data + bytes(4), indexes, tables)


@pytest.mark.parametrize("state", [0, 2**31 - 1, 2**63, 2**64 - 1])
def test_a_first_state_that_no_encoder_leaves_is_refused(state, message):
    data, indexes, tables = message
    with pytest.raises(CorruptStream):
        decode(state.to_bytes(8, "little") + data[8:], indexes, tables)


def test_every_flipped_bit_is_refused_or_gives_values_in_range(message):
    data, indexes, tables = message
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with suppress(CorruptStream):
            values = decode(bytes(damaged), indexes, tables)
            assert values.size == len(indexes)
            assert np.abs(values.astype(int)).max() <= MAX_VALUE


@settings(max_examples=300)
@given(st.binary(max_size=400), messages())
def test_any_bytes_are_refused_or_are_what_the_encoder_writes(data, message):
    _, indexes, tables = message
    with suppress(CorruptStream):
        values = decode(data, indexes, tables)
        assert encode(values, indexes, tables) == data


def test_no_read_leaves_its_array(tmp_path):
    env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.codec.bounds_checked"]
    subprocess.run(command, env=env, cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("cumulative", "num_symbols"),
    [
        pytest.param([0, 100, 65_535], 2, id="ends early"),
        pytest.param([1, 100, 65_536], 2, id="starts late"),
        pytest.param([0, 100, 100, 65_536], 3, id="a symbol of no frequency"),
        pytest.param([0, 200, 100, 65_536], 3, id="descends"),
        pytest.param([0, 100, 65_536], 3, id="declares more symbols than it has"),
        pytest.param([0, 100, 65_536], 0, id="declares none"),
    ],
)
def test_a_table_that_is_none_is_refused(cumulative, num_symbols):
    with pytest.raises(ValueError, match="table 0"):
        CodingTables.build(
            np.array([cumulative], np.uint32),
            np.array([num_symbols], np.int32),
            np.zeros(1, np.int32),
        )


def _shares(frequencies):
    return np.array(frequencies) / sum(frequencies)
