"""The stand-in for CLIP where its weights cannot be had: MobileNetV2, distilled into CLIP's space.

Features of several blocks of a MobileNetV2 (Sandler et al., CVPR 2018), each averaged over the
picture, are mapped linearly onto CLIP's own image embeddings; ``fitting`` finds the mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import mobilenet_v2

from ugicm_training.errors import MissingWeights
from ugicm_training.teachers.protocol import Interpolation

__all__ = ["BLOCKS", "Features", "StandIn", "StandInRecord", "read_backbone", "stand_in_file"]

# Pooled blocks, counted as torchvision does. The last alone says which of a thousand classes;
# those before it add what CLIP sees besides. In cross-validation on the photos of the fit, the
# right one of 279 was found in 67 % with the last block alone, in 82 % with these four.
BLOCKS = (13, 16, 17, 18)

_KIND = "ugicm stand-in teacher 1"

# Smaller pictures leave the last block without a single pixel.
_LEAST_SIDE = 32


class StandInRecord(msgspec.Struct, frozen=True):
    """What a teacher's file says of how it came about.

    Attributes:
        photos: that the mapping was fitted to.
        held_out: photos that the fit never saw, for the two figures after it.
        first: share of them whose CLIP vector is the nearest of all held-out ones to their own.
        five: likewise among the nearest five.
    """

    photos: int
    held_out: int
    first: float
    five: float


class Features:
    """MobileNetV2 up to its pooling, frozen: pictures to the means of ``BLOCKS``.

    Attributes:
        widths: features of each block.
        network: up to its last block, normalisations folded.
        device: that the network is on.
    """

    def __init__(self, backbone: Mapping[str, Tensor], device: torch.device) -> None:
        network = mobilenet_v2()
        network.load_state_dict(backbone)
        self.network: nn.Sequential = network.features.eval()
        _fuse(self.network)
        self.network.eval().requires_grad_(False)
        self.network.to(device, memory_format=torch.channels_last)
        self.widths = tuple(self._width(number) for number in BLOCKS)
        self.device = device

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return ``(N, sum(widths))`` float32 for ``(N, 3, H, W)``, nominally in [0, 1]."""
        maps = (2.0 * pictures - 1.0).contiguous(memory_format=torch.channels_last)
        means = []
        for number, block in enumerate(self.network):
            maps = block(maps)
            if number in BLOCKS:
                # Pictures differ by little beside what their means share: bfloat16 loses that.
                means.append(maps.float().mean((2, 3)))
        return torch.cat(means, 1)

    def _width(self, number: int) -> int:
        convolutions = [m for m in self.network[number].modules() if isinstance(m, nn.Conv2d)]
        return convolutions[-1].out_channels


class StandIn:
    """Pooled MobileNetV2 features mapped into CLIP's space, behind ``Teacher``.

    Vectors are relative to the mean of CLIP's: what all photos share says nothing of one, and
    would hide in a cosine how far two of them are apart.
    """

    mean_colour = (0.5, 0.5, 0.5)
    interpolation = Interpolation.BILINEAR

    def __init__(
        self, features: Features, projection: Tensor, offset: Tensor, *, side: int = 224
    ) -> None:
        if side < _LEAST_SIDE:
            raise ValueError(f"a stand-in sees at least {_LEAST_SIDE} pixels, got {side}")
        self.features = features
        self._projection = projection.to(features.device).float().requires_grad_(False)
        self._offset = offset.to(features.device).float().requires_grad_(False)
        self.side = side
        self.description = "CLIP-distilled MobileNetV2 teacher (stand-in for CLIP ViT-B/32)"

    @classmethod
    def load(cls, path: Path, device: torch.device, *, side: int = 224) -> StandIn:
        """Read a file that ``stand_in_file`` made.

        Args:
            path: the file.
            device: to put the network on.
            side: of the pictures it is to be shown; 224 fits best, less is faster.

        Raises:
            MissingWeights: no such file, or one of another kind.
            ValueError: the side is below 32.
        """
        tensors, metadata = _read(path)
        if metadata.get("kind") != _KIND:
            raise MissingWeights(
                f"{path} is no stand-in teacher of this version: fit one with "
                f"`ugicm-train teacher fit`"
            )
        try:
            projection, offset = tensors.pop("projection"), tensors.pop("offset")
            features = Features(tensors, device)
            record = msgspec.json.decode(metadata["record"], type=StandInRecord)
        except (KeyError, RuntimeError, msgspec.MsgspecError) as error:
            reason = str(error).splitlines()[0]
            raise MissingWeights(f"{path} is a damaged stand-in teacher: {reason}") from error
        teacher = cls(features, projection, offset, side=side)
        teacher.description += (
            f", fitted to {record.photos} photos; the right one of {record.held_out} unseen ones "
            f"in {record.first:.1%}, among five in {record.five:.1%}; pictures of {side} pixels"
        )
        return teacher

    def embed(self, pictures: Tensor) -> Tensor:
        """Return ``(N, 512)`` float32; other sizes than ``side`` work as well; see ``Teacher``."""
        features = self.features(pictures)
        with torch.autocast(features.device.type, enabled=False):
            return features @ self._projection + self._offset


def read_backbone(path: Path) -> dict[str, Tensor]:
    """Read torchvision's ``mobilenet_v2`` from safetensors, float32.

    Raises:
        MissingWeights: no such file, or one of another kind.
    """
    tensors, _ = _read(path)
    try:
        mobilenet_v2().load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:12])
        raise MissingWeights(f"{path} holds no torchvision mobilenet_v2: {reason}") from error
    return tensors


def stand_in_file(
    backbone: Mapping[str, Tensor], projection: Tensor, offset: Tensor, record: StandInRecord
) -> bytes:
    """Return the bytes of a file that ``StandIn.load`` reads, in half precision."""
    tensors = {**backbone, "projection": projection, "offset": offset}
    halves = {name: value.half().contiguous() for name, value in tensors.items()}
    return save(halves, {"kind": _KIND, "record": msgspec.json.encode(record).decode()})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise MissingWeights(f"{path} cannot be read as safetensors: {error}") from error


def _fuse(module: nn.Module) -> None:
    """Fold every normalisation into the convolution before it: a quarter of the time."""
    for child in module.children():
        _fuse(child)
    if isinstance(module, nn.Sequential):
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[index] = fuse_conv_bn_eval(first, second)
                module[index + 1] = nn.Identity()
