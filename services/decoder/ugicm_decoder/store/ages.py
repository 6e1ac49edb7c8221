"""What of the frame store has ages."""

from __future__ import annotations

from ugicm_servicekit.sqlite import Aged

__all__ = ["FRAMES"]

FRAMES = Aged(
    what="frames and gaps",
    arrivals="arrival",
    newest="SELECT newest_position AS newest FROM store",
    # Gaps that retention recorded stay, by number and not by age.
    oldest="SELECT min(position) FROM (SELECT min(position) AS position FROM frame "
    "UNION ALL SELECT min(position) FROM gap WHERE reason <> 2)",
)
