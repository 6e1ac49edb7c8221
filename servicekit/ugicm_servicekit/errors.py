"""What servicekit refuses.

ServicekitError
  + CallError          ends one call
      x BadRequest       a field is missing or out of range
      x Overloaded       the queue is full
      x NotReady         the service is still starting
      x Stopping         the service is draining, and the call would go on
      x Unreachable      no server answers at the address
      x Unauthenticated  no token, or none that is valid
      x NotPermitted     the caller's role does not allow it
      x ReloadFailed     what should be loaded anew cannot be used
      x TooSlow          the request did not arrive in its time
  + BadAnswer          another service answered against the contract
  + StartError         ends the process before it serves
      x BadSettings      settings are unknown or out of range
      x CannotListen     the address is taken, foreign or not allowed, or cannot be told
      x DatabaseUnusable a file is no database of the kind, a newer one, or another process has it
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BadAnswer",
    "BadRequest",
    "BadSettings",
    "CallError",
    "CannotListen",
    "DatabaseUnusable",
    "NotPermitted",
    "NotReady",
    "Overloaded",
    "ReloadFailed",
    "ServicekitError",
    "StartError",
    "Stopping",
    "TooSlow",
    "Unauthenticated",
    "Unreachable",
]


class ServicekitError(Exception):
    """The root of everything servicekit refuses."""


class CallError(ServicekitError):
    """One call cannot be answered."""


class BadRequest(CallError):
    """A field of the request is missing or out of range."""


class Overloaded(CallError):
    """The queue is full.

    Attributes:
        retry_after_seconds: when there is likely to be room again.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotReady(CallError):
    """The service is still starting."""


class Stopping(CallError):
    """The service is draining, and the call would go on."""


class Unreachable(CallError):
    """No server answers at the address."""


class Unauthenticated(CallError):
    """The call carries no token, or none that is valid."""


class NotPermitted(CallError):
    """The caller's role does not allow it."""


class ReloadFailed(CallError):
    """What should be loaded anew cannot be used, and what was loaded before stays."""


class TooSlow(CallError):
    """The request did not arrive in its time."""


class BadAnswer(ServicekitError):
    """Another service answered against the contract."""


class StartError(ServicekitError):
    """The process cannot begin to serve."""


class BadSettings(StartError):
    """Settings are unknown or out of range.

    Attributes:
        problems: one line for each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class CannotListen(StartError):
    """The address is taken, foreign or not allowed, or cannot be told."""


class DatabaseUnusable(StartError):
    """A file holds something else, comes from a newer version, or another process has it."""
