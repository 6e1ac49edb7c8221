"""UG-ICM's codec: one picture, one stream, a human and a machine view of it.

``inspect`` and the errors need no PyTorch; ``Codec`` loads it when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ugicm_codec import errors, views
from ugicm_codec.bitstream import StreamInfo, inspect
from ugicm_codec.limits import Limits

if TYPE_CHECKING:
    from ugicm_codec.codec import Codec, Latents
    from ugicm_codec.models.modelfile import ModelInfo

__all__ = ["Codec", "Latents", "Limits", "ModelInfo", "StreamInfo", "errors", "inspect", "views"]

_LAZY = {
    "Codec": "ugicm_codec.codec",
    "Latents": "ugicm_codec.codec",
    "ModelInfo": "ugicm_codec.models.modelfile",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
