"""Makes trainable models of MLIC++'s published checkpoints, and of UG-ICM's on MLIC++."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum

import torch
from compressai.entropy_models import EntropyBottleneck
from compressai.ops import NonNegativeParametrizer
from torch import Tensor, nn

from ugicm_codec.models.conditioning import EmbeddingOutput
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_codec.models.mlicpp.context import ContextModel
from ugicm_codec.models.mlicpp.transforms import (
    Analysis,
    ConditionalSynthesis,
    HyperAnalysis,
    HyperSynthesis,
)
from ugicm_training.constraints import MINIMUM_BETA, set_effective_state
from ugicm_training.errors import ForeignCheckpoint
from ugicm_training.imported.checkpoint import State, check_values
from ugicm_training.mlicpp import TrainableMlicpp

__all__ = ["Views", "from_mlicpp"]


class Views(Enum):
    """What a checkpoint knows of views."""

    # The plain backbone: every view is the human one.
    ONE = "one"
    # UG-ICM's: the view's embedding, and two terms in each block of the synthesis.
    ALL = "all"


# Sizes of the view's network, which a plain backbone does not bring: the default recipe's.
_VIEW_FEATURES, _VIEW_OCTAVES = 256, 4

# Names of at most so many tensors are told.
_TOLD = 12

# What follows from the sizes, is made again at the export, or is a constant.
_NOT_NEEDED = re.compile(
    r"gaussian_conditional\..+"
    r"|entropy_bottleneck\.(_offset|_quantized_cdf|_cdf_length|target|likelihood_lower_bound\.bound)"
    r"|.+\.(gdn|igdn)\.(beta|gamma)_reparam\..+"
    r"|local_context\.\d+\.relative_position_index"
)

_Renaming = tuple[str, str | Callable[[re.Match[str]], str]]

# Our names, and what stands in their place; in order, each where it is found.
_RENAMED: tuple[_Renaming, ...] = (
    (r"^g_a\.", "g_a.analysis_transform."),
    (r"^g_s\.blocks\.(\d)", lambda name: f"g_s.synthesis_transform.{2 * int(name[1])}"),
    (
        r"^g_s\.upsamplings\.(\d)\.(first|second|normalise|skip)",
        lambda name: (
            f"g_s.synthesis_transform.{2 * int(name[1]) + 1}."
            + {"first": "subpel_conv", "second": "conv", "normalise": "igdn", "skip": "upsample"}[
                name[2]
            ]
        ),
    ),
    (r"^g_s\.output", "g_s.synthesis_transform.7"),
    (r"^g_s\.embedding\.hidden", "global_cond.beta_mlp.fc1"),
    (r"^g_s\.embedding\.output", "global_cond.beta_mlp.fc2"),
    (
        r"^g_s\.view_terms\.(\d)",
        lambda name: (
            f"g_s.synthesis_transform.{int(name[1]) // 2 * 2}._proj{int(name[1]) % 2 + 1}.0"
        ),
    ),
    (r"^(g_[as]\.\w+\.\d)\.first", r"\1.conv1"),
    (r"^(g_[as]\.\w+\.\d)\.second", r"\1.conv2"),
    (r"^(g_a\.\w+\.\d)\.normalise", r"\1.gdn"),
    (r"^h_a\.", "h_a.reduction."),
    (r"^h_s\.", "h_s.increase."),
    (r"^context\.slices\.(\d+)\.local\.", r"local_context.\1."),
    (r"^(local_context\.\d+)\.norm_in", r"\1.norm1"),
    (r"^(local_context\.\d+)\.norm_out", r"\1.norm2"),
    (r"^(local_context\.\d+)\.qkv", r"\1.qkv_proj"),
    (r"^(local_context\.\d+)\.position_bias", r"\1.relative_position_table"),
    (r"^(local_context\.\d+)\.projection", r"\1.proj"),
    (r"^(local_context\.\d+)\.mlp\.0", r"\1.mlp.fc1"),
    (r"^(local_context\.\d+)\.mlp\.2", r"\1.mlp.fc2"),
    (r"^context\.slices\.(\d+)\.inter", r"global_inter_context.\1"),
    (r"^context\.slices\.(\d+)\.intra", r"global_intra_context.\1"),
    (r"^context\.slices\.(\d+)\.channel", r"channel_context.\1.fushion"),
    (r"^context\.slices\.(\d+)\.(\w+)_parameters", r"entropy_parameters_\2.\1.fusion"),
    (r"^context\.slices\.(\d+)\.(\w+)_residual\.layers", r"lrp_\2.\1.lrp_transform"),
    (r"^bottleneck\.", "entropy_bottleneck."),
)


def from_mlicpp(state: State, views: Views, distortion_weight: float) -> TrainableMlicpp:
    """Return the same codec as a trainable model of one quality.

    Sizes, and which of the published layouts it is, follow from the tensors' shapes.

    Args:
        views: what the checkpoint knows of them.
        distortion_weight: lambda, which a checkpoint does not say; for training further.

    Raises:
        ForeignCheckpoint: tensors are missing, unknown, or of other shapes; it lists them.
    """
    theirs = state.tensors
    try:
        config = _config(theirs, views)
        parts = _parts(config)
        ours = _match(theirs, parts, views)
        check_values(theirs)
    except (LookupError, ValueError) as error:
        reason = f"it has no {error.args[0]}" if isinstance(error, LookupError) else str(error)
        raise ForeignCheckpoint(f"{state.path} is no MLIC++: {reason}") from error
    with torch.random.fork_rng(devices=[]):
        model = TrainableMlicpp(config, knots=2, lambdas=(distortion_weight,) * 2)
    _make_effective(ours)
    if views is Views.ALL:
        ours["g_s.embedding.hidden.weight"] = _sines_first(ours["g_s.embedding.hidden.weight"])
    for part in parts:
        own = {
            name.removeprefix(f"{part}."): value
            for name, value in ours.items()
            if name.startswith(f"{part}.")
        }
        set_effective_state(model.get_submodule(part), own)
    return model


def _config(theirs: Mapping[str, Tensor], views: Views) -> MlicppConfig:
    def width(name: str) -> int:
        return len(theirs[f"{name}.weight"])

    slices = 0
    while f"local_context.{slices}.qkv_proj.weight" in theirs:
        slices += 1
    if slices < 2:
        raise ValueError(f"two slices are the fewest, got {slices}")
    features, octaves, rule = _VIEW_FEATURES, _VIEW_OCTAVES, EmbeddingOutput.LINEAR
    if views is Views.ALL:
        features, inputs = theirs["global_cond.beta_mlp.fc1.weight"].shape
        octaves, rule = (inputs - 1) // 2, EmbeddingOutput.RECTIFIED
    residual = "lrp_anchor.0.lrp_transform"
    # The layout of 2023 has one layer more, and widths that differ from slice to slice.
    tapering = f"{residual}.6.weight" in theirs
    return MlicppConfig(
        channels=width("h_a.reduction.0"),
        latent_channels=width("g_a.analysis_transform.6"),
        slices=slices,
        view_features=features,
        view_octaves=octaves,
        entry_channels=width("g_s.synthesis_transform.0.conv1"),
        channel_widths=(width("channel_context.1.fushion.0"), width("channel_context.1.fushion.2")),
        parameter_widths=tuple(
            width(f"entropy_parameters_anchor.0.fusion.{layer}") for layer in (0, 2, 4)
        ),
        residual_widths=() if tapering else (width(f"{residual}.0"), width(f"{residual}.2")),
        view_output=rule,
    )


def _parts(config: MlicppConfig) -> dict[str, nn.Module]:
    # On the meta device, networks have shapes and no memory.
    with torch.device("meta"):
        return {
            "g_a": Analysis(config),
            "g_s": ConditionalSynthesis(config),
            "h_a": HyperAnalysis(config),
            "h_s": HyperSynthesis(config),
            "context": ContextModel(config),
            "bottleneck": EntropyBottleneck(config.channels),
        }


def _match(
    theirs: Mapping[str, Tensor], parts: Mapping[str, nn.Module], views: Views
) -> dict[str, Tensor]:
    """Return the checkpoint's tensors by our names.

    Raises:
        ValueError: with the list of what does not fit.
    """
    ours: dict[str, Tensor] = {}
    known, wrong = set(), []
    for part, network in parts.items():
        for name, parameter in network.named_parameters(prefix=part):
            if views is Views.ONE and name.startswith(("g_s.embedding.", "g_s.view_terms.")):
                continue
            their_name = _their_name(name)
            known.add(their_name)
            found = theirs.get(their_name)
            shape = tuple(parameter.shape)
            if found is None:
                wrong.append(f"{their_name} is missing")
            elif tuple(found.shape) != shape:
                wrong.append(f"{their_name} is {tuple(found.shape)} instead of {shape}")
            else:
                ours[name] = found
    unknown = [name for name in theirs if name not in known and not _NOT_NEEDED.fullmatch(name)]
    wrong += [f"{name} is unknown" for name in unknown]
    if wrong:
        more = f"; and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise ValueError("; ".join(wrong[:_TOLD]) + more)
    return ours


def _their_name(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _make_effective(ours: dict[str, Tensor]) -> None:
    """Turn the parameters of divisive normalisations into what they stand for."""
    for parameter, minimum in (("beta", MINIMUM_BETA), ("gamma", 0.0)):
        reparam = NonNegativeParametrizer(minimum=minimum)
        for name in [name for name in ours if name.endswith(f".normalise.{parameter}")]:
            with torch.no_grad():
                ours[name] = reparam(ours[name])


def _sines_first(weight: Tensor) -> Tensor:
    """Reorder the embedding's inputs: theirs are sine and cosine octave by octave."""
    return torch.cat([weight[:, :1], weight[:, 1::2], weight[:, 2::2]], dim=1)
