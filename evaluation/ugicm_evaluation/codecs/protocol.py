"""What a codec is here: a picture and a quality to a file's bytes, and those to views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ugicm_evaluation.datasets.protocol import Picture

__all__ = ["BudgetedCodec", "PictureCodec"]


class PictureCodec(Protocol):
    """A codec with a quality, 0 to 100, and one view or more.

    Attributes:
        name: what reports call it.
        identity: differs wherever its bytes or pixels may.
        suffix: of its files' names.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def encode(self, picture: Picture, quality: int) -> bytes: ...

    def decode(self, data: bytes, views: Sequence[float]) -> list[Picture]: ...


@runtime_checkable
class BudgetedCodec(PictureCodec, Protocol):
    """A codec that can also be told how many bytes it may take."""

    def encode_within(self, picture: Picture, max_bytes: int) -> bytes: ...
