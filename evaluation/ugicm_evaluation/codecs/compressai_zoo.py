"""CompressAI's pretrained models (Bégaint et al., 2020), as peers."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import torchvision_cpu
from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadCodec

__all__ = ["ZooCodec"]

# The zoo's models halve a picture four times, and its hyper-latents twice more.
_MULTIPLE = 64

# What stands before the coded strings in a file: the picture's size, the hyper-latents' size, the
# number of strings and the quality, then each string's length. CompressAI publishes the strings'
# bytes alone.
_HEAD, _LENGTH = struct.Struct("<HHHHBB"), struct.Struct("<I")

_UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


class ZooCodec:
    """One architecture of the zoo, one network for each quality, on the CPU."""

    suffix = ".compressai"

    def __init__(
        self,
        architecture: str,
        metric: str,
        qualities: Sequence[int],
        weights: Path | None,
        *,
        name: str,
    ) -> None:
        """Load every quality's network.

        Args:
            architecture: the zoo's name of it.
            metric: ``mse`` or ``ms-ssim``, for which it was trained.
            qualities: that will be asked for; the zoo's own numbers.
            weights: a folder with ``QUALITY.pth``, or files named as CompressAI's own are; None
                for CompressAI's own loader, which downloads them.
            name: of the codec.

        Raises:
            BadCodec: there is no such architecture or quality, or its weights are not to be had.
        """
        self.name = name
        self._networks = {
            quality: _load(architecture, metric, quality, weights) for quality in qualities
        }
        digest = hashlib.sha256()
        for quality, network in self._networks.items():
            digest.update(str(quality).encode())
            for key, tensor in network.state_dict().items():
                digest.update(key.encode() + tensor.numpy().tobytes())
        version = importlib.metadata.version("compressai")
        self.identity = f"{architecture} {digest.hexdigest()} compressai {version}"

    def encode(self, picture: Picture, quality: int) -> bytes:
        height, width = picture.shape[:2]
        pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255.0
        padding = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
        with torch.inference_mode():
            coded = self._networks[quality].compress(functional.pad(pixels, padding, "replicate"))
        strings = [string[0] for string in coded["strings"]]
        parts = [_HEAD.pack(height, width, *coded["shape"], len(strings), quality)]
        parts += [_LENGTH.pack(len(string)) + string for string in strings]
        return b"".join(parts)

    def decode(self, data: bytes, views: Sequence[float]) -> list[Picture]:
        height, width, *shape, count, quality = _HEAD.unpack_from(data)
        offset = _HEAD.size
        strings = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(data, offset)
            offset += _LENGTH.size
            strings.append([data[offset : offset + length]])
            offset += length
        with torch.inference_mode():
            pixels = self._networks[quality].decompress(strings, shape)["x_hat"][0]
        levels = (pixels[:, :height, :width] * 255.0).round().clamp(0, 255).to(torch.uint8)
        picture: Picture = np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
        return [picture for _ in views]


@functools.cache
def _zoo() -> Any:
    torchvision_cpu.ensure()
    from compressai.zoo import image

    return image


def _load(architecture: str, metric: str, quality: int, weights: Path | None) -> Any:
    zoo = _zoo()
    known = sorted(set(zoo.cfgs) & set(zoo.model_architectures))
    if architecture not in known:
        raise BadCodec(f"CompressAI's zoo has no {architecture!r}; it has {', '.join(known)}")
    qualities = zoo.cfgs[architecture]
    if quality not in qualities:
        raise BadCodec(
            f"{architecture} has the qualities {min(qualities)} to {max(qualities)}, got {quality}"
        )
    if weights is not None:
        return _from_folder(zoo, architecture, quality, weights)
    download = getattr(zoo, architecture.replace("-", "_"))
    try:
        return download(quality, metric, pretrained=True).eval()
    except (OSError, RuntimeError) as error:
        raise BadCodec(
            f"the weights of {architecture} at quality {quality} cannot be downloaded ({error}); "
            "put them into a folder and name it as `weights`"
        ) from error


def _from_folder(zoo: Any, architecture: str, quality: int, folder: Path) -> Any:
    named = [*sorted(folder.glob(f"*-{quality}-*.pth.tar")), folder / f"{quality}.pth"]
    path = next((path for path in named if path.exists()), None)
    if path is None:
        raise BadCodec(f"{folder} holds no *-{quality}-*.pth.tar and no {quality}.pth")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = zoo.load_pretrained(state.get("state_dict", state))
        network = zoo.model_architectures[architecture].from_state_dict(state)
        network.update()
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadCodec(f"{path} holds no {architecture}: {reason}") from error
    return network.eval()
