"""The same weights for both sides: a seeded model file, and CompressAI's network from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ugicm_training  # noqa: F401  makes torchvision importable, which compressai wants

from compressai.models import ScaleHyperprior  # isort: skip
from compressai.layers import GDN  # isort: skip
from ugicm_codec.models.bmshj2018 import Bmshj2018Config, ConditionalSynthesis
from ugicm_codec.models.modelfile import ENTROPY_PREFIX, read_model_file
from ugicm_training.export import export_model
from ugicm_training.model import TrainableHyperprior

__all__ = ["compressai_model", "write_seeded_model"]


@torch.no_grad()
def write_seeded_model(path: Path, picture: Any, *, channels: int, latent_channels: int) -> None:
    """Write an untrained model whose latents take about as many bits as a trained one's."""
    torch.manual_seed(1)
    config = Bmshj2018Config(
        channels=channels, latent_channels=latent_channels, view_features=64, view_octaves=4
    )
    model = TrainableHyperprior(config, knots=2, lambdas=(0.01, 0.01))
    x = torch.from_numpy(picture[:256, :256].copy()).permute(2, 0, 1)[None] / 255.0
    # Latents mostly of -1, 0 and 1 under scales that fit them.
    model.g_a[-1].weight *= 0.5 / model.g_a(x).std()
    y = model.g_a(x)
    model.h_a[-1].weight *= 1.0 / model.h_a(y).std()
    z = model.h_a(y).round()
    model.h_s[-1].weight *= 0.1 / model.h_s(z).std()
    model.h_s[-1].bias.fill_(0.5)
    path.write_bytes(export_model(model, calibration=x, quality_steps=2, training={}))


@torch.no_grad()
def compressai_model(name: str, step: int) -> ScaleHyperprior:
    """Return CompressAI's bmshj2018 with a model file's weights: one step, the human view."""
    file = read_model_file(name)
    entropy = file.part(ENTROPY_PREFIX)
    gain, inverse_gain = entropy["gain"][step], entropy["inverse_gain"][step]
    net = ScaleHyperprior(file.config.channels, file.config.latent_channels)
    analysis = file.part("g_a.")
    analysis["6.weight"] *= gain[:, None, None, None]
    analysis["6.bias"] *= gain
    _load(net.g_a, analysis)
    _load(net.h_a, file.part("h_a."))
    synthesis = ConditionalSynthesis(file.config)
    synthesis.load_state_dict(file.part("g_s."))
    _load(net.g_s, _human_synthesis(synthesis, inverse_gain))
    net.h_s.load_state_dict(_float_hyper_synthesis(entropy, file.config))
    # Their tables have the same form as ours: 16 bits, the last symbol for all other values.
    bottleneck = net.entropy_bottleneck
    bottleneck._quantized_cdf = entropy["hyper_tables.cumulative"]
    bottleneck._cdf_length = entropy["hyper_tables.num_symbols"] + 1
    bottleneck._offset = entropy["hyper_tables.offset"]
    bottleneck.quantiles[:, 0, 1] = 0.0
    net.gaussian_conditional.update_scale_table(torch.from_numpy(np.geomspace(0.11, 128.0, 64)))
    return net.eval()


def _human_synthesis(synthesis: ConditionalSynthesis, inverse_gain: Tensor) -> dict[str, Tensor]:
    terms = [term.flatten() for term in synthesis.terms(torch.zeros(1))]
    state: dict[str, Tensor] = {}
    for index, (layer, normalise) in enumerate(
        zip(synthesis.deconvolutions, synthesis.normalisations, strict=True)
    ):
        state[f"{2 * index}.weight"] = layer.weight.clone()
        state[f"{2 * index}.bias"] = layer.bias + terms[index]
        state[f"{2 * index + 1}.beta"] = normalise.beta
        state[f"{2 * index + 1}.gamma"] = normalise.gamma
    state["0.weight"] *= inverse_gain[:, None, None, None]
    state["6.weight"] = synthesis.output.weight
    state["6.bias"] = synthesis.output_bias.flatten() + terms[-1]
    return state


def _float_hyper_synthesis(
    entropy: dict[str, Tensor], config: Bmshj2018Config
) -> dict[str, Tensor]:
    # Rectified layers commute with scaling: only the powers of two of the whole chain matter.
    middle = float(np.geomspace(0.11, 128.0, 64)[31:33].prod() ** 0.5)
    total_bits = round(float(torch.log2(entropy["thresholds"][31] / middle)))
    state: dict[str, Tensor] = {}
    activation_bits = 0
    for index in range(3):
        prefix = f"layers.{index}."
        matrix, bias = entropy[prefix + "weight"].double(), entropy[prefix + "bias"].double()
        weight_bits = 12 if index < 2 else total_bits - activation_bits
        sum_bits = weight_bits + activation_bits
        scaled = matrix / 2.0**weight_bits
        if index < 2:
            weight = _transposed_kernel(scaled, config.channels)
            bias = bias[: config.channels]
        else:
            weight = scaled.view(3, 3, config.channels, -1).permute(3, 2, 0, 1)
        state[f"{2 * index}.weight"] = weight.float()
        state[f"{2 * index}.bias"] = (bias / 2.0**sum_bits).float()
        activation_bits = sum_bits - int(entropy[prefix + "shift"])
    return state


def _transposed_kernel(matrix: Tensor, channels: int) -> Tensor:
    phases = matrix.view(3, 3, channels, 2, 2, channels)
    kernel = matrix.new_zeros(channels, channels, 5, 5)
    used = [(phase, tap, phase + 4 - 2 * tap) for phase in (0, 1) for tap in range(3)]
    used = [(phase, tap, element) for phase, tap, element in used if element < 5]
    for row, row_tap, row_element in used:
        for column, column_tap, column_element in used:
            kernel[:, :, row_element, column_element] = phases[row_tap, column_tap, :, row, column]
    return kernel


def _load(network: nn.Sequential, state: dict[str, Tensor]) -> None:
    for index, layer in enumerate(network):
        if isinstance(layer, GDN):
            beta, gamma = f"{index}.beta", f"{index}.gamma"
            state[beta] = layer.beta_reparam.init(state[beta])
            state[gamma] = layer.gamma_reparam.init(state[gamma])
    network.load_state_dict(state, strict=False)
