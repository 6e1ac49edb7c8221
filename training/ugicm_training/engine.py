"""Devices, processes and precision, which Lightning Fabric holds."""

from __future__ import annotations

from enum import Enum

import torch
from lightning_fabric import Fabric

from ugicm_training.errors import UnusableDevice

__all__ = ["Precision", "make_fabric", "resolve_precision"]


class Precision(Enum):
    """Of the convolutions; parameters and everything else stay float32."""

    # bfloat16 where the device computes in it, else float32.
    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


def make_fabric(device: str, count: int) -> Fabric:
    """Return the engine for some devices; with several, every one gets a process.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs as PyTorch names it.
        count: of devices.

    Raises:
        UnusableDevice: there are not so many of that kind.
    """
    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if index and count > 1:
        raise UnusableDevice(f"{device} is one device, {count} were asked for")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UnusableDevice(f"{device}: PyTorch {torch.__version__} finds no GPU here")
    try:
        return Fabric(
            accelerator=kind,
            devices=[int(index)] if index else count,
            strategy="ddp" if count > 1 else "auto",
            # Fabric's mixed precision lowers the pictures, too, before the network sees them, and
            # likelihoods inside it. The model says what is lowered.
            precision="32-true",
        )
    except (ValueError, RuntimeError) as error:
        # Lightning's own class for a wrong choice is a ValueError or RuntimeError by version.
        raise UnusableDevice(f"{device}: {str(error).splitlines()[0]}") from error


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return what ``precision`` means on a device."""
    if precision is Precision.AUTO:
        return torch.bfloat16 if _computes_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float32


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # oneDNN answers for what it emulates, too; emulated, bfloat16 is slower than float32.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
