"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["table"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Return a table whose first ``words`` columns are text; numbers stand to the right.

    Columns of numbers without a single entry are left out.
    """
    body = list(rows)
    kept = [
        column for column in range(len(head)) if column < words or any(row[column] for row in body)
    ]
    marks = ["---" if column < words else "---:" for column in range(len(head))]
    lines = ([row[column] for column in kept] for row in (head, marks, *body))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
