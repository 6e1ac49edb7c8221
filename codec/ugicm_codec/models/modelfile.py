"""Reads and writes model files: safetensors with JSON metadata, no code and no pickles.

``docs/decisions/model-files.md`` says why, and names every tensor.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ugicm_codec.errors import BadModelFile, UnknownModel
from ugicm_codec.models.backbone import BackboneConfig
from ugicm_codec.models.backbones import BACKBONES, Backbone, Forms, backbone_of

__all__ = [
    "ENTROPY_PREFIX",
    "FORMAT_VERSION",
    "ModelFile",
    "ModelInfo",
    "bundled_models",
    "latents_id_of",
    "read_model_file",
    "serialise_model",
]

FORMAT_VERSION = 1

# Tensors under this prefix decide latents, and the latents id is taken over all of them.
ENTROPY_PREFIX = "entropy."

_SUFFIX = ".safetensors"
_METADATA_KEY = "ugicm"

# As safetensors names them; the latents id is taken over these names, so they are forever.
_DTYPE_NAMES = {
    torch.float16: "F16",
    torch.float32: "F32",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
}

# Steps stand in one byte of a stream, and table indexes in one byte of memory.
_MAX_ROWS = 256


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes:
        name: the bundled model's name, or the file's.
        backbone: ``bmshj2018`` or ``mlicpp``.
        latents_id: 8 bytes; streams name it, and any model with the same id decodes them.
        sha256: of the file, in hexadecimal; names the synthesis too.
        quality_steps: points on the rate range; 1 for a model with one rate.
        channels: ``N``.
        latent_channels: ``M``.
        training: the training record, as JSON.
    """

    name: str
    backbone: str
    latents_id: bytes
    sha256: str
    quality_steps: int
    channels: int
    latent_channels: int
    training: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model file's contents, checked for form."""

    info: ModelInfo
    config: BackboneConfig
    tensors: Mapping[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors under ``prefix``, without it, floats as float32."""
        return {
            name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def bundled_models() -> list[str]:
    """Return the names of the models inside the package."""
    folder = resources.files("ugicm_codec") / "weights"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def latents_id_of(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the first 8 bytes of the SHA-256 over everything that decides latents."""
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(ENTROPY_PREFIX)):
        tensor = tensors[name].contiguous()
        shape = "x".join(str(size) for size in tensor.shape)
        digest.update(f"{name} {_DTYPE_NAMES[tensor.dtype]} {shape}\n".encode())
        digest.update(tensor.numpy().astype(tensor.numpy().dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:8]


def serialise_model(
    tensors: Mapping[str, Tensor], config: BackboneConfig, training: Mapping[str, Any]
) -> bytes:
    """Return the bytes of a model file; ``training`` must be JSON."""
    name = backbone_of(config)
    metadata = {
        "format": FORMAT_VERSION,
        "backbone": name,
        "config": BACKBONES[name].write_config(config),
        "training": training,
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(contiguous, {_METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def read_model_file(name: str) -> ModelFile:
    """Read a bundled model by name, or a model file by path.

    Raises:
        UnknownModel: neither exists.
        BadModelFile: the file is damaged or of another kind.
    """
    if name in bundled_models():
        data = (resources.files("ugicm_codec") / "weights" / f"{name}{_SUFFIX}").read_bytes()
    else:
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            known = ", ".join(bundled_models()) or "none"
            raise UnknownModel(
                f"no bundled model and no readable file {name!r} (bundled: {known})"
            ) from error
    return _parse(data, Path(name).stem if name.endswith(_SUFFIX) else name)


def _parse(data: bytes, name: str) -> ModelFile:
    try:
        tensors = load(data)
        metadata = json.loads(_metadata(data)[_METADATA_KEY])
        version, backbone = metadata["format"], metadata["backbone"]
        if version != FORMAT_VERSION or backbone not in BACKBONES:
            raise BadModelFile(
                f"{name}: this reader knows format {FORMAT_VERSION} and {', '.join(BACKBONES)}, "
                f"got {version} and {backbone}"
            )
        config = BACKBONES[backbone].parse_config(tensors, metadata["config"])
        training = metadata["training"]
        if not isinstance(training, dict):
            raise BadModelFile(f"{name}: a training record is an object, got {training!r:.80}")
        _check_form(tensors, BACKBONES[backbone], config)
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise BadModelFile(f"{name} is no model file: {error}") from error
    info = ModelInfo(
        name=name,
        backbone=backbone,
        latents_id=latents_id_of(tensors),
        sha256=hashlib.sha256(data).hexdigest(),
        quality_steps=len(tensors["entropy.gain"]),
        channels=config.channels,
        latent_channels=config.latent_channels,
        training=training,
    )
    return ModelFile(info=info, config=config, tensors=tensors)


def _check_form(tensors: Mapping[str, Tensor], backbone: Backbone, config: BackboneConfig) -> None:
    """Hold every tensor against its form, so that nothing larger than the file is ever allocated.

    Raises:
        ValueError: a tensor is missing, unknown, or of another shape or type.
    """
    expected = _transform_forms(backbone, config) | _entropy_forms(tensors, backbone, config)
    if different := tensors.keys() ^ expected.keys():
        raise ValueError(f"{min(different)} is missing or unknown")
    for name, (shape, dtypes) in expected.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype not in dtypes:
            raise ValueError(
                f"{name} is {dtypes[0]} of shape {shape}, "
                f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
            )


def _transform_forms(backbone: Backbone, config: BackboneConfig) -> Forms:
    # On the meta device, networks have shapes and no memory.
    with torch.device("meta"):
        parts = {
            "g_a.": backbone.analysis(config),
            "g_s.": backbone.synthesis(config),
            "h_a.": backbone.hyper_analysis(config),
        }
    floats = (torch.float16, torch.float32)
    return {
        prefix + name: (tuple(tensor.shape), floats)
        for prefix, part in parts.items()
        for name, tensor in part.state_dict().items()
    }


def _entropy_forms(
    tensors: Mapping[str, Tensor], backbone: Backbone, config: BackboneConfig
) -> Forms:
    n, m = config.channels, config.latent_channels
    steps, scales = len(tensors["entropy.gain"]), len(tensors["entropy.latent_tables.offset"])
    if not 1 <= steps <= _MAX_ROWS or not 1 <= scales <= _MAX_ROWS or n > _MAX_ROWS:
        raise ValueError(
            f"1 to {_MAX_ROWS} steps, scales and channels, got {steps}, {scales} and {n}"
        )
    forms: Forms = {
        "gain": ((steps, m), (torch.float32,)),
        "inverse_gain": ((steps, m), (torch.float32,)),
        "thresholds": ((scales - 1,), (torch.int64,)),
    }
    forms |= backbone.entropy_forms(config)
    for name, rows in (("latent_tables", scales), ("hyper_tables", n)):
        width = tensors[f"{ENTROPY_PREFIX}{name}.cumulative"].shape[1]
        forms[f"{name}.cumulative"] = ((rows, width), (torch.int32,))
        forms[f"{name}.num_symbols"] = ((rows,), (torch.int32,))
        forms[f"{name}.offset"] = ((rows,), (torch.int32,))
    return {ENTROPY_PREFIX + name: form for name, form in forms.items()}


def _metadata(data: bytes) -> dict[str, str]:
    (length,) = struct.unpack_from("<Q", data)
    result: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return result
