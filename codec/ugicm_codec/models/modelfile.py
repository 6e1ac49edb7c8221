"""Reads and writes model files: safetensors with JSON metadata, no code and no pickles.

``docs/decisions/model-files.md`` says why, and names every tensor.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ugicm_codec.errors import BadModelFile, UnknownModel
from ugicm_codec.models.bmshj2018 import Bmshj2018Config

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

_METADATA_KEY = "ugicm"
_BACKBONE = "bmshj2018"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes:
        name: the bundled model's name, or the file's.
        backbone: ``bmshj2018``.
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
    config: Bmshj2018Config
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


_SUFFIX = ".safetensors"


def latents_id_of(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the first 8 bytes of the SHA-256 over everything that decides latents."""
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(ENTROPY_PREFIX)):
        tensor = tensors[name].contiguous()
        little_endian = tensor.numpy().astype(tensor.numpy().dtype.newbyteorder("<"))
        header = json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode()
        digest.update(struct.pack("<I", len(header)) + header + little_endian.tobytes())
    return digest.digest()[:8]


def serialise_model(
    tensors: Mapping[str, Tensor], config: Bmshj2018Config, training: Mapping[str, Any]
) -> bytes:
    """Return the bytes of a model file; ``training`` must be JSON."""
    metadata = {
        "format": FORMAT_VERSION,
        "backbone": _BACKBONE,
        "config": asdict(config),
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
        if version != FORMAT_VERSION or backbone != _BACKBONE:
            raise BadModelFile(
                f"{name}: this reader knows format {FORMAT_VERSION} and {_BACKBONE}, "
                f"got {version} and {backbone}"
            )
        config = _config_of(tensors)
        if metadata["config"] != asdict(config):
            raise BadModelFile(
                f"{name}: its tensors have {asdict(config)}, it says {metadata['config']}"
            )
        steps = tensors["entropy.gain"].shape[0]
        training = metadata["training"]
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
        raise BadModelFile(f"{name} is no model file: {error}") from error
    info = ModelInfo(
        name=name,
        backbone=backbone,
        latents_id=latents_id_of(tensors),
        sha256=hashlib.sha256(data).hexdigest(),
        quality_steps=steps,
        channels=config.channels,
        latent_channels=config.latent_channels,
        training=training,
    )
    return ModelFile(info=info, config=config, tensors=tensors)


def _config_of(tensors: Mapping[str, Tensor]) -> Bmshj2018Config:
    """Read the sizes off the tensors, so that nothing larger than the file is ever allocated."""
    view_features, angles = tensors["g_s.embedding.hidden.weight"].shape
    return Bmshj2018Config(
        channels=tensors["g_a.0.weight"].shape[0],
        latent_channels=tensors["entropy.gain"].shape[1],
        view_features=view_features,
        view_octaves=(angles - 1) // 2,
    )


def _metadata(data: bytes) -> dict[str, str]:
    (length,) = struct.unpack_from("<Q", data)
    result: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return result


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return floats as float16, as they are stored."""
    return {
        name: tensor.to(torch.float16) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
