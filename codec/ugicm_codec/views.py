"""Views: for whom a stream is decoded, as a number or by name."""

from __future__ import annotations

from ugicm_codec.errors import BadView

__all__ = ["HUMAN", "MACHINE", "PRESETS", "parse_view"]

HUMAN = 0.0
MACHINE = 1.0

PRESETS = {"human": HUMAN, "machine": MACHINE}


def parse_view(view: float | str) -> float:
    """Return the view as a number in [0, 1].

    Raises:
        BadView: ``view`` is neither a preset's name nor a number in [0, 1].
    """
    if isinstance(view, str) and view in PRESETS:
        return PRESETS[view]
    try:
        number = float("nan") if isinstance(view, bool) else float(view)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        names = ", ".join(PRESETS)
        raise BadView(f"a view is a number from 0 to 1 or one of {names}, got {view!r:.80}")
    return number
