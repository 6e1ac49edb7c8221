"""MLIC++'s entropy model in fixed point: from floats and the ranges that they take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ugicm_codec.entropy.checkerboard import Checkerboard, checkerboard
from ugicm_codec.entropy.fixedpoint import ACTIVATION_LIMIT, WEIGHT_LIMIT
from ugicm_codec.entropy.integers import (
    GELU_BITS,
    LATENT_BITS,
    LOGIT_BITS,
    NORMALISED_BITS,
    TANH_BITS,
)
from ugicm_codec.entropy.mlicpp.coder import CONTEXT_SIDE, HYPER_BITS, PARAMETER_BITS
from ugicm_codec.entropy.mlicpp.dataflow import hyper_features, steps
from ugicm_codec.entropy.mlicpp.exact import relative_positions
from ugicm_codec.entropy.mlicpp.forms import (
    LOCAL_HEADS,
    NORMALISED,
    Activation,
    LayerForm,
    Sizes,
    hyper_latents_source,
    layer_forms,
)
from ugicm_codec.models.mlicpp.context import ContextModel, SliceContext
from ugicm_codec.models.mlicpp.transforms import HyperSynthesis
from ugicm_training.tables import scale_boundaries

__all__ = ["FloatArithmetic", "FloatLayer", "Pictures", "float_layers", "mlicpp_fixed_point"]

_EPSILON = 1e-5
# These layers are a fifth of all products: weights of 8 bits instead of 14 halve them, and move
# latents by less than a fiftieth of a step (docs/mlicpp.md).
_COARSE = ".anchor.residual.0"
_COARSE_LIMIT = 127

# Weights that are next to nothing get no more bits than this.
_MOST_WEIGHT_BITS = 20

# Bits that each activation's table reads.
_ENTRY_BITS = {
    Activation.GELU: GELU_BITS,
    Activation.LOGITS: LOGIT_BITS,
    Activation.RESIDUAL: TANH_BITS,
    Activation.PARAMETERS: PARAMETER_BITS,
}


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """A layer of ``ugicm_codec.entropy.mlicpp.forms`` before it is rounded.

    Attributes:
        weight: ``(rows, columns)``, as in fixed point.
        bias: ``(columns,)``.
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures that ranges are taken from.

    Attributes:
        hyper_latents: ``(N, C, a, b)``, integers.
        latents: ``(N, M, h, w)``, times their gains; drawn from the entropy model where None.
        headroom: by which factor activations may exceed those of these pictures.
    """

    hyper_latents: Tensor
    latents: Tensor | None
    headroom: float


class FloatArithmetic:
    """Runs the entropy model on floats, and keeps the largest magnitude that each layer gave."""

    def __init__(
        self, layers: Mapping[str, FloatLayer], biases: Mapping[str, Tensor], sizes: Sizes
    ) -> None:
        """Take layers by name, and the local attentions' tables of biases by their slices."""
        self._layers = layers
        self._biases = biases
        self._forms = layer_forms(sizes)
        self.largest: dict[str, float] = {}

    def convolve(self, name: str, *parts: Tensor, at: Tensor | None = None) -> Tensor:
        """See ``ugicm_codec.entropy.mlicpp.dataflow.Arithmetic``."""
        form, layer = self._forms[name], self._layers[name]
        x = torch.cat(parts, dim=-1)
        kernel = form.kernel
        if kernel == 1:
            sums = x @ layer.weight + layer.bias
        else:
            weight = layer.weight.view(kernel, kernel, -1, form.columns).permute(3, 2, 0, 1)
            padded = functional.conv2d(
                x.permute(0, 3, 1, 2), weight, layer.bias, padding=kernel // 2
            )
            sums = padded.permute(0, 2, 3, 1)
        if at is not None:
            sums = sums.flatten(1, 2)[:, at]
        out = self._activated(name, sums)
        if not form.upsample:
            return out
        batch, height, width, columns = out.shape
        spread = out.reshape(batch, height, width, 2, 2, columns // 4).permute(0, 1, 3, 2, 4, 5)
        return spread.reshape(batch, 2 * height, 2 * width, columns // 4)

    def depthwise(self, name: str, values: Tensor) -> Tensor:
        """See ``Arithmetic``."""
        layer = self._layers[name]
        channels = values.shape[3]
        weight = layer.weight.T.reshape(channels, 1, 3, 3)
        sums = functional.conv2d(
            values.permute(0, 3, 1, 2), weight, layer.bias, padding=1, groups=channels
        )
        return self._activated(name, sums.permute(0, 2, 3, 1))

    def normalise(self, name: str, values: Tensor) -> Tensor:
        """See ``Arithmetic``."""
        return functional.layer_norm(values, values.shape[-1:], eps=_EPSILON)

    def attend_globally(self, queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
        """See ``Arithmetic``."""
        query, key, value = (each.unflatten(2, (heads, -1)) for each in (queries, keys, values))
        means = torch.einsum("npkc,npkd->nkcd", key.softmax(1), value)
        attended: Tensor = torch.einsum("npkc,nkcd->npkd", query.softmax(3), means)
        return attended.flatten(2)

    def attend_locally(self, name: str, qkv: Tensor, board: Checkerboard) -> Tensor:
        """See ``Arithmetic``."""
        batch, channels = len(qkv), qkv.shape[3] // 3
        places = functional.pad(qkv, (0, 0, 2, 2, 2, 2)).flatten(1, 2)[:, board.windows]
        around = places.view(batch, -1, 25, 3, channels // LOCAL_HEADS, LOCAL_HEADS)
        query, key, value = around.permute(3, 0, 1, 5, 2, 4)
        bias = self._biases[name][relative_positions()].permute(2, 0, 1)
        logits = query @ key.transpose(-2, -1) + bias
        weights = logits.masked_fill(~board.attends[:, None], -math.inf).softmax(-1)
        attended: Tensor = (weights @ value).permute(0, 1, 3, 2, 4)
        return attended.flatten(2)

    def enter(self, name: str, latents: Tensor) -> Tensor:
        """See ``Arithmetic``."""
        self._see(name, latents)
        return latents

    def _activated(self, name: str, sums: Tensor) -> Tensor:
        activation = self._forms[name].activation
        if activation is Activation.GELU:
            sums = functional.gelu(sums)
        elif activation is Activation.RESIDUAL:
            sums = 0.5 * torch.tanh(sums)
        self._see(name, sums)
        return sums

    def _see(self, name: str, values: Tensor) -> None:
        # Half a picture may be empty: one of a single latent has no anchors.
        largest = float(values.abs().max()) if values.numel() else 0.0
        self.largest[name] = max(self.largest.get(name, 0.0), largest)


@torch.no_grad()
def mlicpp_fixed_point(
    h_s: HyperSynthesis,
    context: ContextModel,
    sizes: Sizes,
    pictures: Iterable[Pictures],
    offsets: Tensor,
) -> dict[str, Tensor]:
    """Return the exact network's tensors, as they stand in a model file.

    Args:
        pictures: from which the activations get their range; at least one.
        offsets: ``(C,)``, how far from integers the hyper-latents' values lie.
    """
    layers, biases = float_layers(h_s, context, sizes)
    largest: dict[str, float] = {}
    for each in pictures:
        arithmetic = FloatArithmetic(layers, biases, sizes)
        _run(arithmetic, sizes, each, offsets)
        for name, value in arithmetic.largest.items():
            largest[name] = max(largest.get(name, 0.0), each.headroom * value)
    exported = _Quantised(sizes, layers, biases, largest).tensors()
    exported["hyper_offsets"] = (offsets.double() * 2**HYPER_BITS).round().to(torch.int64)
    boundaries = torch.from_numpy(scale_boundaries())
    exported["thresholds"] = (boundaries * 2**PARAMETER_BITS).round().to(torch.int64)
    return exported


def float_layers(
    h_s: HyperSynthesis, context: ContextModel, sizes: Sizes
) -> tuple[dict[str, FloatLayer], dict[str, Tensor]]:
    """Return the layers of ``forms`` by name, and the local attentions' tables of biases."""
    convolutions = [part for part in h_s.modules() if isinstance(part, nn.Conv2d)]
    layers = {}
    for index, convolution in enumerate(convolutions):
        upsamples = layer_forms(sizes)[f"h_s.{index}"].upsample
        layers[f"h_s.{index}"] = (_phases if upsamples else _of)(convolution)
    biases = {}
    for index, one in enumerate(context.slices):
        assert isinstance(one, SliceContext)
        prefix = f"slices.{index}."
        layers |= {prefix + name: layer for name, layer in _slice_layers(one).items()}
        biases[prefix + "local.attention"] = one.local.position_bias.detach()
    return layers, biases


def _run(arithmetic: FloatArithmetic, sizes: Sizes, pictures: Pictures, offsets: Tensor) -> None:
    entering = (pictures.hyper_latents + offsets[:, None, None]).permute(0, 2, 3, 1)
    hyper = hyper_features(arithmetic, entering)
    generator = torch.Generator().manual_seed(0)
    if pictures.latents is None:
        wanted = None
    else:
        wanted = pictures.latents.permute(0, 2, 3, 1)[:, :CONTEXT_SIDE, :CONTEXT_SIDE]
        hyper = hyper[:, : wanted.shape[1], : wanted.shape[2]]
    empty = hyper.new_zeros((*hyper.shape[:3], sizes.latent_channels))
    board = checkerboard(hyper.shape[1], hyper.shape[2], hyper.device)
    running = steps(arithmetic, sizes, hyper.contiguous(), board, empty)
    step = next(running)
    while True:
        if wanted is None:
            noise = torch.randn(step.means.shape, generator=generator)
            distances = noise * step.scales.clamp(min=0.0)
        else:
            distances = wanted.flatten(1, 2)[:, step.positions, step.channels] - step.means
        try:
            step = running.send(distances.round() + step.means)
        except StopIteration:
            return


@dataclass(frozen=True, eq=False)
class _Quantised:
    """Chooses the bits of every number in turn."""

    sizes: Sizes
    layers: Mapping[str, FloatLayer]
    biases: Mapping[str, Tensor]
    largest: Mapping[str, float]

    def tensors(self) -> dict[str, Tensor]:
        bits = {hyper_latents_source(self.sizes).name: HYPER_BITS, NORMALISED: NORMALISED_BITS}
        exported: dict[str, Tensor] = {}
        for index in range(self.sizes.slices):
            name = f"slices.{index}.latents"
            bits[name] = min(LATENT_BITS, _bits_below(ACTIVATION_LIMIT, self.largest[name]))
            exported[name + ".shift"] = torch.tensor(LATENT_BITS - bits[name])
        for name, form in layer_forms(self.sizes).items():
            bits[name] = self._layer(name, form, bits, exported)
        for index in range(self.sizes.slices):
            prefix = f"slices.{index}."
            width = self.sizes.latent_channels // self.sizes.slices
            for norm, source, channels in (
                ("norm_in", "latents", width),
                ("norm_out", "local.fusion", 2 * width),
            ):
                epsilon = channels**2 * _EPSILON * 4.0 ** (bits[prefix + source] + 4)
                exported[f"{prefix}local.{norm}.epsilon"] = torch.tensor(max(1, round(epsilon)))
            name = prefix + "local.attention"
            product_bits = 2 * bits[prefix + "local.qkv"]
            exported[name + ".shift"] = torch.tensor(product_bits - LOGIT_BITS)
            scaled = self.biases[name].double() * 2**product_bits
            exported[name + ".position_bias"] = scaled.round().to(torch.int64)
        return exported

    def _layer(
        self, name: str, form: LayerForm, bits: Mapping[str, int], exported: dict[str, Tensor]
    ) -> int:
        """Add a layer's tensors, and return the bits of what leaves it."""
        layer = self.layers[name]
        of_channel = [bits[source.name] for source in form.sources for _ in range(source.channels)]
        if form.depthwise:
            of_row = torch.full((form.rows, 1), of_channel[0])
        else:
            of_row = torch.tensor(of_channel).repeat(form.kernel**2)[:, None]
        # What a row is multiplied with, beyond the bits of what comes in, makes all products alike.
        weight = layer.weight.double() / 2.0**of_row
        limit = _COARSE_LIMIT if _COARSE in name else WEIGHT_LIMIT
        sum_bits = _bits_below(limit, float(weight.abs().max()))
        sum_bits = min(sum_bits, _MOST_WEIGHT_BITS + int(of_row.max()))
        if form.depthwise:
            reach = weight.abs().sum(0) * ACTIVATION_LIMIT + layer.bias.double().abs()
            sum_bits = min(sum_bits, _bits_below(2**31 - 2**16, float(reach.max())))
        activated = self._activated_bits(name, form, sum_bits)
        entry = _ENTRY_BITS.get(form.activation, activated)
        exported[name + ".weight"] = (weight * 2**sum_bits).round().to(torch.int16)
        exported[name + ".bias"] = (layer.bias.double() * 2**sum_bits).round().to(torch.int64)
        exported[name + ".shift"] = torch.tensor(sum_bits - entry)
        if form.activation is Activation.GELU:
            exported[name + ".narrow"] = torch.tensor(GELU_BITS - activated)
        return activated

    def _activated_bits(self, name: str, form: LayerForm, sum_bits: int) -> int:
        most = GELU_BITS if form.activation is Activation.GELU else sum_bits
        return min(most, _bits_below(ACTIVATION_LIMIT, self.largest[name]))


def _bits_below(limit: int, largest: float) -> int:
    """Return the most bits of fraction with which ``largest`` stays within ``limit``."""
    return math.floor(math.log2(limit / max(largest, 1e-6)))


def _slice_layers(one: SliceContext) -> dict[str, FloatLayer]:
    layers = _local_layers(one)
    if one.inter is not None and one.intra is not None and one.channel is not None:
        layers |= _chain("channel.", one.channel)
        inter, intra = one.inter, one.intra
        embeddings = {"queries": inter.queries, "keys": inter.keys, "values": inter.values}
        projections = [_of(embedding[0]) for embedding in embeddings.values()]
        layers["inter.project"] = FloatLayer(
            torch.cat([each.weight for each in projections], dim=1),
            torch.cat([each.bias for each in projections]),
        )
        for name, embedding in embeddings.items():
            layers[f"inter.{name}"] = _depthwise(embedding[1])
        layers |= _mlp_layers("inter.", inter.reprojection, inter.mlp, _of(inter.skip))
        for name in ("queries", "keys", "values"):
            embedding = getattr(intra, name)
            layers[f"intra.project.{name}"] = _of(embedding[0])
            layers[f"intra.{name}"] = _depthwise(embedding[1])
        layers |= _mlp_layers(
            "intra.", intra.reprojection, intra.mlp, _identity(intra.reprojection.out_channels)
        )
    for half, parameters, residual in (
        ("anchor", one.anchor_parameters, one.anchor_residual),
        ("nonanchor", one.nonanchor_parameters, one.nonanchor_residual),
    ):
        layers |= _chain(f"{half}.parameters.", parameters)
        layers |= _chain(f"{half}.residual.", residual.layers)
    return layers


def _local_layers(one: SliceContext) -> dict[str, FloatLayer]:
    local = one.local
    qkv = _after_norm(local.norm_in, local.qkv)
    channels = local.qkv.in_features
    scale = torch.ones(3 * channels)
    scale[:channels] = (channels // LOCAL_HEADS) ** -0.5
    window, projection = _of(local.fusion), _linear(local.projection)
    hidden = _linear(local.mlp[2])
    return {
        "local.qkv": FloatLayer(qkv.weight * scale, qkv.bias * scale),
        "local.fusion": FloatLayer(
            window.weight @ projection.weight, window.bias @ projection.weight + projection.bias
        ),
        "local.mlp": _after_norm(local.norm_out, local.mlp[0]),
        "local.out": _past(_identity(2 * channels), hidden),
    }


def _mlp_layers(
    prefix: str, reprojection: nn.Conv2d, mlp: nn.Sequential, past: FloatLayer
) -> dict[str, FloatLayer]:
    return {
        prefix + "reprojection": _of(reprojection),
        prefix + "mlp.0": _of(mlp[0]),
        prefix + "mlp.1": _depthwise(mlp[2]),
        prefix + "out": _past(past, _of(mlp[4])),
    }


def _chain(prefix: str, network: nn.Sequential) -> dict[str, FloatLayer]:
    convolutions = [part for part in network if isinstance(part, nn.Conv2d)]
    return {f"{prefix}{index}": _of(part) for index, part in enumerate(convolutions)}


def _of(module: nn.Module) -> FloatLayer:
    """``(O, I, k, k)`` to ``(k k I, O)``, taps in raster order outermost."""
    assert isinstance(module, nn.Conv2d)
    assert module.bias is not None
    matrix = module.weight.detach().permute(2, 3, 1, 0).reshape(-1, module.out_channels)
    return FloatLayer(matrix, module.bias.detach())


def _phases(convolution: nn.Conv2d) -> FloatLayer:
    """Order a sub-pixel convolution's columns by phase, then channel, from channel, then phase."""
    layer = _of(convolution)
    rows, columns = layer.weight.shape
    weight = layer.weight.view(rows, columns // 4, 4).transpose(1, 2).reshape(rows, columns)
    return FloatLayer(weight, layer.bias.view(-1, 4).T.reshape(-1))


def _depthwise(module: nn.Module) -> FloatLayer:
    """``(C, 1, 3, 3)`` to ``(9, C)``."""
    assert isinstance(module, nn.Conv2d)
    assert module.bias is not None
    return FloatLayer(module.weight.detach().reshape(-1, 9).T, module.bias.detach())


def _linear(module: nn.Module) -> FloatLayer:
    assert isinstance(module, nn.Linear)
    return FloatLayer(module.weight.detach().T, module.bias.detach())


def _after_norm(norm: nn.LayerNorm, module: nn.Module) -> FloatLayer:
    """Take what a normalisation does to single channels into the layer that follows it."""
    layer = _linear(module)
    gain, offset = norm.weight.detach(), norm.bias.detach()
    return FloatLayer(gain[:, None] * layer.weight, layer.bias + offset @ layer.weight)


def _identity(channels: int) -> FloatLayer:
    return FloatLayer(torch.eye(channels), torch.zeros(channels))


def _past(past: FloatLayer, hidden: FloatLayer) -> FloatLayer:
    """Return the sum of two layers of one width as one."""
    return FloatLayer(
        torch.cat([past.weight, hidden.weight]),
        past.bias + hidden.bias,
    )
