"""Load a codec as the options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ugicm_client.errors import UnusableDevice

if TYPE_CHECKING:
    from ugicm_codec import Codec

__all__ = ["load_codec"]


def load_codec(model: str, device: str) -> Codec:
    """Return the codec of ``--model`` on ``--device``.

    Raises:
        ModelError: the model is unknown, damaged, or cannot run here.
        UnusableDevice: this machine or this PyTorch has no such device.
    """
    import ugicm_codec

    try:
        return ugicm_codec.Codec.load(model, device)
    except (RuntimeError, AssertionError) as error:
        # PyTorch has no error of its own for a device that is not there.
        if device == "cpu":
            raise
        raise UnusableDevice(
            f"cannot compute on {device}: {str(error).partition('.')[0]}"
        ) from error
