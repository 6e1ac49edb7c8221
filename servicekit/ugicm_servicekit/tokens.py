"""Know bearer tokens by their hashes, from a file that may change while the service runs.

A token is 256 random bits, so one SHA-256 hides it as well as a slow password hash would: nobody
can search 2^256 of them, with or without salt.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ugicm_servicekit.errors import BadRequest, BadSettings, Unauthenticated
from ugicm_servicekit.files import Watched
from ugicm_servicekit.reloading import Change, Kind, Use
from ugicm_servicekit.roles import Caller, Role
from ugicm_servicekit.wire import check_camera

__all__ = [
    "Token",
    "TokenFile",
    "check_caller",
    "entry_of",
    "hash_token",
    "new_token",
    "read_tokens",
]

_log = logging.getLogger(__name__)

_PREFIX = "ugicm_"
_NUM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# How many cameras a token lists; those of other roles list none.
_CAMERAS_OF = {
    Role.CAMERA: (1, 1, "exactly one camera"),
    Role.ENCODER: (1, sys.maxsize, "at least one camera"),
}
_FIELDS = {"name", "role", "cameras", "sha256", "expires"}


@dataclass(frozen=True)
class Token:
    """One entry of a token file: the caller, the token's hash, and when it ends (None: never)."""

    caller: Caller
    sha256: bytes
    expires: datetime | None = None


def new_token() -> str:
    """Return a fresh token; only its hash is to be kept."""
    return _PREFIX + secrets.token_urlsafe(_NUM_BYTES)


def hash_token(token: str) -> bytes:
    """Return the SHA-256 that a token file keeps."""
    return hashlib.sha256(token.encode()).digest()


def entry_of(token: Token) -> str:
    """Return the lines that make ``token`` known to a token file."""
    lines = ["[[token]]", f'name = "{token.caller.name}"', f'role = "{token.caller.role.value}"']
    if token.caller.cameras:
        cameras = ", ".join(f'"{camera}"' for camera in sorted(token.caller.cameras))
        lines.append(f"cameras = [{cameras}]")
    lines.append(f'sha256 = "{token.sha256.hex()}"')
    if token.expires is not None:
        lines.append(f"expires = {token.expires.isoformat(timespec='seconds')}")
    return "\n".join(lines) + "\n"


def check_caller(caller: Caller) -> None:
    """Refuse a caller that no token can name.

    Raises:
        ValueError: the name is wrong, or cameras are listed that the role has none of, or too few.
        BadRequest: a camera's name is wrong.
    """
    if _NAME.fullmatch(caller.name) is None:
        raise ValueError(
            "name is 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', "
            f"got {caller.name[:140]!r}"
        )
    for camera in caller.cameras:
        check_camera(camera)
    least, most, expected = _CAMERAS_OF.get(caller.role, (0, 0, "no cameras"))
    if not least <= len(caller.cameras) <= most:
        raise ValueError(
            f"a token of role {caller.role.value} lists {expected}, got {sorted(caller.cameras)}"
        )


def read_tokens(path: Path) -> list[Token]:
    """Read a token file: TOML, a table ``[[token]]`` for each, as ``entry_of`` writes them.

    Names may repeat, so that an old and a new token of one caller overlap; hashes may not.

    Raises:
        BadSettings: the file cannot be read, or an entry is wrong; with every problem found.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings([f"cannot read {path}: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings([f"{path} is not TOML: {error}"]) from error
    entries = table.pop("token", [])
    problems = [f"{path}: {name} is not known, tokens stand in [[token]]" for name in table]
    tokens = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], 1):
        try:
            tokens.append(_token(entry))
        except (ValueError, BadRequest) as error:
            problems.append(f"{path}: token {number}: {error}")
    if len({token.sha256 for token in tokens}) < len(tokens):
        problems.append(f"{path}: two tokens have the same sha256")
    if problems:
        raise BadSettings(problems)
    return tokens


class TokenFile:
    """The tokens of a file, read again whenever it changes.

    A change that cannot be read is logged, and what was known before stays.

    Args:
        path: of the file.
        now: the time, in UTC.

    Raises:
        BadSettings: the file cannot be read, or is wrong.
    """

    def __init__(
        self, path: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._path = path
        self._now = now
        self._watched = Watched([path])
        self._tokens: Sequence[Token] = read_tokens(path)
        self._told: Sequence[Token] = self._tokens

    def identify(self, presented: str) -> Token:
        """Return the entry of a token that is known and has not expired.

        Raises:
            Unauthenticated: it is unknown, or has expired.
        """
        digest = hash_token(presented)
        found = None
        # Every entry is compared, in constant time: how long this takes tells nothing.
        for token in self._current():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        if found is None:
            raise Unauthenticated("the token is not known here")
        self._check_expiry(found)
        return found

    def check(self, token: Token) -> None:
        """See that a token which was valid before still is.

        Raises:
            Unauthenticated: it has been taken out of the file, or has expired.
        """
        if token not in self._current():
            raise Unauthenticated(f"the token of {token.caller.name} was withdrawn")
        self._check_expiry(token)

    def read(self) -> Use:
        """Read the file, and change nothing.

        Raises:
            BadSettings: it cannot be read, or is wrong.
        """
        before, tokens = self._tokens, read_tokens(self._path)

        def use() -> list[Change]:
            if self._tokens is before:  # else a call has read them since, when they were newer
                self._tokens = tokens
            changes = _changes(self._told, self._tokens)
            self._told = self._tokens
            return changes

        return use

    def _check_expiry(self, token: Token) -> None:
        if token.expires is not None and token.expires <= self._now():
            raise Unauthenticated(
                f"the token of {token.caller.name} expired at {token.expires.isoformat()}"
            )

    def _current(self) -> Sequence[Token]:
        if self._watched.changed():
            try:
                self._tokens = read_tokens(self._path)
                _log.info("read %d tokens from %s", len(self._tokens), self._path)
            except BadSettings as error:
                _log.error("the tokens known before stay: %s", error)
        return self._tokens


def _changes(before: Sequence[Token], after: Sequence[Token]) -> list[Change]:
    """Return what differs; names may repeat, and a token is told from others by its hash."""
    old = {token.sha256: token for token in before}
    new = {token.sha256: token for token in after}
    changes = []
    for sha256 in [*old, *(sha256 for sha256 in new if sha256 not in old)]:
        was, is_now = old.get(sha256), new.get(sha256)
        if was != is_now:
            name = next(token.caller.name for token in (is_now, was) if token is not None)
            changes.append(Change(Kind.TOKEN, name, _described(was), _described(is_now)))
    return changes


def _described(token: Token | None) -> str:
    if token is None:
        return ""
    words = [token.caller.role.value, *sorted(token.caller.cameras)]
    if token.expires is not None:
        words.append(f"until {token.expires.isoformat(timespec='seconds')}")
    return " ".join(words)


def _token(entry: Any) -> Token:
    """Return one entry.

    Raises:
        ValueError: a field is missing, unknown or wrong.
        BadRequest: a camera's name is wrong.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"expected a table, got {entry!r}")
    if unknown := entry.keys() - _FIELDS:
        raise ValueError(f"{', '.join(sorted(unknown))} is not a field of a token")
    name, sha256, cameras = entry.get("name"), entry.get("sha256"), entry.get("cameras", [])
    if not isinstance(name, str):
        raise ValueError(f"name is a text, got {name!r}")
    if not isinstance(sha256, str) or _SHA256.fullmatch(sha256) is None:
        raise ValueError(f"sha256 is 64 lower-case hexadecimal digits, got {sha256!r}")
    roles = [role.value for role in Role]
    if entry.get("role") not in roles:
        raise ValueError(f"role is one of {', '.join(roles)}, got {entry.get('role')!r}")
    if not isinstance(cameras, list) or not all(isinstance(camera, str) for camera in cameras):
        raise ValueError(f"cameras is a list of names, got {cameras!r}")
    expires = entry.get("expires")
    if expires is not None and not (isinstance(expires, datetime) and expires.tzinfo):
        raise ValueError(f"expires is a time with its offset, such as Z, got {expires!r}")
    caller = Caller(name, Role(entry["role"]), frozenset(cameras))
    check_caller(caller)
    return Token(caller, bytes.fromhex(sha256), expires)
