"""Tables for the coder's tests, in the reference's form and in the coder's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from ugicm_codec.entropy.rans import MAX_VALUE, PRECISION, CodingTables

TOTAL = 1 << PRECISION


def build(tables):
    width = max(len(frequencies) for _, frequencies in tables) + 1
    cumulative = np.full((len(tables), width), TOTAL, np.uint32)
    for row, (_, frequencies) in enumerate(tables):
        cumulative[row, : len(frequencies) + 1] = np.cumsum([0, *frequencies])
    return CodingTables.build(
        cumulative,
        np.array([len(frequencies) for _, frequencies in tables], np.int32),
        np.array([first for first, _ in tables], np.int32),
    )


def laplacian(scale, reach):
    """Return a table around 0 whose frequencies halve with every ``scale``."""
    weights = 2.0 ** (-np.abs(np.arange(-reach, reach + 1)) / scale)
    frequencies = np.maximum(1, np.floor(weights / weights.sum() * (TOTAL - 4 * reach - 4))).astype(
        int
    )
    return -reach, [*map(int, frequencies), TOTAL - int(frequencies.sum())]


@st.composite
def one_table(draw):
    cuts = draw(st.lists(st.integers(1, TOTAL - 1), max_size=40, unique=True))
    edges = [0, *sorted(cuts), TOTAL]
    first = draw(st.integers(-500, 500))
    return first, [high - low for low, high in pairwise(edges)]


@st.composite
def messages(draw):
    """Draw (values, table indexes, tables); values lie in the tables, about them and anywhere."""
    tables = draw(st.lists(one_table(), min_size=1, max_size=4))
    value = st.one_of(
        st.integers(-30, 30), st.integers(-600, 600), st.integers(-MAX_VALUE, MAX_VALUE)
    )
    pairs = draw(st.lists(st.tuples(value, st.integers(0, len(tables) - 1)), max_size=120))
    return [value for value, _ in pairs], [index for _, index in pairs], tables
