"""MLIC++'s entropy model back from fixed point, to train further: the inverse of the export.

A file keeps products of scales between layers, and single matrices of what was linear; any split
is the same map. Here normalisations get no gains, and what two layers made is left to one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ugicm_codec.entropy.integers import (
    GELU_BITS,
    LATENT_BITS,
    LOGIT_BITS,
    NORMALISED_BITS,
    TANH_BITS,
)
from ugicm_codec.entropy.mlicpp.coder import HYPER_BITS, PARAMETER_BITS
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
from ugicm_training.mlicpp_fixed_point import FloatLayer

__all__ = ["mlicpp_from_fixed_point"]

_ENTRY_BITS = {
    Activation.GELU: GELU_BITS,
    Activation.LOGITS: LOGIT_BITS,
    Activation.RESIDUAL: TANH_BITS,
    Activation.PARAMETERS: PARAMETER_BITS,
}

# Between two linear layers, any bits are the same map.
_ANY_BITS = 10

_EPSILON = 1e-5


@torch.no_grad()
def mlicpp_from_fixed_point(
    entropy: Mapping[str, Tensor], h_s: HyperSynthesis, context: ContextModel, sizes: Sizes
) -> Tensor:
    """Give the networks weights whose fixed-point form ``entropy`` is; return the offsets, (C,)."""
    layers = _layers(entropy, sizes)
    convolutions = [part for part in h_s.modules() if isinstance(part, nn.Conv2d)]
    for index, convolution in enumerate(convolutions):
        layer = layers[f"h_s.{index}"]
        upsamples = layer_forms(sizes)[f"h_s.{index}"].upsample
        _set(convolution, _channels_first(layer) if upsamples else layer)
    for index, one in enumerate(context.slices):
        assert isinstance(one, SliceContext)
        prefix = f"slices.{index}."
        own = {
            name.removeprefix(prefix): layer
            for name, layer in layers.items()
            if name.startswith(prefix)
        }
        attention = f"{prefix}local.attention"
        bits = int(entropy[f"{attention}.shift"]) + LOGIT_BITS
        one.local.position_bias.copy_(entropy[f"{attention}.position_bias"].double() / 2.0**bits)
        _set_slice(one, own)
    offsets: Tensor = entropy["hyper_offsets"].float() / 2**HYPER_BITS
    return offsets


def _layers(entropy: Mapping[str, Tensor], sizes: Sizes) -> dict[str, FloatLayer]:
    bits = {hyper_latents_source(sizes).name: HYPER_BITS, NORMALISED: NORMALISED_BITS}
    for index in range(sizes.slices):
        name = f"slices.{index}.latents"
        bits[name] = LATENT_BITS - int(entropy[f"{name}.shift"])
    layers = {}
    for name, form in layer_forms(sizes).items():
        shift = int(entropy[f"{name}.shift"])
        bits[name] = _activated_bits(name, form, bits, entropy)
        sum_bits = shift + _ENTRY_BITS.get(form.activation, bits[name])
        of_channel = [bits[source.name] for source in form.sources for _ in range(source.channels)]
        if form.depthwise:
            of_row = torch.full((form.rows, 1), of_channel[0])
        else:
            of_row = torch.tensor(of_channel).repeat(form.kernel**2)[:, None]
        layers[name] = FloatLayer(
            entropy[f"{name}.weight"].double() * 2.0 ** (of_row - sum_bits),
            entropy[f"{name}.bias"].double() / 2.0**sum_bits,
        )
    return layers


def _activated_bits(
    name: str, form: LayerForm, bits: Mapping[str, int], entropy: Mapping[str, Tensor]
) -> int:
    if form.activation is Activation.GELU:
        return GELU_BITS - int(entropy[f"{name}.narrow"])
    if name.endswith("local.qkv"):
        attention = name.replace("local.qkv", "local.attention")
        return (int(entropy[f"{attention}.shift"]) + LOGIT_BITS) // 2
    if name.endswith("local.fusion"):
        # The normalisation after it counts with its epsilon.
        epsilon = int(entropy[name.replace("fusion", "norm_out.epsilon")])
        return round(math.log(epsilon / (form.columns**2 * _EPSILON), 4)) - 4
    if name.endswith(("local.out", "intra.out")):
        # What goes past the inner layer is multiplied with 1.
        one = round(math.log2(int(entropy[f"{name}.weight"][0, 0])))
        return one - int(entropy[f"{name}.shift"]) + bits[form.sources[0].name]
    return _ANY_BITS


def _set_slice(one: SliceContext, layers: Mapping[str, FloatLayer]) -> None:
    local = one.local
    channels = local.qkv.in_features
    qkv = layers["local.qkv"]
    scale = torch.ones(3 * channels, dtype=torch.float64)
    scale[:channels] = (channels // LOCAL_HEADS) ** 0.5
    _set(local.qkv, FloatLayer(qkv.weight * scale, qkv.bias * scale))
    _set(local.fusion, layers["local.fusion"])
    nn.init.eye_(local.projection.weight)
    nn.init.zeros_(local.projection.bias)
    for norm in (local.norm_in, local.norm_out):
        norm.reset_parameters()
    _set(local.mlp[0], layers["local.mlp"])
    _set(local.mlp[2], _split(layers["local.out"], 2 * channels)[1])
    if one.inter is not None and one.intra is not None and one.channel is not None:
        _set_chain(one.channel, "channel.", layers)
        inter, intra = one.inter, one.intra
        names = ("queries", "keys", "values")
        project = layers["inter.project"]
        parts = zip(project.weight.chunk(3, dim=1), project.bias.chunk(3), strict=True)
        for name, (weight, bias) in zip(names, parts, strict=True):
            _set(getattr(inter, name)[0], FloatLayer(weight, bias))
            _set(getattr(inter, name)[1], layers[f"inter.{name}"])
            _set(getattr(intra, name)[0], layers[f"intra.project.{name}"])
            _set(getattr(intra, name)[1], layers[f"intra.{name}"])
        for prefix, network in (("inter.", inter), ("intra.", intra)):
            _set(network.reprojection, layers[prefix + "reprojection"])
            _set(network.mlp[0], layers[prefix + "mlp.0"])
            _set(network.mlp[2], layers[prefix + "mlp.1"])
            past, inner = _split(layers[prefix + "out"], network.reprojection.out_channels)
            _set(network.mlp[4], inner)
            if network is inter:
                _set(inter.skip, past)
    for half, parameters, residual in (
        ("anchor", one.anchor_parameters, one.anchor_residual),
        ("nonanchor", one.nonanchor_parameters, one.nonanchor_residual),
    ):
        _set_chain(parameters, f"{half}.parameters.", layers)
        _set_chain(residual.layers, f"{half}.residual.", layers)


def _set_chain(network: nn.Sequential, prefix: str, layers: Mapping[str, FloatLayer]) -> None:
    convolutions = [part for part in network if isinstance(part, nn.Conv2d)]
    for index, convolution in enumerate(convolutions):
        _set(convolution, layers[f"{prefix}{index}"])


def _split(joined: FloatLayer, past: int) -> tuple[FloatLayer, FloatLayer]:
    """Return what goes past an inner layer, without a bias, and what comes out of it, with it."""
    return (
        FloatLayer(joined.weight[:past], torch.zeros_like(joined.bias)),
        FloatLayer(joined.weight[past:], joined.bias),
    )


def _channels_first(layer: FloatLayer) -> FloatLayer:
    """Order columns by channel, then phase, as a sub-pixel convolution has them."""
    rows, columns = layer.weight.shape
    weight = layer.weight.view(rows, 4, columns // 4).transpose(1, 2).reshape(rows, columns)
    return FloatLayer(weight, layer.bias.view(4, -1).T.reshape(-1))


def _set(module: nn.Module, layer: FloatLayer) -> None:
    """Write ``(k k I, O)``, taps in raster order outermost, into a layer of any kind."""
    assert isinstance(module, nn.Conv2d | nn.Linear)
    assert module.bias is not None
    module.bias.copy_(layer.bias)
    if isinstance(module, nn.Linear):
        module.weight.copy_(layer.weight.T)
        return
    kernel = module.kernel_size[0]
    # A depthwise layer's matrix has taps alone for rows.
    taps = layer.weight.view(kernel, kernel, -1, module.out_channels)
    module.weight.copy_(taps.permute(3, 2, 0, 1))
