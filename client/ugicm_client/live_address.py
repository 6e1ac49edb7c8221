"""Read what a camera source is called, and keep the password of a camera out of sight."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from ugicm_client.errors import BadAddress

__all__ = ["LiveAddress", "NetworkCamera", "Webcam", "parse_source", "read_password"]

_SCHEMES = ("rtsp", "rtsps", "http", "https")
_PLACE = "{password}"
_SECRET_FIELD = re.compile(r"(?i)(user)?(pass(word|wd|phrase)?|pwd|pw|token|secret|api_?key|auth)")
_WHERE_INSTEAD = (
    "everybody on the machine can read arguments: leave it out, and name a file with "
    "--password-file or set UGICM_CAMERA_PASSWORD"
)


@dataclass(frozen=True)
class Webcam:
    """A camera of this machine, by its number."""

    index: int

    def __str__(self) -> str:
        return f"webcam:{self.index}"


@dataclass(frozen=True)
class NetworkCamera:
    """A camera at an address.

    Attributes:
        address: without the password; ``{password}`` marks its place where that is not behind
            the user's name.
        password: None where the camera asks for none.
    """

    address: str
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.address

    @property
    def url(self) -> str:
        """The address with the password, which goes into no message."""
        if self.password is None:
            return self.address
        secret = quote(self.password, safe="")
        if _PLACE in self.address:
            return self.address.replace(_PLACE, secret)
        user, _, rest = self.address.partition("@")
        return f"{user}:{secret}@{rest}"


LiveAddress = Webcam | NetworkCamera


def parse_source(text: str, password_of: Callable[[], str | None]) -> Path | LiveAddress:
    """Return what ``text`` names: a live camera, or a file or folder.

    Args:
        text: ``webcam:NUMBER``, an address, or a path.
        password_of: returns the password of an address; not called for anything else.

    Raises:
        BadAddress: no camera can have this address, or it holds a password.
    """
    if (number := re.fullmatch(r"webcam:(\d{1,3})", text)) is not None:
        return Webcam(int(number[1]))
    if text.startswith("webcam:"):
        raise BadAddress(f"a webcam is named webcam:NUMBER, from 0 to 999, got {text!r:.100}")
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Path(text)
    if scheme.lower() not in _SCHEMES:
        raise BadAddress(f"cameras have addresses of {', '.join(_SCHEMES)}, got {scheme!r:.40}")
    password = None
    if _check_parts(text) or _PLACE in text:
        password = password_of()
    elif password_of() is not None:
        raise BadAddress(
            f"a password needs a user, as in {scheme}://USER@HOST/, or a place, as in ?pwd={_PLACE}"
        )
    if _PLACE in text and password is None:
        raise BadAddress(f"{text} has a place for a password, and there is none")
    return NetworkCamera(text, password)


def read_password(file: Path | None, variable: str | None) -> str | None:
    """Return the password that a file holds, or else the environment's.

    Raises:
        BadAddress: the file holds no password.
        OSError: the file cannot be read.
    """
    if file is None:
        return variable
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1 or not lines[0]:
        raise BadAddress(f"{file} holds no password: it needs one line of UTF-8")
    return lines[0]


def _check_parts(text: str) -> bool:
    """Return whether an address names a user; messages here repeat none of it."""
    try:
        parts = urlsplit(text)
        host, user, password = parts.hostname, parts.username, parts.password
        _ = parts.port
    except ValueError:
        # A password with a slash in it is taken for a port that is no number.
        raise BadAddress(
            "the camera's address has no host and port that can be told apart; if it holds a "
            f"password, {_WHERE_INSTEAD}"
        ) from None
    if password not in (None, _PLACE):
        raise BadAddress(f"the camera's address holds a password; {_WHERE_INSTEAD}")
    for name, value in parse_qsl(parts.query):
        if _SECRET_FIELD.fullmatch(name) and value != _PLACE:
            raise BadAddress(
                f"the camera's address holds a password as {name}=; write {name}={_PLACE}, as "
                f"{_WHERE_INSTEAD}"
            )
    if not host:
        raise BadAddress("the camera's address names no host")
    return user is not None and password is None
