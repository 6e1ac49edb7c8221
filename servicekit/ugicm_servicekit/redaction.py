"""Keep secrets out of what is logged and printed."""

from __future__ import annotations

import re

__all__ = ["redact"]

_SECRETS = (
    # Our tokens, wherever they stand; and any other that a call carried.
    (re.compile(r"ugicm_[A-Za-z0-9_-]{20,}"), "ugicm_***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",;]+"), r"\1 ***"),
    # A password in an address, such as a camera's: up to the last @ before the path.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@'\"]*):[^\s/'\"]+@"), r"\1:***@"),
)


def redact(text: str) -> str:
    """Return ``text`` with tokens and the passwords of addresses struck out."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
