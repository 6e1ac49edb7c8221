"""Decodes damage with every index checked; run with NUMBA_BOUNDSCHECK=1 and a cache of its own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from tests.codec.coding import build, laplacian
from ugicm_codec.entropy import rans
from ugicm_codec.errors import CorruptStream


def main() -> None:
    tables = build([laplacian(scale, reach) for scale, reach in [(0.3, 3), (1.0, 8), (5.0, 40)]])
    generator = np.random.default_rng(11)
    values = np.rint(generator.laplace(0.0, 4.0, 200)).astype(np.int16)
    indexes = generator.integers(0, 3, values.size).astype(np.uint8)
    data = rans.encode(values, indexes, tables)
    _assert_indexes_are_checked(data, indexes, tables)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        _decode(bytes(damaged), indexes, tables)
    for length in range(0, len(data), 4):
        _decode(data[:length], indexes, tables)
    for _ in range(2000):
        _decode(generator.bytes(4 * generator.integers(2, 60)), indexes, tables)
    # Escapes without end, and the states furthest from any that an encoder reaches.
    for word in (bytes(4), b"\xff" * 4):
        for length in range(2, 40):
            _decode(word * length, indexes, tables)


def _assert_indexes_are_checked(
    data: bytes, indexes: np.ndarray, tables: rans.CodingTables
) -> None:
    one_row = replace(tables, num_symbols=tables.num_symbols[:1])
    try:
        rans.decode(data, indexes, one_row)
    except IndexError:
        return
    raise SystemExit("an index outside an array went unnoticed: bounds are not checked")


def _decode(data: bytes, indexes: np.ndarray, tables: rans.CodingTables) -> None:
    with suppress(CorruptStream):
        rans.decode(data, indexes, tables)


if __name__ == "__main__":
    main()
