"""MLIC++ decoded the plain way: floats, whole grids under masks, a Python list for every symbol.

This is what the benchmark compares with: the float model's own modules, in the order in which the
publication decodes them, with CompressAI's coder. It is not exact from one machine to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import torchvision_cpu

torchvision_cpu.ensure()

from compressai.ans import BufferedRansEncoder, RansDecoder  # noqa: E402

from ugicm_codec.models.mlicpp.checkerboard import anchors  # noqa: E402
from ugicm_training.mlicpp import TrainableMlicpp  # noqa: E402
from ugicm_training.tables import gaussian_tables, scale_boundaries  # noqa: E402


@dataclass(frozen=True)
class _Tables:
    cumulative: list[list[int]]
    sizes: list[int]
    offsets: list[int]


class _Encoder:
    """Collects each step's symbols as the decoder will ask for them."""

    def __init__(self, y: Tensor, tables: _Tables) -> None:
        self._y = y
        self._tables = tables
        self._symbols: list[int] = []
        self._indexes: list[int] = []

    def __call__(self, channels: slice, scales: Tensor, means: Tensor, board: Tensor) -> Tensor:
        symbols = (self._y[:, channels] - means).round()[..., board]
        self._symbols += symbols.int().flatten().tolist()
        self._indexes += _indexes(scales[..., board])
        return symbols

    def section(self) -> bytes:
        encoder = BufferedRansEncoder()
        tables = self._tables
        encoder.encode_with_indexes(
            self._symbols, self._indexes, tables.cumulative, tables.sizes, tables.offsets
        )
        section: bytes = encoder.flush()
        return section


class _Decoder:
    def __init__(self, section: bytes, tables: _Tables) -> None:
        self._decoder = RansDecoder()
        self._decoder.set_stream(section)
        self._tables = tables

    def __call__(self, channels: slice, scales: Tensor, means: Tensor, board: Tensor) -> Tensor:
        tables = self._tables
        values = self._decoder.decode_stream(
            _indexes(scales[..., board]), tables.cumulative, tables.sizes, tables.offsets
        )
        return torch.tensor(values, dtype=torch.float32).view_as(means[..., board])


class PlainMlicpp:
    """Codes latents one picture at a time; hyper-latents are taken as known on both sides."""

    def __init__(self, model: TrainableMlicpp) -> None:
        self.model = model
        tables = gaussian_tables()
        sizes = tables["num_symbols"].tolist()
        self._tables = _Tables(
            cumulative=[
                row[: size + 1]
                for row, size in zip(tables["cumulative"].tolist(), sizes, strict=True)
            ],
            sizes=[size + 1 for size in sizes],
            offsets=tables["offset"].tolist(),
        )

    @torch.inference_mode()
    def encode(self, y: Tensor, z_hat: Tensor) -> bytes:
        """Return the latents' section of ``(1, M, h, w)``."""
        encoder = _Encoder(y, self._tables)
        self._latents(z_hat, encoder)
        return encoder.section()

    @torch.inference_mode()
    def decode_latents(self, section: bytes, z_hat: Tensor) -> Tensor:
        """Return ``(1, M, h, w)``."""
        return self._latents(z_hat, _Decoder(section, self._tables))

    @torch.inference_mode()
    def synthesise(self, y_hat: Tensor, view: Tensor) -> np.ndarray:
        """Return the picture, ``(H, W, 3)``."""
        model = self.model
        _, inverse = model.gains(torch.zeros(1))
        picture = model.g_s(y_hat * inverse[:, :, None, None], model.g_s.terms(view))[0]
        grey = picture.clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)
        return grey.permute(1, 2, 0).numpy()

    def _latents(self, z_hat: Tensor, coder: _Encoder | _Decoder) -> Tensor:
        hyper = self.model.h_s(z_hat)
        means_of_hyper = hyper.chunk(2, dim=1)[1]
        board = anchors(hyper)
        known: list[Tensor] = []
        width = self.model.config.slice_channels
        for index, one in enumerate(self.model.context.slices):
            channels = slice(index * width, (index + 1) * width)
            contexts = [hyper]
            if known:
                before = torch.cat(known, dim=1)
                contexts = [one.inter(before), one.channel(before), hyper]
            y_hat = torch.zeros_like(hyper[:, :width])

            def code(where: Tensor, parameters: Tensor, y_hat: Tensor = y_hat) -> Tensor:
                scales, means = parameters.chunk(2, dim=1)
                symbols = coder(channels, scales, means, where)  # noqa: B023
                y_hat[..., where] = symbols + means[..., where]
                return y_hat

            code(board, one.anchor_parameters(torch.cat(contexts, dim=1)))
            residual = one.anchor_residual(torch.cat([means_of_hyper, *known, y_hat], dim=1))
            y_hat += residual * board
            if known:
                contexts = [one.intra(known[-1], y_hat), *contexts]
            contexts = [one.local(y_hat), *contexts]
            code(~board, one.nonanchor_parameters(torch.cat(contexts, dim=1)))
            residual = one.nonanchor_residual(torch.cat([means_of_hyper, *known, y_hat], dim=1))
            known.append(y_hat + residual * ~board)
        return torch.cat(known, dim=1)


def _indexes(scales: Tensor) -> list[int]:
    boundaries = torch.from_numpy(scale_boundaries()).float()
    indexes: list[int] = torch.bucketize(scales.contiguous(), boundaries).flatten().tolist()
    return indexes
