"""Attention on integers in loops that stay in the nearest caches, on CPUs.

What they compute is defined by ``attention``, whose PyTorch code runs elsewhere; tests hold the two
to each other. Sums are taken in float64, where each partial sum is an integer below 2**53. A
quotient of theirs that is no integer lies 2**-31 or more from one, far more than a division rounds
by: its floor is exact.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from ugicm_codec.entropy import team
from ugicm_codec.entropy.attention import LOGIT_LIMIT, MASKED
from ugicm_codec.entropy.checkerboard import WINDOW, Checkerboard
from ugicm_codec.entropy.integers import TABLE_SIZE, table

__all__ = ["attend_locally"]

_MARGIN = WINDOW // 2
_NEIGHBOURS = WINDOW**2
# Windows that are computed at once: what they need fits the nearest cache.
_LANES = 128
# Channels whose products are added at once; those beyond a head's own are zero.
_UNROLLED = 4


def attend_locally(qkv: Tensor, position_bias: Tensor, shift: int, board: Checkerboard) -> Tensor:
    """Do what ``attention.attend_locally`` does, without bringing windows into memory."""
    batch, height, width, channels = qkv.shape
    heads = len(position_bias)
    depth = -(-channels // 3 // heads // _UNROLLED) * _UNROLLED
    # Rows and columns of one parity side by side, as the centres of windows are.
    columns = width // 2 + WINDOW
    lanes = (height // 2 + WINDOW) * columns + _LANES
    places = torch.zeros((heads, 3, depth, batch, 2, 2, lanes), dtype=torch.float64)
    known = torch.zeros((2, 2, lanes), dtype=torch.int32)
    sizes = batch, height, width, heads, channels // 3, depth, columns, lanes
    team.run(_place, height, (*sizes, qkv.contiguous(), places, known))
    out = torch.empty((batch, len(board.others), _NEIGHBOURS, channels // 3), dtype=torch.int16)
    biases = position_bias.to(torch.float64).contiguous()
    entries = table("exponential", torch.device("cpu"))
    arguments = *sizes, places, known, biases, shift, entries, out, len(board.others)
    team.run(_attend, batch * heads * 2 * _NEIGHBOURS, arguments)
    return out.flatten(2)


@team.loop
def _place(address):
    batch, height, width, heads, channels, depth, columns, lanes = team.arguments(address, 8)
    source, wanted, board = team.arguments(address, 11)[8:]
    qkv = team.array(source, (batch, height, width, 3, channels // heads, heads), np.int16)
    places = team.array(wanted, (heads, 3, depth, batch, 2, 2, lanes), np.float64)
    known = team.array(board, (2, 2, lanes), np.int32)
    row = team.next_block(address)
    while row >= 0:
        down = row + _MARGIN
        for column in range(width):
            across = column + _MARGIN
            at = down // 2 * columns + across // 2
            known[down % 2, across % 2, at] = (row + column) % 2
            for image in range(batch):
                here = qkv[image, row, column]
                for part in range(3):
                    for d in range(channels // heads):
                        for head in range(heads):
                            value = here[part, d, head]
                            places[head, part, d, image, down % 2, across % 2, at] = value
        row = team.next_block(address)


# Products and sums are exact whether they are contracted into one instruction or not.
@numba.njit(error_model="numpy", fastmath={"contract"})
def _attend_from(task, size, places, known, biases, rounding, entries, logits, weights,
                 quotients, out):  # fmt: skip
    """Attend from one place of every window whose centre has one parity."""
    heads, _, padded_depth = places.shape[:3]
    height, width, columns, depth = size
    half, scale = rounding
    last = np.int32(entries.size - 1)
    sums, total = np.empty(_LANES), np.empty(_LANES)
    largest, positions = np.empty(_LANES, np.int32), np.empty(_LANES, np.int32)
    # Windows whose centres lie in rows and columns of this parity, which are no anchors.
    first, place = task % 2, task // 2 % _NEIGHBOURS
    head, image = task // 2 // _NEIGHBOURS % heads, task // 2 // _NEIGHBOURS // heads
    lanes = (height - first + 1) // 2 * columns
    for start in range(0, lanes, _LANES):
        down, across = first + place // WINDOW, first + place % WINDOW
        row, column = down % 2, across % 2
        at = start + down // 2 * columns + across // 2
        knows = known[row, column, at : at + _LANES]
        largest[:] = MASKED
        for there in range(_NEIGHBOURS):
            down, across = first + there // WINDOW, first + there % WINDOW
            line, side = down % 2, across % 2
            to = start + down // 2 * columns + across // 2
            sums[:] = biases[head, place, there] + half
            for d in range(0, padded_depth, _UNROLLED):
                q0 = places[head, 0, d, image, row, column, at : at + _LANES]
                q1 = places[head, 0, d + 1, image, row, column, at : at + _LANES]
                q2 = places[head, 0, d + 2, image, row, column, at : at + _LANES]
                q3 = places[head, 0, d + 3, image, row, column, at : at + _LANES]
                k0 = places[head, 1, d, image, line, side, to : to + _LANES]
                k1 = places[head, 1, d + 1, image, line, side, to : to + _LANES]
                k2 = places[head, 1, d + 2, image, line, side, to : to + _LANES]
                k3 = places[head, 1, d + 3, image, line, side, to : to + _LANES]
                for i in range(_LANES):
                    products = q0[i] * k0[i] + q1[i] * k1[i]
                    sums[i] += products + (q2[i] * k2[i] + q3[i] * k3[i])
            is_known = known[line, side, to : to + _LANES]
            logit = logits[there]
            for i in range(_LANES):
                bounded = min(max(np.floor(sums[i] * scale), -LOGIT_LIMIT), LOGIT_LIMIT)
                masked = knows[i] > is_known[i]
                logit[i] = np.int32(MASKED) if masked else np.int32(bounded)
            for i in range(_LANES):
                largest[i] = max(largest[i], logit[i])
        total[:] = 0.0
        for there in range(_NEIGHBOURS):
            weight, logit = weights[there], logits[there]
            for i in range(_LANES):
                positions[i] = min(largest[i] - logit[i], last)
            for i in range(_LANES):
                weight[i] = entries[np.uint32(positions[i])]
            for i in range(_LANES):
                total[i] += weight[i]
        for d in range(depth):
            sums[:] = 0.0
            # In pairs; what would follow the last has no weight.
            for there in range(0, _NEIGHBOURS, 2):
                down, across = first + there // WINDOW, first + there % WINDOW
                to = start + down // 2 * columns + across // 2
                v0 = places[head, 2, d, image, down % 2, across % 2, to : to + _LANES]
                down, across = first + (there + 1) // WINDOW, first + (there + 1) % WINDOW
                to = start + down // 2 * columns + across // 2
                v1 = places[head, 2, d, image, down % 2, across % 2, to : to + _LANES]
                w0, w1 = weights[there], weights[there + 1]
                for i in range(_LANES):
                    sums[i] += w0[i] * v0[i] + w1[i] * v1[i]
            quotient = quotients[d]
            for i in range(_LANES):
                # As ``divide``.
                doubled = 2.0 * sums[i] + total[i]
                quotient[i] = np.int16(np.floor(doubled / (2.0 * total[i])))
        for lane in range(min(_LANES, lanes - start)):
            pair, across = (start + lane) // columns, (start + lane) % columns
            if 2 * across + first < width:
                other = ((2 * pair + first) * width + 1) // 2 + across
                mixed = out[image, other, place, head * depth : (head + 1) * depth]
                for d in range(depth):
                    mixed[d] = quotients[d, lane]


@team.loop
def _attend(address):
    batch, height, width, heads, channels, padded_depth, columns, lanes = team.arguments(address, 8)
    stored, board, added, shift, table_, results, others = team.arguments(address, 15)[8:]
    depth = channels // heads
    places = team.array(stored, (heads, 3, padded_depth, batch, 2, 2, lanes), np.float64)
    known = team.array(board, (2, 2, lanes), np.int32)
    biases = team.array(added, (heads, _NEIGHBOURS, _NEIGHBOURS), np.float64)
    entries = team.array(table_, TABLE_SIZE, np.int32)
    out = team.array(results, (batch, others, _NEIGHBOURS, channels), np.int16)
    half = math.ldexp(0.5, shift) if shift > 0 else 0.0
    scale = math.ldexp(1.0, -shift)
    logits = np.empty((_NEIGHBOURS, _LANES), np.int32)
    weights = np.zeros((_NEIGHBOURS + 1, _LANES))
    quotients = np.empty((depth, _LANES), np.int16)
    task = team.next_block(address)
    while task >= 0:
        _attend_from(
            task, (height, width, columns, depth), places, known, biases, (half, scale), entries,
            logits, weights, quotients, out,
        )  # fmt: skip
        task = team.next_block(address)
