"""Codes latents under a scale hyperprior: hyper-latents first, then latents with their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugicm_codec.bitstream import latents_checksum
from ugicm_codec.entropy import rans
from ugicm_codec.entropy.fixedpoint import FixedPointNetwork
from ugicm_codec.entropy.rans import MAX_VALUE, CodingTables
from ugicm_codec.errors import LatentsMismatch

__all__ = ["CodedLatents", "HyperpriorCoder"]


@dataclass(frozen=True)
class CodedLatents:
    """Two coded sections and the checksum of what they hold."""

    hyper: bytes
    latents: bytes
    checksum: int


@dataclass(frozen=True, eq=False)
class HyperpriorCoder:
    """The exact entropy model of one model file.

    Attributes:
        network: hyper-latents to scales, on ``device``.
        thresholds: ``(tables - 1,)`` int64, ascending: a latent's table is the number of
            thresholds below its scale.
        latent_tables: one row per scale.
        hyper_tables: one row per hyper-latent channel.
    """

    network: FixedPointNetwork
    thresholds: Tensor
    latent_tables: CodingTables
    hyper_tables: CodingTables

    def encode(self, latents: Tensor, hyper: NDArray[np.int16]) -> CodedLatents:
        """Code one picture.

        Args:
            latents: ``(h, w, M)`` float, times their gains and not yet rounded.
            hyper: ``(ceil(h/4), ceil(w/4), C)``.
        """
        rounded = latents.round().clamp_(-MAX_VALUE, MAX_VALUE).to(torch.int16)
        integers = np.ascontiguousarray(rounded.cpu().numpy())
        indexes = self._table_indexes(hyper, integers.shape[0], integers.shape[1])
        return CodedLatents(
            hyper=rans.encode(hyper.ravel(), self._channel_indexes(hyper), self.hyper_tables),
            latents=rans.encode(integers.ravel(), indexes.ravel(), self.latent_tables),
            checksum=_checksum(hyper, integers),
        )

    def decode(
        self, coded: Sequence[CodedLatents], height: int, width: int
    ) -> list[NDArray[np.int16]]:
        """Return ``(height, width, M)`` of each picture; all are of one size.

        Raises:
            CorruptStream: a section cannot be decoded.
            LatentsMismatch: both could, to other integers than the encoder coded.
        """
        return [self._decode(one, height, width) for one in coded]

    def _decode(self, coded: CodedLatents, height: int, width: int) -> NDArray[np.int16]:
        shape = (-(-height // 4), -(-width // 4), self.hyper_tables.offset.size)
        empty = np.empty(shape, np.int16)
        hyper = rans.decode(coded.hyper, self._channel_indexes(empty), self.hyper_tables)
        hyper = hyper.reshape(shape)
        indexes = self._table_indexes(hyper, height, width)
        flat = rans.decode(coded.latents, indexes.ravel(), self.latent_tables)
        latents = flat.reshape(indexes.shape)
        if _checksum(hyper, latents) != coded.checksum:
            raise LatentsMismatch("the decoded latents are not those that the encoder coded")
        return latents

    def _channel_indexes(self, hyper: NDArray[np.int16]) -> NDArray[np.uint8]:
        height, width, channels = hyper.shape
        return np.tile(np.arange(channels, dtype=np.uint8), height * width)

    def _table_indexes(
        self, hyper: NDArray[np.int16], height: int, width: int
    ) -> NDArray[np.uint8]:
        device = self.thresholds.device
        indexes = self.network(torch.from_numpy(hyper)[None].to(device), self._tables_of)
        return np.ascontiguousarray(indexes[0, :height, :width].cpu().numpy())

    def _tables_of(self, scales: Tensor) -> Tensor:
        return torch.bucketize(scales, self.thresholds, out_int32=True).to(torch.uint8)


def _checksum(hyper: NDArray[np.int16], latents: NDArray[np.int16]) -> int:
    return latents_checksum(hyper.astype("<i2").tobytes(), latents.astype("<i2").tobytes())
