"""The layers of MLIC++'s entropy model: what each reads, how wide it is and how it ends.

Model files, the coder and the exporter all follow this one description. Names are those of a model
file's tensors; a layer's sources are the layers (or latents) whose outputs it reads, side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

__all__ = [
    "HYPER_LAYERS",
    "LOCAL_HEADS",
    "NORMALISED",
    "Activation",
    "Half",
    "LayerForm",
    "Sizes",
    "Source",
    "hyper_latents_source",
    "layer_forms",
]

# What a normalisation leaves has fixed bits, and no layer of its own.
NORMALISED = "normalised"
_HYPER_LATENTS = "hyper_latents"

LOCAL_HEADS = 2
INTRA_HEADS = 2
_LOCAL_NEIGHBOURS = 25

HYPER_LAYERS = 5
_HYPER_UPSAMPLES = (False, True, False, True, False)


class Sizes(Protocol):
    """What of a model's configuration decides its entropy model."""

    @property
    def channels(self) -> int:
        """Channels of the hyper-latents."""

    @property
    def latent_channels(self) -> int:
        """Channels of the latents; a multiple of ``slices``."""

    @property
    def slices(self) -> int:
        """Slices of the latents, coded one after the other."""

    @property
    def channel_widths(self) -> tuple[int, ...]:
        """Inner widths of the channel contexts."""

    @property
    def parameter_widths(self) -> tuple[int, ...]:
        """Inner widths of the entropy parameters."""

    @property
    def residual_widths(self) -> tuple[int, ...]:
        """Inner widths of the residual predictions; empty where they taper (the first release)."""


class Half(Enum):
    """The two steps of a slice."""

    ANCHORS = "anchor"
    OTHERS = "nonanchor"


class Activation(Enum):
    """How a layer's sums end."""

    NONE = auto()
    GELU = auto()
    # Exponents of an attention's weights.
    LOGITS = auto()
    # Half a hyperbolic tangent, in the latents' units.
    RESIDUAL = auto()
    # Scales and means of the latents.
    PARAMETERS = auto()


@dataclass(frozen=True)
class Source:
    """Channels that a layer reads, of the bits that ``name`` has."""

    name: str
    channels: int


@dataclass(frozen=True)
class LayerForm:
    """One layer.

    Attributes:
        sources: side by side in this order.
        columns: channels that leave it, four times as many where it upsamples.
        depthwise: whether each channel is convolved by itself.
    """

    sources: tuple[Source, ...]
    columns: int
    kernel: int = 1
    activation: Activation = Activation.NONE
    upsample: bool = False
    depthwise: bool = False

    @property
    def rows(self) -> int:
        """Rows of the layer's matrix: taps times channels, or taps alone if depthwise."""
        channels = 1 if self.depthwise else sum(source.channels for source in self.sources)
        return self.kernel**2 * channels


def hyper_latents_source(sizes: Sizes) -> Source:
    """Return the source that the first layer of all reads."""
    return Source(_HYPER_LATENTS, sizes.channels)


def layer_forms(sizes: Sizes) -> Mapping[str, LayerForm]:
    """Return all layers by name, in the order in which they run."""
    forms = _hyper_forms(sizes)
    for index in range(sizes.slices):
        forms |= _slice_forms(sizes, index)
    return forms


def _hyper_forms(sizes: Sizes) -> dict[str, LayerForm]:
    m = sizes.latent_channels
    widths = (m, m, m * 3 // 2, m * 3 // 2, 2 * m)
    forms = {}
    source = hyper_latents_source(sizes)
    for index, width in enumerate(widths):
        last = index == HYPER_LAYERS - 1
        upsample = _HYPER_UPSAMPLES[index]
        forms[f"h_s.{index}"] = LayerForm(
            (source,),
            4 * width if upsample else width,
            kernel=3,
            activation=Activation.NONE if last else Activation.GELU,
            upsample=upsample,
        )
        source = Source(f"h_s.{index}", width)
    return forms


def _slice_forms(sizes: Sizes, index: int) -> dict[str, LayerForm]:
    s, m = sizes.latent_channels // sizes.slices, sizes.latent_channels
    here = f"slices.{index}."
    hyper, means = Source("h_s.4", 2 * m), Source("h_s.4", m)
    own = Source(here + "latents", s)
    previous = tuple(Source(f"slices.{before}.latents", s) for before in range(index))
    local = Source(here + "local.out", 2 * s)
    forms = _local_forms(here + "local.", s)
    across: tuple[Source, ...] = ()
    within: tuple[Source, ...] = ()
    if index:
        forms |= _chain(here + "channel.", previous, (*sizes.channel_widths, 4 * s), kernel=3)
        forms |= _inter_forms(here + "inter.", previous, s)
        forms |= _intra_forms(here + "intra.", previous[-1], own)
        last = len(sizes.channel_widths)
        across = (Source(here + "inter.out", 2 * s), Source(f"{here}channel.{last}", 4 * s))
        within = (Source(here + "intra.out", 2 * s),)
    inputs = {
        Half.ANCHORS: (*across, hyper),
        Half.OTHERS: (local, *within, *across, hyper),
    }
    seen = (means, *previous, own)
    residual_widths = sizes.residual_widths or _tapering(m + (index + 1) * s, s)
    for half, sources in inputs.items():
        forms |= _chain(
            f"{here}{half.value}.parameters.",
            sources,
            (*sizes.parameter_widths, 2 * s),
            end=Activation.PARAMETERS,
        )
        forms |= _chain(
            f"{here}{half.value}.residual.",
            seen,
            (*residual_widths, s),
            kernel=3,
            end=Activation.RESIDUAL,
        )
    return forms


def _chain(
    prefix: str,
    sources: tuple[Source, ...],
    widths: tuple[int, ...],
    *,
    kernel: int = 1,
    end: Activation = Activation.NONE,
) -> dict[str, LayerForm]:
    """Return layers one after the other, with GELU between them."""
    forms = {}
    for index, width in enumerate(widths):
        activation = end if index == len(widths) - 1 else Activation.GELU
        forms[f"{prefix}{index}"] = LayerForm(sources, width, kernel, activation)
        sources = (Source(f"{prefix}{index}", width),)
    return forms


def _local_forms(prefix: str, s: int) -> dict[str, LayerForm]:
    fusion, hidden = Source(prefix + "fusion", 2 * s), Source(prefix + "mlp", 4 * s)
    qkv = Source(prefix + "qkv", _LOCAL_NEIGHBOURS * s)
    return {
        # Normalisations' gains and offsets are folded into the layers that follow them.
        prefix + "qkv": LayerForm((Source(NORMALISED, s),), 3 * s),
        # The window's convolution and the projection after it, as one matrix.
        prefix + "fusion": LayerForm((qkv,), 2 * s),
        prefix + "mlp": LayerForm((Source(NORMALISED, 2 * s),), 4 * s, activation=Activation.GELU),
        # What goes past the inner layer has rows of its own.
        prefix + "out": LayerForm((fusion, hidden), 2 * s),
    }


def _inter_forms(prefix: str, previous: tuple[Source, ...], s: int) -> dict[str, LayerForm]:
    c = s * len(previous)
    project = Source(prefix + "project", c)
    return {
        # Queries, keys and values.
        prefix + "project": LayerForm(previous, 3 * c),
        prefix + "queries": _depthwise(project, Activation.LOGITS),
        prefix + "keys": _depthwise(project, Activation.LOGITS),
        prefix + "values": _depthwise(project, Activation.NONE),
        prefix + "reprojection": LayerForm((Source(prefix + "values", c),), 3 * s, kernel=5),
        **_mlp_forms(prefix, 3 * s, s),
    }


def _intra_forms(prefix: str, previous: Source, own: Source) -> dict[str, LayerForm]:
    s = own.channels
    forms = {}
    for name, source, activation in (
        ("queries", previous, Activation.LOGITS),
        ("keys", previous, Activation.LOGITS),
        ("values", own, Activation.NONE),
    ):
        forms[f"{prefix}project.{name}"] = LayerForm((source,), s)
        forms[prefix + name] = _depthwise(Source(f"{prefix}project.{name}", s), activation)
    forms[prefix + "reprojection"] = LayerForm((Source(prefix + "values", s),), 2 * s, kernel=5)
    return forms | _mlp_forms(prefix, 2 * s, s)


def _mlp_forms(prefix: str, width: int, s: int) -> dict[str, LayerForm]:
    past = Source(prefix + "reprojection", width)
    wide = Source(prefix + "mlp.0", 4 * s)
    return {
        prefix + "mlp.0": LayerForm((past,), 4 * s, activation=Activation.GELU),
        prefix + "mlp.1": _depthwise(wide, Activation.GELU),
        prefix + "out": LayerForm((past, Source(prefix + "mlp.1", 4 * s)), 2 * s),
    }


def _depthwise(source: Source, activation: Activation) -> LayerForm:
    return LayerForm((source,), source.channels, 3, activation, depthwise=True)


def _tapering(channels: int, end: int) -> tuple[int, ...]:
    return tuple(channels - (channels - end) * quarter // 4 for quarter in (1, 2, 3))
