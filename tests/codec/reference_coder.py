"""The entropy coder of docs/bitstream.md in whole numbers of any size: slow, and easy to believe.

A table is (value of its first symbol, frequencies); its last frequency is the escape's.
"""

from __future__ import annotations

PRECISION = 16
LOWER_BOUND = 1 << 31


def encode(values, indexes, tables):
    state, words = LOWER_BOUND, []

    def put(start, frequency, precision):
        nonlocal state
        if state >= frequency << (63 - precision):
            words.append(state % 2**32)
            state //= 2**32
        quotient, remainder = divmod(state, frequency)
        state = (quotient << precision) + remainder + start

    for value, index in reversed(list(zip(values, indexes, strict=True))):
        first, frequencies = tables[index]
        escape = len(frequencies) - 1
        symbol = value - first
        if not 0 <= symbol < escape:
            excess = 2 * (symbol - escape) + 1 if symbol >= escape else -2 * symbol
            for digit in reversed(bin(excess)[3:]):
                put(int(digit), 1, 1)
            put(excess.bit_length(), 1, 5)
            symbol = escape
        put(sum(frequencies[:symbol]), frequencies[symbol], PRECISION)
    words += [state // 2**32, state % 2**32]
    return b"".join(word.to_bytes(4, "little") for word in reversed(words))


def decode(data, indexes, tables):
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    state = words[0] + words[1] * 2**32
    position = 2

    def take(start, frequency, precision):
        nonlocal state, position
        state = frequency * (state >> precision) + state % 2**precision - start
        if state < LOWER_BOUND:
            state = state * 2**32 + words[position]
            position += 1

    def take_raw(precision):
        value = state % 2**precision
        take(value, 1, precision)
        return value

    values = []
    for index in indexes:
        first, frequencies = tables[index]
        escape = len(frequencies) - 1
        slot = state % 2**PRECISION
        symbol = next(s for s in range(escape + 1) if slot < sum(frequencies[: s + 1]))
        take(sum(frequencies[:symbol]), frequencies[symbol], PRECISION)
        if symbol == escape:
            excess = 1
            for _ in range(take_raw(5) - 1):
                excess = 2 * excess + take_raw(1)
            symbol = escape + excess // 2 if excess % 2 else -(excess // 2)
        values.append(symbol + first)
    assert (state, position) == (LOWER_BOUND, len(words))
    return values
