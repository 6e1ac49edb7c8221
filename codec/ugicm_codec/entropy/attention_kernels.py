"""Attention on integers in loops that stay in the nearest caches, on CPUs.

What they compute is defined by ``attention``, whose PyTorch code runs elsewhere; tests hold the two
to each other. Sums are taken in float64, where each partial sum is an integer below 2**53. A
quotient of theirs that is no integer lies 2**-31 or more from one, far more than a division rounds
by: its floor is exact.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from ugicm_codec.entropy.attention import LOGIT_LIMIT, MASKED
from ugicm_codec.entropy.checkerboard import WINDOW, Checkerboard
from ugicm_codec.entropy.integers import table

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
    places = np.zeros((heads, 3, depth, batch, 2, 2, (height // 2 + WINDOW) * columns + _LANES))
    known = np.zeros(places.shape[4:], np.int32)
    _place(qkv.contiguous().numpy(), columns, places, known)
    out = torch.empty((batch, len(board.others), _NEIGHBOURS, channels // 3), dtype=torch.int16)
    biases = position_bias.to(torch.float64).contiguous().numpy()
    entries = table("exponential", torch.device("cpu")).numpy()
    size = (height, width, columns)
    _attend(places, known, size, biases, shift, entries, out.numpy())
    return out.flatten(2)


@numba.njit("void(int16[:,:,:,::1], int64, float64[:,:,:,:,:,:,::1], int32[:,:,::1])",
            nogil=True, cache=True)  # fmt: skip
def _place(qkv, columns, places, known):
    batch, height, width, channels = qkv.shape
    heads, parts = places.shape[:2]
    depth = channels // parts // heads
    for row in range(height):
        down = row + _MARGIN
        for column in range(width):
            across = column + _MARGIN
            at = down // 2 * columns + across // 2
            known[down % 2, across % 2, at] = (row + column) % 2
            for image in range(batch):
                here = qkv[image, row, column]
                for part in range(parts):
                    for d in range(depth):
                        for head in range(heads):
                            value = here[(part * depth + d) * heads + head]
                            places[head, part, d, image, down % 2, across % 2, at] = value


# Products and sums are exact whether they are contracted into one instruction or not.
@numba.njit("void(float64[:,:,:,:,:,:,::1], int32[:,:,::1], UniTuple(int64, 3),"
            "float64[:,:,::1], int64, int32[::1], int16[:,:,:,::1])",
            nogil=True, cache=True, error_model="numpy", fastmath={"contract"})  # fmt: skip
def _attend(places, known, size, biases, shift, entries, out):
    heads, _, padded_depth, batch = places.shape[:4]
    height, width, columns = size
    depth = out.shape[3] // heads
    last = np.int32(entries.size - 1)
    half, scale = 2.0 ** (shift - 1) if shift > 0 else 0.0, 2.0**-shift
    logits = np.empty((_NEIGHBOURS, _LANES), np.int32)
    weights = np.zeros((_NEIGHBOURS + 1, _LANES))
    quotients = np.empty((depth, _LANES), np.int16)
    sums, total = np.empty(_LANES), np.empty(_LANES)
    largest, positions = np.empty(_LANES, np.int32), np.empty(_LANES, np.int32)
    for task in range(batch * heads * 2 * _NEIGHBOURS):
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
