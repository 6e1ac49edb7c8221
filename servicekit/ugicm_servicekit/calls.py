"""Tell, anywhere below a handler, which call the running task works for."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass, field, replace

from ugicm_servicekit.audit import AuditLog
from ugicm_servicekit.refusals import Refusals

__all__ = ["Call", "begin_call", "current_call", "name_caller"]


@dataclass(frozen=True)
class Call:
    """A call, for logs and counts.

    Attributes:
        method: its full name, such as ``/ugicm.v1.DecoderService/Decode``.
        peer: the address it came from, as gRPC writes it.
        caller: the name on its token; empty without one.
        refusals: where what it is refused is counted.
        audit: where it is written down that it was not let in.
    """

    method: str = ""
    peer: str = ""
    caller: str = ""
    refusals: Refusals = field(default_factory=Refusals, repr=False)
    audit: AuditLog = field(default_factory=AuditLog, repr=False)


_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar("ugicm_call", default=None)


def current_call() -> Call:
    """Return the call that the running task works for; an empty one outside of calls."""
    return _call.get() or Call()


def begin_call(call: Call) -> None:
    """Let the running task, and those that it starts, work for ``call``."""
    _call.set(call)


def name_caller(name: str) -> None:
    """Say whose call it is, once that is known."""
    _call.set(replace(current_call(), caller=name))
