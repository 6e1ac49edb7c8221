"""The sizes that make one MLIC++ network, and the layouts that are in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ugicm_codec.models.backbone import BackboneConfig
from ugicm_codec.models.conditioning import EmbeddingOutput

__all__ = ["MlicppConfig"]

# A hyper-latent channel's table is named by one byte.
_MAX_CHANNELS = 256
_MAX_SIZE = 4096
_MAX_SLICES = 64
_MAX_OCTAVES = 32


@dataclass(frozen=True, kw_only=True)
class MlicppConfig(BackboneConfig):
    """The sizes that make one MLIC++ network.

    The published checkpoints have two layouts that differ in ``entry_channels`` and
    ``residual_widths``: that of 2024 (83.5 M parameters) and that of 2023, which UG-ICM builds on.

    Attributes:
        slices: groups of latent channels that are coded one after the other; 10 as published.
        entry_channels: of the first block of the synthesis; M in the layout of 2024, N in 2023's.
        channel_widths: of the channel context's inner layers.
        parameter_widths: of the inner layers that join all contexts.
        residual_widths: of the latent residual prediction's inner layers; none for the layout of
            2023, where three of them narrow evenly from the first to the last width.
        view_output: what becomes of the embedding before it is projected.

    Raises:
        ValueError: no network has these sizes.
    """

    slices: int
    entry_channels: int
    channel_widths: tuple[int, ...] = (192, 128)
    parameter_widths: tuple[int, ...] = (320, 256, 128)
    residual_widths: tuple[int, ...] = (224, 128)
    view_output: EmbeddingOutput = EmbeddingOutput.LINEAR

    def __post_init__(self) -> None:
        limits = {
            "channels": _MAX_CHANNELS,
            "latent_channels": _MAX_SIZE,
            "slices": _MAX_SLICES,
            "view_features": _MAX_SIZE,
            "view_octaves": _MAX_OCTAVES,
            "entry_channels": _MAX_SIZE,
        }
        for name, most in limits.items():
            value = getattr(self, name)
            if not _is_size(value, most):
                raise ValueError(f"{name} is an integer from 1 to {most}, got {value!r}")
        counts = {"channel_widths": (2,), "parameter_widths": (3,), "residual_widths": (0, 2)}
        for name, allowed in counts.items():
            widths = getattr(self, name)
            if len(widths) not in allowed or not all(_is_size(each, _MAX_SIZE) for each in widths):
                raise ValueError(f"{name} are {allowed} integers to {_MAX_SIZE}, got {widths!r}")
        if not isinstance(self.two_ended, bool):
            raise ValueError(f"two_ended is true or false, got {self.two_ended!r}")
        # Two heads share a slice.
        if self.latent_channels % (2 * self.slices):
            raise ValueError(
                f"{self.latent_channels} latent channels make no {self.slices} slices of even width"
            )

    @property
    def slice_channels(self) -> int:
        """Latent channels of each slice."""
        return self.latent_channels // self.slices

    @classmethod
    def revised(cls) -> MlicppConfig:
        """Return the sizes of the checkpoints of 2024: 83.5 M parameters without PCDM."""
        return cls(
            channels=192,
            latent_channels=320,
            slices=10,
            view_features=256,
            view_octaves=4,
            entry_channels=320,
        )

    @classmethod
    def small(cls) -> MlicppConfig:
        """Return the small variant, for laptops and tests: four narrow slices."""
        return cls(
            channels=48,
            latent_channels=64,
            slices=4,
            view_features=256,
            view_octaves=4,
            entry_channels=64,
            channel_widths=(64, 48),
            parameter_widths=(128, 96, 64),
            residual_widths=(64, 48),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MlicppConfig:
        """Return the config that ``to_json`` wrote.

        Raises:
            ValueError: a field is missing, unknown, or out of its range.
        """
        expected = {field.name for field in fields(cls)}
        if different := expected ^ set(values):
            raise ValueError(f"of the config, {min(different)} is missing or unknown")
        parsed: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        parsed["view_output"] = EmbeddingOutput(parsed["view_output"])
        return cls(**parsed)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them: lists, and texts of enumerations."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def _is_size(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
