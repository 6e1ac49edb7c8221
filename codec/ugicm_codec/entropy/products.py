"""Ways to multiply integers exactly, and the proof that one is exact on this machine.

``float64_product`` computes on whole numbers. The others compute on 7-bit digits, two for each
activation: ``int8_product`` in PyTorch's integer product, ``packed_product`` in oneDNN's quantised
convolution on CPUs, which keeps weights in the processor's own order and gathers no neighbourhoods.
With all 8 bits on both sides some instruction sets saturate pairs of products: operands here are at
most 7 bits times 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ugicm_codec.entropy import kernels
from ugicm_codec.entropy.endings import Ending
from ugicm_codec.entropy.fixedpoint import (
    ACTIVATION_LIMIT,
    Finish,
    FixedPointLayer,
    Product,
    split_digits,
)
from ugicm_codec.errors import InexactArithmetic

__all__ = ["PRODUCTS", "exact_product", "float64_product", "int8_product", "packed_product"]

# A map is processed in chunks of about this many gathered numbers, or sums.
_CHUNK_ELEMENTS = 2**23
# Sums of products of 7-bit digits, two of which are added, stay exact in int32 to this depth.
_INT8_MAX_DEPTH = 2**30 // 64**2
# Height and width of the maps that every layer is tried on.
_PROBE_SIZE = (3, 5)
# CUDA's int8 product refuses fewer rows.
_INT8_MIN_ROWS = 17


def float64_product(
    parts: Sequence[Tensor], layer: FixedPointLayer, finish: Finish, at: Tensor | None = None
) -> Tensor:
    """Multiply exactly in float64: every partial sum is an integer below 2**53."""
    results = [
        finish((rows[0].to(torch.float64) @ layer.weight64).to(torch.int64).add_(layer.bias))
        for rows in _gather(parts, layer, at, by_digits=False)
    ]
    return _side_by_side(results, parts, layer)


def int8_product(
    parts: Sequence[Tensor], layer: FixedPointLayer, finish: Finish, at: Tensor | None = None
) -> Tensor:
    """Multiply 7-bit digits exactly in int8 with int32 sums.

    Raises:
        NotImplementedError: sums of so many products might leave int32.
    """
    if layer.weight.shape[0] > _INT8_MAX_DEPTH:
        raise NotImplementedError(f"sums of {layer.weight.shape[0]} products may leave int32")
    results = [
        finish(_combine_digits(_multiply_digits(rows, layer), layer).add_(layer.bias))
        for rows in _gather(parts, layer, at, by_digits=True)
    ]
    return _side_by_side(results, parts, layer)


def packed_product(
    parts: Sequence[Tensor], layer: FixedPointLayer, finish: Finish, at: Tensor | None = None
) -> Tensor:
    """Multiply 7-bit digits exactly in oneDNN's convolution of bytes, on a CPU.

    Raises:
        NotImplementedError: the device is another one.
    """
    if parts[0].device.type != "cpu":
        raise NotImplementedError("oneDNN computes on CPUs")
    batch, height, width, _ = parts[0].shape
    columns = len(layer.bias)
    if layer.packed is None or parts[0].numel() == 0:
        return int8_product(parts, layer, finish, at)
    digits = kernels.split_digits(parts)
    if layer.kernel == 1:
        # Without neighbours a map is a list of positions, whatever its size.
        results = [
            _finish_packed(layer.packed.convolve(some[:, None])[:, 0], layer, finish)
            for some in digits.flatten(1, 3).split(max(1, _CHUNK_ELEMENTS // (4 * columns)), dim=1)
        ]
        out = torch.cat(results).view(batch, -1, columns)
        return out if at is None else out[:, at]
    reach = layer.kernel // 2
    rows_at_once = max(1, _CHUNK_ELEMENTS // (2 * batch * width * 2 * columns))
    results = []
    for first in range(0, height, rows_at_once):
        last = min(height, first + rows_at_once)
        above, below = max(0, first - reach), min(height, last + reach)
        sums = layer.packed.convolve(digits[:, :, above:below].flatten(0, 1))
        kept = sums.view(2, batch, below - above, width, -1)[:, :, first - above : last - above]
        result = _finish_packed(kept.reshape(2, -1, sums.shape[3]), layer, finish)
        results.append(result.view(batch, -1, columns))
    out = results[0] if len(results) == 1 else torch.cat(results, dim=1)
    return out if at is None else out[:, at]


# Fastest first.
PRODUCTS: tuple[Product, ...] = (packed_product, int8_product, float64_product)


def exact_product(layers: Sequence[FixedPointLayer], candidates: Sequence[Product]) -> Product:
    """Return the first candidate that is exact for each of these layers on its device.

    Raises:
        InexactArithmetic: none is.
    """
    # Integers, which take long, for one layer of each form; every layer is held to float64 then.
    forms = {(layer.weight.shape, layer.kernel): layer for layer in layers}
    for product in candidates:
        if all(_is_exact(product, layer) for layer in forms.values()) and all(
            _agrees_on_maps(product, layer) for layer in layers
        ):
            return product
    raise InexactArithmetic("no matrix product of this machine is exact")


def _is_exact(product: Product, layer: FixedPointLayer) -> bool:
    """Multiply extremes of both signs in every position, and a pattern that fills both digits."""
    depth, kernel = layer.weight.shape[0], layer.kernel
    generator = torch.Generator().manual_seed(depth)
    probe = torch.randint(-ACTIVATION_LIMIT, ACTIVATION_LIMIT + 1, (32, depth), generator=generator)
    probe[0], probe[1] = ACTIVATION_LIMIT, -ACTIVATION_LIMIT
    probe[2] = torch.where(layer.weight[:, 0].cpu() < 0, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    expected = probe @ layer.weight.cpu().long() + layer.bias.cpu()
    # Each is a map whose middle sees all of it.
    maps = probe.to(torch.int16).view(len(probe), kernel, kernel, -1).to(layer.weight.device)
    middle = torch.tensor([kernel**2 // 2], device=maps.device)
    got = _tried(product, maps, layer, torch.clone, middle)
    return got is not None and torch.equal(got[:, 0].cpu(), expected)


def _agrees_on_maps(product: Product, layer: FixedPointLayer) -> bool:
    """Run the layer as it will be run, edges and what ends its sums included."""
    if product is float64_product:
        return True
    channels = layer.weight.shape[0] // layer.kernel**2
    generator = torch.Generator().manual_seed(channels)
    limits = -ACTIVATION_LIMIT, ACTIVATION_LIMIT + 1
    maps = torch.randint(*limits, (2, *_PROBE_SIZE, channels), generator=generator)
    maps[0, ::2] = ACTIVATION_LIMIT
    maps = maps.to(torch.int16)
    (rows,) = _gather([maps], layer, None, by_digits=False)
    weight, bias = layer.weight.cpu().to(torch.float64), layer.bias.cpu()
    sums = (rows[0].to(torch.float64) @ weight).to(torch.int64).add_(bias)
    got = _tried(product, maps.to(layer.weight.device), layer, layer.activate)
    return got is not None and torch.equal(got.flatten(0, 1).cpu(), layer.activate(sums))


def _tried(
    product: Product,
    maps: Tensor,
    layer: FixedPointLayer,
    finish: Finish,
    at: Tensor | None = None,
) -> Tensor | None:
    """Return what a product gives, or None where the device lacks it."""
    try:
        return product([maps], layer, finish, at)
    except RuntimeError:
        return None


def _side_by_side(results: list[Tensor], parts: Sequence[Tensor], layer: FixedPointLayer) -> Tensor:
    batch = len(parts[0])
    shaped = [result.view(batch, -1, len(layer.bias)) for result in results]
    return shaped[0] if len(shaped) == 1 else torch.cat(shaped, dim=1)


def _gather(
    parts: Sequence[Tensor], layer: FixedPointLayer, at: Tensor | None, *, by_digits: bool
) -> Iterator[Tensor]:
    """Yield neighbourhoods, ``(D, N * P, K)``: of whole numbers, or of high and low digits."""
    whole = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=3)
    batch, _, width, channels = whole.shape
    kernel, reach = layer.kernel, layer.kernel // 2
    padded = functional.pad(whole, (0, 0, reach, reach, reach, reach)).contiguous()
    # Split before they are gathered: each number is gathered many times.
    windows = _windows(split_digits(padded) if by_digits else padded[None], kernel)
    at_once = max(1, _CHUNK_ELEMENTS // max(1, batch * len(layer.weight)))
    if at is None:
        chunks = windows.split(max(1, at_once // max(1, width)), dim=2)
    else:
        chunks = tuple(windows[:, :, some // width, some % width] for some in at.split(at_once))
    for chunk in chunks:
        yield chunk.reshape(len(windows), -1, kernel**2 * channels)


def _windows(planes: Tensor, kernel: int) -> Tensor:
    """View ``(D, N, H, W, C)`` as ``(D, N, H', W', kernel, kernel * C)``, without its margin."""
    *lead, height, width, channels = planes.shape
    reach = kernel - 1
    size = (*lead, height - reach, width - reach, kernel, kernel * channels)
    # Within a window's row, the channels of neighbouring columns stand side by side.
    return planes.as_strided(size, (*planes.stride()[:4], width * channels, 1))


def _multiply_digits(planes: Tensor, layer: FixedPointLayer) -> Tensor:
    """Return the products, int32, of ``(2, R, K)``: rows of high digits, then of low ones."""
    # One product for both: the weight is brought into the product's own order once.
    rows = planes.flatten(0, 1)
    if len(rows) < _INT8_MIN_ROWS:
        padded = functional.pad(rows, (0, 0, 0, _INT8_MIN_ROWS - len(rows)))
        return torch._int_mm(padded, layer.digits)[: len(rows)]
    return torch._int_mm(rows, layer.digits)


def _combine_digits(products: Tensor, layer: FixedPointLayer) -> Tensor:
    """Return the sums, int64, that products of digits stand for."""
    high, low = products.chunk(2)
    columns = len(layer.bias)
    if products.shape[1] == columns:
        return high.to(torch.int64).mul_(128).add_(low)
    middle = high[:, columns:] + low[:, :columns]
    sums = high[:, :columns].to(torch.int64).mul_(128).add_(middle)
    return sums.mul_(128).add_(low[:, columns:])


def _finish_packed(products: Tensor, layer: FixedPointLayer, finish: Finish) -> Tensor:
    if isinstance(finish, Ending):
        return kernels.finish_products(products, layer.bias64, finish)
    whole = products.flatten(0, 1).to(torch.int32)
    return finish(_combine_digits(whole, layer).add_(layer.bias))
