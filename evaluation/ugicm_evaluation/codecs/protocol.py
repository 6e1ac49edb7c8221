"""What a codec is here: a picture and a quality to a file's bytes, and those to views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ugicm_evaluation.datasets.protocol import Picture

__all__ = ["BudgetedCodec", "FinishedCodec", "Outcome", "PictureCodec", "RefiningCodec"]


class PictureCodec(Protocol):
    """A codec with a quality, an integer on its own scale, and one view or more.

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


@runtime_checkable
class RefiningCodec(PictureCodec, Protocol):
    """A codec whose decoded pictures a study changes with the original at hand."""

    def refine(self, pictures: Sequence[Picture], original: Picture) -> list[Picture]: ...


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a codec made of a picture.

    Attributes:
        num_bytes: of the file.
        pictures: one for each view.
        identity: differs wherever the bytes or pixels may.
    """

    num_bytes: int
    pictures: Sequence[Picture]
    identity: str


@runtime_checkable
class FinishedCodec(Protocol):
    """A codec that ran elsewhere: its results are there, and it codes nothing here."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def outcome(self, key: str, quality: int, views: Sequence[float]) -> Outcome:
        """Return what was made of the picture that a dataset calls by this key.

        Raises:
            BadPicture: there is no such result, or it cannot be read.
        """
        ...
