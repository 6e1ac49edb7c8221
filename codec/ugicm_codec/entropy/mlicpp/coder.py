"""Codes latents under MLIC++'s entropy model: hyper-latents, then slice by slice, anchors first.

Encoder and decoder run the same steps; they differ in where a step's symbols come from. All steps
of a picture share one coded section: docs/bitstream.md lays it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugicm_codec.bitstream import latents_checksum
from ugicm_codec.entropy import rans
from ugicm_codec.entropy.checkerboard import checkerboard
from ugicm_codec.entropy.fixedpoint import ACTIVATION_LIMIT, Product
from ugicm_codec.entropy.hyperprior import CodedLatents
from ugicm_codec.entropy.integers import GELU_BITS, LATENT_BITS, rescale
from ugicm_codec.entropy.mlicpp.dataflow import Arithmetic, Parameters, hyper_features, steps
from ugicm_codec.entropy.mlicpp.exact import ExactArithmetic
from ugicm_codec.entropy.mlicpp.forms import Sizes
from ugicm_codec.entropy.rans import MAX_VALUE, CodingTables, SectionReader
from ugicm_codec.errors import LatentsMismatch

__all__ = ["CONTEXT_SIDE", "HYPER_BITS", "PARAMETER_BITS", "MlicppCoder"]

# The contexts see at most this many latents along a side; larger pictures are coded in tiles.
CONTEXT_SIDE = 128

# Bits of the hyper-latents as the first layer reads them, and of scales and means.
HYPER_BITS = 4
PARAMETER_BITS = GELU_BITS

# Latents are coded within what symbols and means together can reach.
_LATENT_LIMIT = MAX_VALUE << LATENT_BITS

# Symbols of one step, ``(N, P, s)`` int64: of the parameters, their means in the latents' units and
# the table indexes ``(N, P * s)``.
_Symbols = Callable[[Parameters, Tensor, NDArray[np.uint8]], Tensor]


@dataclass(frozen=True, eq=False)
class MlicppCoder:
    """The exact entropy model of one model file; holds no state between calls.

    Attributes:
        arithmetic: all layers.
        sizes: of the layers.
        hyper_offsets: ``(C,)`` int64 of ``HYPER_BITS``, what hyper-latents lie beside integers.
        thresholds: ``(tables - 1,)`` int32, ascending: a latent's table is the number of
            thresholds below its scale.
        latent_tables: one row per scale.
        hyper_tables: one row per hyper-latent channel.
    """

    arithmetic: Arithmetic
    sizes: Sizes
    hyper_offsets: Tensor
    thresholds: Tensor
    latent_tables: CodingTables
    hyper_tables: CodingTables

    @classmethod
    def build(
        cls,
        entropy: Mapping[str, Tensor],
        sizes: Sizes,
        *,
        latent_tables: CodingTables,
        hyper_tables: CodingTables,
        device: torch.device,
        products: Sequence[Product],
    ) -> MlicppCoder:
        """Take a model file's tensors, and prove the integer arithmetic exact on ``device``.

        Raises:
            ValueError: a number might make the arithmetic inexact.
            InexactArithmetic: none of ``products`` is exact on the device.
        """
        thresholds, offsets = entropy["thresholds"], entropy["hyper_offsets"]
        for name, values in (("thresholds", thresholds), ("hyper_offsets", offsets)):
            if values.numel() and not -(2**30) <= int(values.min()) <= int(values.max()) < 2**30:
                raise ValueError(f"{name} stay within 2**30")
        return cls(
            arithmetic=ExactArithmetic(entropy, sizes, device=device, products=products),
            sizes=sizes,
            hyper_offsets=offsets.to(device),
            thresholds=thresholds.to(device=device, dtype=torch.int32),
            latent_tables=latent_tables,
            hyper_tables=hyper_tables,
        )

    def encode(self, latents: Tensor, hyper: NDArray[np.int16]) -> CodedLatents:
        """Code one picture.

        Args:
            latents: ``(h, w, M)`` float, times their gains and not yet rounded.
            hyper: ``(ceil(h/4), ceil(w/4), C)``.
        """
        units = (latents.to(torch.float64) * 2**LATENT_BITS).round_()
        fixed = units.clamp_(-_LATENT_LIMIT, _LATENT_LIMIT).to(torch.int32)
        features = self._features([hyper])
        symbols: list[NDArray[np.int16]] = []
        indexes: list[NDArray[np.uint8]] = []
        coded = torch.empty_like(fixed)
        for rows, columns in _tiles(*fixed.shape[:2]):
            wanted = fixed[rows, columns].flatten(0, 1)

            def rounded(
                step: Parameters,
                means: Tensor,
                tables: NDArray[np.uint8],
                wanted: Tensor = wanted,
            ) -> Tensor:
                distances = wanted[step.positions, step.channels] - means
                chosen = rescale(distances, LATENT_BITS).clamp_(-MAX_VALUE, MAX_VALUE)
                symbols.append(chosen.to(torch.int16).cpu().numpy().ravel())
                indexes.append(tables[0])
                return chosen

            coded[rows, columns] = self._run(features[:, rows, columns], rounded)[0]
        section = rans.encode(np.concatenate(symbols), np.concatenate(indexes), self.latent_tables)
        return CodedLatents(
            hyper=rans.encode(hyper.ravel(), _channels(hyper.shape), self.hyper_tables),
            latents=section,
            checksum=_checksum(hyper, coded.cpu().numpy()),
        )

    def decode(
        self, coded: Sequence[CodedLatents], height: int, width: int
    ) -> list[NDArray[np.int32]]:
        """Return ``(height, width, M)`` of each picture, of ``LATENT_BITS``; all are of one size.

        Raises:
            CorruptStream: a section cannot be decoded.
            LatentsMismatch: all could, one to other latents than the encoder had.
        """
        shape = (-(-height // 4), -(-width // 4), self.sizes.channels)
        hypers = [
            rans.decode(one.hyper, _channels(shape), self.hyper_tables).reshape(shape)
            for one in coded
        ]
        readers = [SectionReader(one.latents, self.latent_tables) for one in coded]
        features = self._features(hypers)

        def read(_: Parameters, means: Tensor, tables: NDArray[np.uint8]) -> Tensor:
            values = [reader.read(row) for reader, row in zip(readers, tables, strict=True)]
            return torch.from_numpy(np.stack(values)).to(means.device).view(means.shape)

        latents = torch.empty(
            (len(coded), height, width, self.sizes.latent_channels),
            dtype=torch.int32,
            device=self.thresholds.device,
        )
        for rows, columns in _tiles(height, width):
            latents[:, rows, columns] = self._run(features[:, rows, columns], read)
        for reader in readers:
            reader.finish()
        decoded = list(latents.cpu().numpy())
        for one, hyper, integers in zip(coded, hypers, decoded, strict=True):
            if _checksum(hyper, integers) != one.checksum:
                raise LatentsMismatch("the decoded latents are not those that the encoder coded")
        return decoded

    def _features(self, hypers: Sequence[NDArray[np.int16]]) -> Tensor:
        """Return ``(N, 4 a, 4 b, 2 M)``, the hyper-synthesis of integers of one size."""
        integers = torch.from_numpy(np.stack(hypers)).to(self.thresholds.device).to(torch.int64)
        values = (integers << HYPER_BITS) + self.hyper_offsets
        entering = values.clamp_(-ACTIVATION_LIMIT, ACTIVATION_LIMIT).to(torch.int16)
        return hyper_features(self.arithmetic, entering)

    def _run(self, features: Tensor, symbols_of: _Symbols) -> Tensor:
        """Return a tile's latents, ``(N, h, w, M)`` int32."""
        batch, height, width, _ = features.shape
        board = checkerboard(height, width, features.device)
        empty = torch.zeros(
            (batch, height, width, self.sizes.latent_channels),
            dtype=torch.int32,
            device=features.device,
        )
        running = steps(self.arithmetic, self.sizes, features.contiguous(), board, empty)
        step = next(running)
        while True:
            means = rescale(step.means, PARAMETER_BITS - LATENT_BITS)
            tables = torch.bucketize(step.scales.contiguous(), self.thresholds, out_int32=True)
            indexes = tables.to(torch.uint8).flatten(1).cpu().numpy()
            symbols = symbols_of(step, means, indexes)
            try:
                step = running.send((symbols.to(torch.int32) << LATENT_BITS) + means)
            except StopIteration as end:
                latents: Tensor = end.value
                return latents


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, CONTEXT_SIDE):
        for left in range(0, width, CONTEXT_SIDE):
            rows = slice(top, min(top + CONTEXT_SIDE, height))
            yield rows, slice(left, min(left + CONTEXT_SIDE, width))


def _channels(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    height, width, channels = shape
    return np.tile(np.arange(channels, dtype=np.uint8), height * width)


def _checksum(hyper: NDArray[np.int16], latents: NDArray[np.int32]) -> int:
    return latents_checksum(hyper.astype("<i2").tobytes(), latents.astype("<i4").tobytes())
