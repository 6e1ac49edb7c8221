"""Puts a report into a page of Markdown, in place of the one that stood there."""

from __future__ import annotations

import dataclasses
import json
import math
from enum import Enum
from typing import Any

from ugicm_evaluation.report.results import Report

__all__ = ["insert", "to_json"]


def insert(document: str, name: str, section: str) -> str:
    """Return the document with the section between its markers; at the end where it has none."""
    begin, end = f"<!-- report of {name}: begin -->", f"<!-- report of {name}: end -->"
    block = f"{begin}\n\n{section.strip()}\n\n{end}"
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if found and closed:
        return before + block + after
    return document.rstrip() + f"\n\n{block}\n"


def to_json(report: Report) -> str:
    """Return a report as JSON, with null for what is no number."""
    return json.dumps(_plain(dataclasses.asdict(report)), indent=1) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
