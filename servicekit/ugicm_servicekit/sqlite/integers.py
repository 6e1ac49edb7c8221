"""Keep unsigned 64-bit numbers in SQLite's signed integers."""

from __future__ import annotations

__all__ = ["signed", "unsigned"]

_SIGN = 1 << 63


def signed(number: int) -> int:
    """Return an unsigned 64-bit number as SQLite's signed integers hold it, in the same order."""
    return number - _SIGN


def unsigned(number: int) -> int:
    """Undo ``signed``."""
    return number + _SIGN
