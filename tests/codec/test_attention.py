"""Attention on integers: exactly its definition, and close to attention on floats."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ugicm_codec.entropy import attention
from ugicm_codec.entropy.attention import attend_globally, attend_locally
from ugicm_codec.entropy.checkerboard import checkerboard
from ugicm_codec.entropy.integers import EXPONENTIAL_BITS, LOGIT_BITS, table_entries

CPU = torch.device("cpu")
EXPONENTIALS = [round(value) for value in table_entries("exponential")]


def draw(*shape, reach, seed=0):
    return torch.randint(
        -reach, reach + 1, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32
    )


def quotient(numerator, denominator):
    return (2 * numerator + denominator) // (2 * denominator)


def weights_of(logits):
    """Return the weights of a list of Python integers."""
    return [EXPONENTIALS[min(max(logits) - logit, len(EXPONENTIALS) - 1)] for logit in logits]


@settings(max_examples=15)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_global_attention_is_its_definition_in_python_integers(wanted, known, seed):
    heads, depth = 2, 3
    queries, keys = (
        draw(1, count, heads * depth, reach=9000, seed=seed + count) for count in (wanted, known)
    )
    values = draw(1, known, heads * depth, reach=8127, seed=seed).short()
    got = attend_globally(queries, keys, values, heads)[0].tolist()
    for head in range(heads):
        channels = range(head * depth, (head + 1) * depth)
        means = []
        for c in channels:
            of_keys = weights_of(keys[0, :, c].tolist())
            means.append(
                [
                    quotient(
                        sum(w * v for w, v in zip(of_keys, values[0, :, d].tolist(), strict=True))
                        << 4,
                        sum(of_keys),
                    )
                    for d in channels
                ]
            )
        for place in range(wanted):
            of_query = weights_of(queries[0, place, channels.start : channels.stop].tolist())
            for index, d in enumerate(channels):
                mixed = sum(w * mean[index] for w, mean in zip(of_query, means, strict=True))
                assert got[place][d] == quotient(mixed, sum(of_query) << 4)


def test_global_attention_is_close_to_that_on_floats():
    queries, keys = (draw(2, 40, 16, reach=4000, seed=seed) for seed in (1, 2))
    values = draw(2, 40, 16, reach=8000, seed=3).short()
    query, key = ((each.double() / 2**LOGIT_BITS).unflatten(2, (4, 4)) for each in (queries, keys))
    means = torch.einsum("npkc,npkd->nkcd", key.softmax(1), values.double().unflatten(2, (4, 4)))
    expected = torch.einsum("npkc,nkcd->npkd", query.softmax(3), means).flatten(2)
    got = attend_globally(queries, keys, values, 4)
    assert (got - expected).abs().max() < 0.6


def test_without_keys_global_attention_is_zero():
    nothing = torch.zeros((1, 0, 4), dtype=torch.int32)
    attended = attend_globally(draw(1, 3, 4, reach=9), nothing, nothing.short(), 2)
    assert attended.eq(0).all()
    assert attended.shape == (1, 3, 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 2), (4, 5)])
def test_local_attention_is_its_definition_in_python_integers(size):
    height, width = size
    channels, heads, shift = 4, 2, 8
    depth = channels // heads
    qkv = draw(1, height, width, 3 * channels, reach=700, seed=4).short()
    bias = draw(heads, 25, 25, reach=2**19, seed=5).long()
    board = checkerboard(height, width, CPU)
    got = attend_locally(qkv, bias, shift, board)[0].view(-1, 25, channels).tolist()

    def at(row, column, part, head, d):
        inside = 0 <= row < height and 0 <= column < width
        return int(qkv[0, row, column, part * channels + d * heads + head]) if inside else 0

    def anchor(row, column):
        return 0 <= row < height and 0 <= column < width and (row + column) % 2 == 1

    window = [(row, column) for row in range(-2, 3) for column in range(-2, 3)]
    for place, centre in enumerate(board.others.tolist()):
        places = [(centre // width + dy, centre % width + dx) for dy, dx in window]
        for head in range(heads):
            for i, here in enumerate(places):
                seen = [j for j, there in enumerate(places) if not anchor(*here) or anchor(*there)]
                logits = []
                for j in seen:
                    product = sum(
                        at(*here, 0, head, d) * at(*places[j], 1, head, d) for d in range(depth)
                    )
                    logits.append((product + int(bias[head, i, j]) + 2 ** (shift - 1)) >> shift)
                weights = weights_of(logits)
                for d in range(depth):
                    total = sum(
                        w * at(*places[j], 2, head, d) for w, j in zip(weights, seen, strict=True)
                    )
                    assert got[place][i][head * depth + d] == quotient(total, sum(weights))


def test_chunks_and_batches_change_nothing(monkeypatch):
    qkv = draw(3, 7, 6, 24, reach=900, seed=6).short()
    bias = draw(2, 25, 25, reach=2**12, seed=7).long()
    board = checkerboard(7, 6, CPU)
    whole = attend_locally(qkv, bias, 10, board)
    monkeypatch.setattr(attention, "_CHUNK_ELEMENTS", 1)
    parts = [attend_locally(one[None], bias, 10, board)[0] for one in qkv]
    assert torch.equal(torch.stack(parts), whole)


def test_a_weight_of_the_largest_logit_is_one():
    assert EXPONENTIALS[0] == 2**EXPONENTIAL_BITS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_attention_on_a_gpu_is_that_of_the_cpu():
    queries, keys = (draw(2, 400, 32, reach=4000, seed=seed) for seed in (1, 2))
    values = draw(2, 400, 32, reach=8127, seed=3).short()
    there = attend_globally(queries.cuda(), keys.cuda(), values.cuda(), 2)
    assert torch.equal(there.cpu(), attend_globally(queries, keys, values, 2))
    qkv = draw(2, 9, 11, 96, reach=8127, seed=6).short()
    bias = draw(2, 25, 25, reach=2**22, seed=7).long()
    cuda = torch.device("cuda", torch.cuda.current_device())
    there = attend_locally(qkv.cuda(), bias.cuda(), 12, checkerboard(9, 11, cuda))
    assert torch.equal(there.cpu(), attend_locally(qkv, bias, 12, checkerboard(9, 11, CPU)))
