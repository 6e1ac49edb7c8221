"""What MLIC++'s entropy model computes, step by step, whatever its numbers are.

The coder runs it on integers; the exporter runs it on floats, to see which ranges they take.
Tensors are channels last: a map is ``(N, h, w, C)``, chosen positions of one ``(N, P, C)``.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ugicm_codec.entropy.checkerboard import Checkerboard
from ugicm_codec.entropy.mlicpp.forms import HYPER_LAYERS, INTRA_HEADS, Half, Sizes

__all__ = ["Arithmetic", "Parameters", "hyper_features", "steps"]


class Arithmetic(Protocol):
    """How a layer's numbers are computed; ``name`` is a layer's, as in ``forms``."""

    def convolve(self, name: str, *parts: Tensor, at: Tensor | None = None) -> Tensor:
        """Run a layer on parts side by side, at some positions of a map or everywhere."""

    def depthwise(self, name: str, values: Tensor) -> Tensor:
        """Run a depthwise layer on a map."""

    def normalise(self, name: str, values: Tensor) -> Tensor:
        """Subtract the mean over channels and divide by the deviation."""

    def attend_globally(self, queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
        """Return ``(N, P, C)`` of queries ``(N, P, C)`` and keys and values ``(N, Q, C)``."""

    def attend_locally(self, name: str, qkv: Tensor, board: Checkerboard) -> Tensor:
        """Return ``(N, B, 25 C)``, the windows about the positions that are no anchors."""

    def enter(self, name: str, latents: Tensor) -> Tensor:
        """Turn latents into what layers read."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """What a step says of its latents before they are known.

    Attributes:
        channels: of the latents that it is about.
        positions: ``(P,)``, where in the grid.
        scales: ``(N, P, s)``.
        means: ``(N, P, s)``.
    """

    channels: slice
    positions: Tensor
    scales: Tensor
    means: Tensor


def hyper_features(arithmetic: Arithmetic, hyper_latents: Tensor) -> Tensor:
    """Return ``(N, 4 a, 4 b, 2 M)`` of hyper-latents ``(N, a, b, C)``."""
    features = hyper_latents
    for index in range(HYPER_LAYERS):
        features = arithmetic.convolve(f"h_s.{index}", features)
    return features


def steps(
    arithmetic: Arithmetic, sizes: Sizes, hyper: Tensor, board: Checkerboard, empty: Tensor
) -> Generator[Parameters, Tensor, Tensor]:
    """Yield each step's parameters and take its latents ``(N, P, s)``: rounded about their means.

    Args:
        hyper: ``(N, h, w, 2 M)``, from ``hyper_features``.
        empty: ``(N, h, w, M)`` zeros, of the type of latents.

    Returns:
        ``(N, h, w, M)``, the latents with what was predicted of their residuals.
    """
    return (yield from _Slices(arithmetic, sizes, hyper, board).steps(empty))


@dataclass(frozen=True, eq=False)
class _Slices:
    arithmetic: Arithmetic
    sizes: Sizes
    hyper: Tensor
    board: Checkerboard

    def steps(self, empty: Tensor) -> Generator[Parameters, Tensor, Tensor]:
        width = self.sizes.latent_channels // self.sizes.slices
        slices: list[Tensor] = []
        known: list[Tensor] = []
        for index in range(self.sizes.slices):
            channels = slice(index * width, (index + 1) * width)
            latents = empty[..., channels].clone()
            # Side by side once for all layers that read them.
            before = torch.cat(known, dim=3) if known else None
            yield from self._slice(index, channels, latents, before)
            slices.append(latents)
            known.append(self._enter(index, latents))
        return torch.cat(slices, dim=3)

    def _slice(
        self, index: int, channels: slice, latents: Tensor, known: Tensor | None
    ) -> Generator[Parameters, Tensor, None]:
        """Fill ``latents`` in its two steps; ``known`` are the slices before it."""
        board = self.board
        across: list[Tensor] = []
        if known is not None:
            across = [self._inter(index, known), self._channel(index, known)]
        across.append(self.hyper)

        def parameters(half: Half, positions: Tensor, *more: Tensor) -> Parameters:
            # All that is not needed elsewhere is computed at the half's positions alone.
            prefix = f"slices.{index}.{half.value}.parameters."
            seen = [*more, *(_at(each, positions) for each in across)]
            x = self.arithmetic.convolve(prefix + "0", *seen)
            for layer in range(1, len(self.sizes.parameter_widths) + 1):
                x = self.arithmetic.convolve(f"{prefix}{layer}", x)
            scales, means = x.chunk(2, dim=2)
            return Parameters(channels, positions, scales, means)

        anchors = parameters(Half.ANCHORS, board.anchors)
        yield from self._code(index, Half.ANCHORS, anchors, latents, known)
        own = self._enter(index, latents)
        within = [self._local(index, own)]
        if known is not None:
            within.append(self._intra(index, known[..., -own.shape[3] :], own))
        others = parameters(Half.OTHERS, board.others, *within)
        yield from self._code(index, Half.OTHERS, others, latents, known)

    def _code(
        self, index: int, half: Half, parameters: Parameters, latents: Tensor, known: Tensor | None
    ) -> Generator[Parameters, Tensor, None]:
        positions = parameters.positions
        rounded = yield parameters
        flat = latents.flatten(1, 2)
        flat[:, positions] = rounded
        means = self.hyper[..., self.sizes.latent_channels :]
        own = self._enter(index, latents)
        parts = [means, own] if known is None else [means, known, own]
        prefix = f"slices.{index}.{half.value}.residual."
        last = len(self.sizes.residual_widths or (0, 0, 0))
        x = self.arithmetic.convolve(prefix + "0", *parts)
        for layer in range(1, last):
            x = self.arithmetic.convolve(f"{prefix}{layer}", x)
        flat[:, positions] += self.arithmetic.convolve(f"{prefix}{last}", x, at=positions)

    def _enter(self, index: int, latents: Tensor) -> Tensor:
        return self.arithmetic.enter(f"slices.{index}.latents", latents)

    def _channel(self, index: int, known: Tensor) -> Tensor:
        x = self.arithmetic.convolve(f"slices.{index}.channel.0", known)
        for layer in range(1, len(self.sizes.channel_widths) + 1):
            x = self.arithmetic.convolve(f"slices.{index}.channel.{layer}", x)
        return x

    def _inter(self, index: int, known: Tensor) -> Tensor:
        prefix = f"slices.{index}.inter."
        projected = self.arithmetic.convolve(prefix + "project", known).chunk(3, dim=3)
        queries, keys, values = (
            self.arithmetic.depthwise(prefix + name, part).flatten(1, 2)
            for name, part in zip(("queries", "keys", "values"), projected, strict=True)
        )
        attended = self.arithmetic.attend_globally(queries, keys, values, index)
        past = self.arithmetic.convolve(prefix + "reprojection", attended.view_as(projected[0]))
        return self.arithmetic.convolve(prefix + "out", past, self._mlp(prefix, past))

    def _intra(self, index: int, previous: Tensor, own: Tensor) -> Tensor:
        """Return ``(N, B, 2 s)``, at the positions that are no anchors."""
        prefix = f"slices.{index}.intra."
        board = self.board

        def projected(name: str, source: Tensor, positions: Tensor) -> Tensor:
            x = self.arithmetic.convolve(f"{prefix}project.{name}", source)
            return _at(self.arithmetic.depthwise(prefix + name, x), positions)

        attended = self.arithmetic.attend_globally(
            projected("queries", _only(previous, board.others), board.others),
            projected("keys", _only(previous, board.anchors), board.anchors),
            projected("values", own, board.anchors),
            INTRA_HEADS,
        )
        whole = attended.new_zeros(own.shape)
        whole.flatten(1, 2)[:, board.others] = attended
        past = self.arithmetic.convolve(prefix + "reprojection", whole)
        hidden = self._mlp(prefix, past)
        parts = [_at(each, board.others) for each in (past, hidden)]
        return self.arithmetic.convolve(prefix + "out", *parts)

    def _mlp(self, prefix: str, past: Tensor) -> Tensor:
        wide = self.arithmetic.convolve(prefix + "mlp.0", past)
        return self.arithmetic.depthwise(prefix + "mlp.1", wide)

    def _local(self, index: int, own: Tensor) -> Tensor:
        """Return ``(N, B, 2 s)``, at the positions that are no anchors."""
        prefix = f"slices.{index}.local."
        normalised = self.arithmetic.normalise(prefix + "norm_in", own)
        qkv = self.arithmetic.convolve(prefix + "qkv", normalised)
        attended = self.arithmetic.attend_locally(prefix + "attention", qkv, self.board)
        past = self.arithmetic.convolve(prefix + "fusion", attended)
        hidden = self.arithmetic.convolve(
            prefix + "mlp", self.arithmetic.normalise(prefix + "norm_out", past)
        )
        return self.arithmetic.convolve(prefix + "out", past, hidden)


def _at(values: Tensor, positions: Tensor) -> Tensor:
    return values.flatten(1, 2)[:, positions]


def _only(values: Tensor, positions: Tensor) -> Tensor:
    kept = torch.zeros_like(values)
    kept.flatten(1, 2)[:, positions] = _at(values, positions)
    return kept
