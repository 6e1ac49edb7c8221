"""The results store: what it promises, and SQLite keeping the promise."""

from ugicm_analytics.results.interface import (
    Missed,
    Place,
    Progress,
    ResultKey,
    ResultLimits,
    ResultQuery,
    ResultStore,
)
from ugicm_analytics.results.sqlite import SqliteResultStore

__all__ = [
    "Missed",
    "Place",
    "Progress",
    "ResultKey",
    "ResultLimits",
    "ResultQuery",
    "ResultStore",
    "SqliteResultStore",
]
