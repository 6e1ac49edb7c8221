"""MLIC++'s entropy model on integers, from a model file's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ugicm_codec.entropy import attention_kernels, kernels
from ugicm_codec.entropy.attention import LOGIT_LIMIT, attend_globally, attend_locally
from ugicm_codec.entropy.checkerboard import WINDOW, Checkerboard
from ugicm_codec.entropy.endings import Ending, Function
from ugicm_codec.entropy.fixedpoint import (
    ACTIVATION_LIMIT,
    WEIGHT_LIMIT,
    FixedPointLayer,
    Product,
    convolve,
)
from ugicm_codec.entropy.integers import normalise, rescale
from ugicm_codec.entropy.mlicpp.forms import (
    LOCAL_HEADS,
    Activation,
    LayerForm,
    Sizes,
    layer_forms,
)
from ugicm_codec.entropy.products import exact_product, packed_product

__all__ = ["ExactArithmetic", "relative_positions", "tensor_forms"]

# Where sums of 64 bits end before they become 32: far beyond what any table tells apart.
_WIDE_LIMIT = 2**30

_TAPS = 9

Form = tuple[tuple[int, ...], torch.dtype]


def tensor_forms(sizes: Sizes) -> dict[str, Form]:
    """Return shape and type of every tensor that the arithmetic is built from."""
    scalar: Form = ((), torch.int64)
    forms: dict[str, Form] = {}
    for name, form in layer_forms(sizes).items():
        forms[name + ".weight"] = ((form.rows, form.columns), torch.int16)
        forms[name + ".bias"] = ((form.columns,), torch.int64)
        forms[name + ".shift"] = scalar
        if form.activation is Activation.GELU:
            forms[name + ".narrow"] = scalar
    for index in range(sizes.slices):
        prefix = f"slices.{index}."
        forms[prefix + "latents.shift"] = scalar
        forms[prefix + "local.norm_in.epsilon"] = scalar
        forms[prefix + "local.norm_out.epsilon"] = scalar
        forms[prefix + "local.attention.shift"] = scalar
        biases = (2 * WINDOW - 1) ** 2
        forms[prefix + "local.attention.position_bias"] = ((biases, LOCAL_HEADS), torch.int64)
    return forms


@dataclass(frozen=True, eq=False)
class _Depthwise:
    """Each channel convolved by itself, in 32 bits."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def build(cls, weight: Tensor, bias: Tensor) -> _Depthwise:
        """Check the bounds that make the layer exact.

        Raises:
            ValueError: a weight is too large, or a sum could leave int32.
        """
        magnitudes = weight.long().abs()
        largest = int((magnitudes.sum(0) * ACTIVATION_LIMIT).max()) + int(bias.abs().max())
        if int(magnitudes.max()) > WEIGHT_LIMIT or not largest < 2**31:
            raise ValueError(
                f"weights go up to {WEIGHT_LIMIT} and sums to 2**31 - 1, "
                f"got {int(magnitudes.max())} and {largest}"
            )
        return cls(weight=weight.to(torch.int32), bias=bias.to(torch.int32))

    def __call__(self, values: Tensor) -> Tensor:
        _, height, width, _ = values.shape
        padded = functional.pad(values, (0, 0, 1, 1, 1, 1)).to(torch.int32)
        sums = self.bias.expand(values.shape).clone()
        for tap in range(_TAPS):
            row, column = divmod(tap, 3)
            part = padded[:, row : row + height, column : column + width]
            sums.addcmul_(part, self.weight[tap])
        return sums

    def to(self, device: torch.device) -> _Depthwise:
        """Return the layer on ``device``."""
        return _Depthwise(self.weight.to(device), self.bias.to(device))


class ExactArithmetic:
    """The layers of one model on one device; equal on every machine, and without state."""

    def __init__(
        self,
        entropy: Mapping[str, Tensor],
        sizes: Sizes,
        *,
        device: torch.device,
        products: Sequence[Product],
    ) -> None:
        """Check and take the tensors of ``tensor_forms``.

        Raises:
            ValueError: a number might make the arithmetic inexact.
            InexactArithmetic: none of ``products`` is exact on the device.
        """
        self._endings: dict[str, Ending] = {}
        self._layers: dict[str, FixedPointLayer] = {}
        self._depthwise: dict[str, _Depthwise] = {}
        for name, form in layer_forms(sizes).items():
            weight, bias = entropy[name + ".weight"], entropy[name + ".bias"]
            shift = int(entropy[name + ".shift"])
            if form.depthwise:
                self._depthwise[name] = _Depthwise.build(weight, bias).to(device)
            else:
                self._layers[name] = FixedPointLayer.build(
                    weight=weight,
                    bias=bias,
                    shift=shift,
                    upsample=form.upsample,
                    kernel=form.kernel,
                ).to(device)
            narrow = entropy.get(name + ".narrow")
            self._endings[name] = _ending(form, shift, 0 if narrow is None else int(narrow))
        self._scalars = {
            name: int(value)
            for name, value in entropy.items()
            if value.ndim == 0 and name.endswith((".epsilon", "latents.shift", "attention.shift"))
        }
        for name, value in self._scalars.items():
            if name.endswith(".epsilon") and not 1 <= value < 2**52:
                raise ValueError(f"{name} is from 1 to 2**52, got {value}")
            if name.endswith(".shift") and not -16 <= value <= 32:
                raise ValueError(f"{name} is from -16 to 32, got {value}")
        places = relative_positions()
        self._position_bias: dict[str, Tensor] = {}
        for index in range(sizes.slices):
            name = f"slices.{index}.local.attention"
            table = entropy[name + ".position_bias"]
            if int(table.abs().max()) >= 2**40:
                raise ValueError(f"{name}.position_bias stays below 2**40")
            self._position_bias[name] = table[places].permute(2, 0, 1).contiguous().to(device)
        self._product = exact_product(list(self._layers.values()), products)
        # Beside float64 products PyTorch's operations stand alone: two ways that share nothing.
        self._by_kernels = self._product is packed_product

    def convolve(self, name: str, *parts: Tensor, at: Tensor | None = None) -> Tensor:
        """See ``Arithmetic``."""
        layer, ending = self._layers[name], self._endings[name]
        if layer.kernel > 1:
            return convolve(parts, layer, self._product, ending, at)
        # A map and a list of positions are the same to a layer without neighbours.
        lead = parts[0].shape[:-1]
        rows = [part.reshape(1, 1, -1, part.shape[-1]) for part in parts]
        return convolve(rows, layer, self._product, ending).view(*lead, len(layer.bias))

    def depthwise(self, name: str, values: Tensor) -> Tensor:
        """See ``Arithmetic``."""
        layer, ending = self._depthwise[name], self._endings[name]
        if self._by_kernels:
            return kernels.depthwise(values, layer.weight, layer.bias, ending)
        return ending(layer(values))

    def normalise(self, name: str, values: Tensor) -> Tensor:
        """See ``Arithmetic``."""
        return normalise(values, self._scalars[name + ".epsilon"])

    def attend_globally(self, queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
        """See ``Arithmetic``."""
        return attend_globally(queries, keys, values, heads)

    def attend_locally(self, name: str, qkv: Tensor, board: Checkerboard) -> Tensor:
        """See ``Arithmetic``."""
        attend = attention_kernels.attend_locally if self._by_kernels else attend_locally
        return attend(qkv, self._position_bias[name], self._scalars[name + ".shift"], board)

    def enter(self, name: str, latents: Tensor) -> Tensor:
        """See ``Arithmetic``."""
        rescaled = rescale(latents, self._scalars[name + ".shift"])
        return rescaled.clamp_(-ACTIVATION_LIMIT, ACTIVATION_LIMIT).to(torch.int16)


def relative_positions() -> Tensor:
    """Return ``(25, 25)``, the row of the table of biases for neighbours i and j of a window."""
    span = 2 * WINDOW - 1
    row = torch.arange(WINDOW).repeat_interleave(WINDOW)
    column = torch.arange(WINDOW).repeat(WINDOW)
    rows = row[:, None] - row + WINDOW - 1
    columns = column[:, None] - column + WINDOW - 1
    return rows * span + columns


def _ending(form: LayerForm, shift: int, narrow: int) -> Ending:
    if not -16 <= shift < 53 or not 0 <= narrow <= 30:
        raise ValueError(f"bits to drop are from -16 to 52 and 0 to 30, got {shift} and {narrow}")
    wide = Ending(shift, low=-_WIDE_LIMIT, high=_WIDE_LIMIT, dtype=torch.int32)
    bounded = replace(wide, low=-ACTIVATION_LIMIT, high=ACTIVATION_LIMIT, dtype=torch.int16)
    gated = replace(
        wide, dtype=torch.int16, function=Function.GELU, narrow=narrow, limit=ACTIVATION_LIMIT
    )
    return {
        Activation.NONE: bounded,
        Activation.GELU: gated,
        Activation.RESIDUAL: replace(wide, function=Function.HALF_TANH),
        Activation.LOGITS: replace(wide, low=-LOGIT_LIMIT, high=LOGIT_LIMIT),
        Activation.PARAMETERS: wide,
    }[form.activation]
