"""Keeps the parameters of divisive normalisation non-negative while they are trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from compressai.ops import NonNegativeParametrizer
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ugicm_codec.models.layers import GDN

__all__ = ["MINIMUM_BETA", "constrain", "effective_state", "set_effective_state"]


# Keeps the normalisation away from a division by zero; CompressAI's bound.
MINIMUM_BETA = 1e-6


class _NonNegative(nn.Module):
    """CompressAI's reparametrization (Ballé, PCS 2018) as a PyTorch parametrization."""

    def __init__(self, minimum: float) -> None:
        super().__init__()
        self.reparam = NonNegativeParametrizer(minimum=minimum)

    def forward(self, original: Tensor) -> Tensor:
        return self.reparam(original)  # type: ignore[no-any-return]

    def right_inverse(self, value: Tensor) -> Tensor:
        return self.reparam.init(value)  # type: ignore[no-any-return]


def constrain(module: nn.Module) -> None:
    """Register the constraint on every GDN inside ``module``."""
    for layer in module.modules():
        if isinstance(layer, GDN):
            parametrize.register_parametrization(layer, "beta", _NonNegative(MINIMUM_BETA))
            parametrize.register_parametrization(layer, "gamma", _NonNegative(0.0))


def effective_state(module: nn.Module) -> dict[str, Tensor]:
    """Return a state dict in which every constrained parameter has its effective value."""
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        if ".parametrizations." not in name:
            state[name] = value.detach().clone()
    with torch.no_grad():
        for name, layer in module.named_modules():
            if isinstance(layer, GDN):
                state[f"{name}.beta"] = layer.beta.detach().clone()
                state[f"{name}.gamma"] = layer.gamma.detach().clone()
    return state


def set_effective_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give ``module`` the values of ``effective_state``, constrained parameters included."""
    plain = module.state_dict()
    constrained = {
        f"{name}.{parameter}": (layer, parameter)
        for name, layer in module.named_modules()
        if isinstance(layer, GDN)
        for parameter in ("beta", "gamma")
    }
    with torch.no_grad():
        for name, value in state.items():
            if name in constrained:
                layer, parameter = constrained[name]
                setattr(layer, parameter, value)
            else:
                plain[name].copy_(value)
