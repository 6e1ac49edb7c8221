"""What every SQLite file of a service has: an owner, a version, one thread that writes, readers."""

from ugicm_servicekit.sqlite.ages import Aged, Ages
from ugicm_servicekit.sqlite.connections import (
    database_bytes,
    is_damage,
    open_reader,
    open_writer,
    transaction,
)
from ugicm_servicekit.sqlite.group_commit import Commit, GroupCommit, GroupLimits
from ugicm_servicekit.sqlite.integers import signed, unsigned
from ugicm_servicekit.sqlite.readers import Readers
from ugicm_servicekit.sqlite.schema import Schema
from ugicm_servicekit.sqlite.space import Space, let_shrink
from ugicm_servicekit.sqlite.upkeep import Upkeep

__all__ = [
    "Aged",
    "Ages",
    "Commit",
    "GroupCommit",
    "GroupLimits",
    "Readers",
    "Schema",
    "Space",
    "Upkeep",
    "database_bytes",
    "is_damage",
    "let_shrink",
    "open_reader",
    "open_writer",
    "signed",
    "transaction",
    "unsigned",
]
