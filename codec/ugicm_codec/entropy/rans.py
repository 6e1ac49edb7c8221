"""Codes integers with fixed integer tables, by an asymmetric numeral system checked at each read.

The state has 64 bits and is renormalised by 32-bit words (Duda, arXiv 1311.2540; Giesen, arXiv
1402.3392). Symbols are coded last to first, so that they are decoded first to last. Values
outside a table are coded as its last symbol, followed by an Elias gamma code in raw bits.
docs/bitstream.md specifies every bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ugicm_codec.errors import CorruptStream

__all__ = ["MAX_VALUE", "PRECISION", "CodingTables", "SectionReader", "decode", "encode"]

# Frequencies of one table sum to 2**PRECISION.
PRECISION = 16

# Values are coded in [-MAX_VALUE, MAX_VALUE].
MAX_VALUE = 2**15 - 1

_LOWER_BOUND = np.uint64(1 << 31)
_WORD_BITS = np.uint64(32)
_BITS = np.uint64(PRECISION)
_MASK = np.uint64((1 << PRECISION) - 1)
_WORD_MASK = np.uint64(0xFFFFFFFF)
# An Elias gamma code of a zigzag excess: its number of bits is coded in 5 raw bits.
_LENGTH_BITS = 5
# Enough for the excess of every value over every table that is accepted.
_MAX_LENGTH = 18
# Symbols are first looked for from the entry of their bucket of 2**_BUCKET_SHIFT frequencies.
_BUCKET_SHIFT = 6

_END_OF_DATA = -1
_BAD_SYMBOL = -2
_DECODED = 0
_NO_SPACE = -1


@dataclass(frozen=True, eq=False)
class CodingTables:
    """Frequency tables, one row each.

    Attributes:
        cumulative: ``(tables, symbols + 1)`` uint32, ascending from 0 to 2**PRECISION; rows are
            padded with 2**PRECISION. The last symbol of a row is the escape.
        num_symbols: ``(tables,)`` int32, symbols of each row, the escape included.
        offset: ``(tables,)`` int32, the value of each row's first symbol.
        buckets: ``(tables, 2**PRECISION >> _BUCKET_SHIFT)`` uint16, the first symbol that can lie
            in each bucket; derived, not part of the format.
    """

    cumulative: NDArray[np.uint32]
    num_symbols: NDArray[np.int32]
    offset: NDArray[np.int32]
    buckets: NDArray[np.uint16]

    @classmethod
    def build(
        cls,
        cumulative: NDArray[np.uint32],
        num_symbols: NDArray[np.int32],
        offset: NDArray[np.int32],
    ) -> CodingTables:
        """Check the tables and derive the search's starting points.

        Raises:
            ValueError: a row is not ascending from 0 to 2**PRECISION, or lies so far from 0 that
                a value's excess over it could not be coded.
        """
        tables = cumulative.shape[0]
        if num_symbols.shape != (tables,) or offset.shape != (tables,):
            raise ValueError("every table needs its number of symbols and its offset")
        starts = np.arange(0, 1 << PRECISION, 1 << _BUCKET_SHIFT, dtype=np.uint32)
        buckets = np.empty((tables, starts.size), np.uint16)
        for row in range(tables):
            count = int(num_symbols[row])
            if not 1 <= count < cumulative.shape[1]:
                raise ValueError(f"table {row} declares {count} symbols")
            if not -MAX_VALUE - 1 <= int(offset[row]) <= MAX_VALUE + 1:
                raise ValueError(f"table {row} begins at {offset[row]}")
            steps = cumulative[row, : count + 1].astype(np.int64)
            if steps[0] != 0 or steps[-1] != 1 << PRECISION or np.any(np.diff(steps) <= 0):
                raise ValueError(f"table {row} does not ascend from 0 to {1 << PRECISION}")
            buckets[row] = np.searchsorted(steps, starts, side="right") - 1
        return cls(
            np.ascontiguousarray(cumulative, np.uint32),
            np.ascontiguousarray(num_symbols, np.int32),
            np.ascontiguousarray(offset, np.int32),
            buckets,
        )


def encode(
    values: NDArray[np.int16], table_indexes: NDArray[np.uint8], tables: CodingTables
) -> bytes:
    """Code ``values`` (flat, in [-MAX_VALUE, MAX_VALUE]) each with the table of its index."""
    words = values.size // 4 + 64
    while True:
        out = np.empty(words, np.uint32)
        start = _encode(
            values, table_indexes, tables.cumulative, tables.num_symbols, tables.offset, out
        )
        if start != _NO_SPACE:
            return out[start:].astype("<u4").tobytes()
        words *= 4


def decode(
    data: bytes, table_indexes: NDArray[np.uint8], tables: CodingTables
) -> NDArray[np.int16]:
    """Return the values that ``encode`` coded with the same ``table_indexes`` (flat).

    Raises:
        CorruptStream: ``data`` ends early, goes on, or holds a symbol no encoder writes.
    """
    reader = SectionReader(data, tables)
    values = reader.read(table_indexes)
    reader.finish()
    return values


class SectionReader:
    """Decodes a coded section piece by piece, where later tables depend on earlier values."""

    def __init__(self, data: bytes, tables: CodingTables) -> None:
        """Begin at the start of ``data``.

        Raises:
            CorruptStream: ``data`` is no coded section.
        """
        if len(data) % 4 or len(data) < 8:
            raise CorruptStream(
                f"a coded section has whole words, at least 2, got {len(data)} bytes"
            )
        self._words = np.frombuffer(data, "<u4").astype(np.uint32)
        self._tables = tables
        state = int(self._words[0]) | int(self._words[1]) << 32
        if not 1 << 31 <= state < 1 << 63:
            raise CorruptStream("a coded section holds a value that no encoder writes")
        # State of the numeral system, and words that were read.
        self._cursor = np.array([state, 2], np.uint64)

    def read(self, table_indexes: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Return the next values, one for each of ``table_indexes`` (flat).

        Raises:
            CorruptStream: the section ends early, or holds a symbol no encoder writes.
        """
        tables = self._tables
        values = np.empty(table_indexes.size, np.int16)
        outcome = _decode(
            self._words,
            table_indexes,
            tables.cumulative,
            tables.num_symbols,
            tables.offset,
            tables.buckets,
            values,
            self._cursor,
        )
        if outcome == _END_OF_DATA:
            raise CorruptStream(
                f"a coded section of {self._words.size} words ends before its symbols"
            )
        if outcome == _BAD_SYMBOL:
            raise CorruptStream("a coded section holds a value that no encoder writes")
        return values

    def finish(self) -> None:
        """Check that the section ends here, as the encoder began it.

        Raises:
            CorruptStream: it does not.
        """
        state, used = (int(value) for value in self._cursor)
        # The encoder began with the lower bound: any other end is damage.
        if state != 1 << 31:
            raise CorruptStream("a coded section holds a value that no encoder writes")
        if used != self._words.size:
            raise CorruptStream(
                f"{used} of {self._words.size} words of a coded section were needed"
            )


@numba.njit(inline="always")
def _put(state, out, position, value, bits):  # type: ignore[no-untyped-def]
    if state >= np.uint64(1) << (np.uint64(63) - bits):
        position -= 1
        out[position] = np.uint32(state & _WORD_MASK)
        state >>= _WORD_BITS
    return (state << bits) | value, position


@numba.njit("int64(int16[::1], uint8[::1], uint32[:,::1], int32[::1], int32[::1], uint32[::1])",
            nogil=True, cache=True)  # fmt: skip
def _encode(values, table_indexes, cumulative, num_symbols, offset, out):  # type: ignore[no-untyped-def]
    state = _LOWER_BOUND
    position = out.size
    for index in range(values.size - 1, -1, -1):
        # Two words per raw symbol are the most that one value can need.
        if position < 8:
            return _NO_SPACE
        table = table_indexes[index]
        escape = num_symbols[table] - 1
        symbol = np.int64(values[index]) - offset[table]
        if symbol < 0 or symbol >= escape:
            # Zigzag: below the table odd, above it even; plus one, as Elias gamma needs.
            excess = 2 * (symbol - escape) + 1 if symbol >= escape else -2 * symbol
            length = 0
            while excess >> length:
                length += 1
            for bit in range(length - 1):
                state, position = _put(
                    state, out, position, np.uint64((excess >> bit) & 1), np.uint64(1)
                )
            state, position = _put(state, out, position, np.uint64(length), np.uint64(_LENGTH_BITS))
            symbol = np.int64(escape)
        start = np.uint64(cumulative[table, symbol])
        frequency = np.uint64(cumulative[table, symbol + 1]) - start
        if state >= frequency << np.uint64(63 - PRECISION):
            position -= 1
            out[position] = np.uint32(state & _WORD_MASK)
            state >>= _WORD_BITS
        quotient = state // frequency
        state = (quotient << _BITS) + (state - quotient * frequency) + start
    if position < 2:
        return _NO_SPACE
    out[position - 1] = np.uint32(state >> _WORD_BITS)
    out[position - 2] = np.uint32(state & _WORD_MASK)
    return position - 2


@numba.njit("int64(uint32[::1], uint8[::1], uint32[:,::1], int32[::1], int32[::1], uint16[:,::1],"
            "int16[::1], uint64[::1])", nogil=True, cache=True)  # fmt: skip
def _decode(  # type: ignore[no-untyped-def]
    words, table_indexes, cumulative, num_symbols, offset, buckets, values, cursor
):
    state = cursor[0]
    position = np.int64(cursor[1])
    for index in range(values.size):
        table = table_indexes[index]
        slot = state & _MASK
        symbol = np.int64(buckets[table, slot >> np.uint64(_BUCKET_SHIFT)])
        while cumulative[table, symbol + 1] <= slot:
            symbol += 1
        start = np.uint64(cumulative[table, symbol])
        frequency = np.uint64(cumulative[table, symbol + 1]) - start
        state = frequency * (state >> _BITS) + slot - start
        if state < _LOWER_BOUND:
            if position >= words.size:
                return _END_OF_DATA
            state = state << _WORD_BITS | np.uint64(words[position])
            position += 1
        escape = num_symbols[table] - 1
        if symbol == escape:
            length = np.int64(state & np.uint64((1 << _LENGTH_BITS) - 1))
            state >>= np.uint64(_LENGTH_BITS)
            if length == 0 or length > _MAX_LENGTH:
                return _BAD_SYMBOL
            if state < _LOWER_BOUND:
                if position >= words.size:
                    return _END_OF_DATA
                state = state << _WORD_BITS | np.uint64(words[position])
                position += 1
            excess = np.int64(1)
            for _ in range(length - 1):
                excess = excess << 1 | np.int64(state & np.uint64(1))
                state >>= np.uint64(1)
                if state < _LOWER_BOUND:
                    if position >= words.size:
                        return _END_OF_DATA
                    state = state << _WORD_BITS | np.uint64(words[position])
                    position += 1
            symbol = escape + (excess >> 1) if excess & 1 else -(excess >> 1)
        value = symbol + offset[table]
        if value < -MAX_VALUE or value > MAX_VALUE:
            return _BAD_SYMBOL
        values[index] = value
    cursor[0] = state
    cursor[1] = position
    return _DECODED
