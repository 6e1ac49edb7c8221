"""Decodes streams on every device, thread count and exact product that there is, and compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray

from ugicm_codec import Codec
from ugicm_codec.entropy.fixedpoint import Product
from ugicm_codec.entropy.products import PRODUCTS
from ugicm_codec.errors import BitstreamError, InexactArithmetic

__all__ = ["Agreement", "Verdict", "agreements"]


class Verdict(Enum):
    """What one way of decoding says of the streams' latents."""

    SAME = "same latents"
    DIFFERENT = "different latents"
    # The codec proves its arithmetic when it loads a model, and takes another product then.
    REFUSED = "not exact here, refused when loading"


@dataclass(frozen=True)
class Agreement:
    """One device, product and number of threads, and what it decoded."""

    variant: str
    verdict: Verdict


def agreements(
    model: str,
    streams: Sequence[bytes],
    *,
    products: Sequence[Product] = PRODUCTS,
) -> Iterator[Agreement]:
    """Yield the verdict of each variant present: the CPU, and CUDA where there is a device.

    Args:
        model: path or bundled name.
        streams: of that model.
        products: integer arithmetic to try, each for itself.

    Raises:
        ModelError: there is no such model, or it does not run here.
    """
    codec = Codec.load(model)
    expected = [codec.decode_latents(stream).integers for stream in streams]
    for device, threads in _places():
        for product in products:
            with _threads(threads):
                verdict = _verdict(model, device, product, streams, expected)
            yield Agreement(f"{device}, {product.__name__}, {threads} threads", verdict)


def _places() -> Iterator[tuple[str, int]]:
    default = torch.get_num_threads()
    yield from (("cpu", threads) for threads in sorted({1, 2, default}))
    if torch.cuda.is_available():
        yield "cuda", default


def _verdict(
    model: str,
    device: str,
    product: Product,
    streams: Sequence[bytes],
    expected: Sequence[NDArray[np.int16]],
) -> Verdict:
    try:
        codec = Codec.load(model, device, products=(product,))
    except InexactArithmetic:
        return Verdict.REFUSED
    try:
        latents = [codec.decode_latents(stream).integers for stream in streams]
    # Another table index ruins what follows: the streams' own checksums notice.
    except BitstreamError:
        return Verdict.DIFFERENT
    same = all(np.array_equal(ours, theirs) for ours, theirs in zip(latents, expected, strict=True))
    return Verdict.SAME if same else Verdict.DIFFERENT


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
