"""Token files and certificates, made anew for each test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme

from ugicm_servicekit.access import Access
from ugicm_servicekit.roles import Caller, Role
from ugicm_servicekit.tokens import Token, entry_of, hash_token, new_token

CAMERAS = {Role.CAMERA: {"gate"}, Role.ENCODER: {"gate", "yard"}}


class Tokens:
    """A token file, and the tokens themselves, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secrets: dict[str, str] = {}
        path.write_text("")

    def add(
        self,
        role: Role,
        name: str | None = None,
        *,
        cameras: set[str] | None = None,
        expires: datetime | None = None,
    ) -> str:
        """Add a token to the file; its name is its role's where none is given."""
        secret = new_token()
        name = name or role.value
        caller = Caller(name, role, frozenset(cameras or CAMERAS.get(role, ())))
        with self.path.open("a") as file:
            file.write(entry_of(Token(caller, hash_token(secret), expires)))
        self.secrets[name] = secret
        return secret

    def access(self, name: str) -> Access:
        return Access(token=self.secrets[name])


def tokens_of_every_role(folder: Path) -> Tokens:
    tokens = Tokens(folder / "tokens.toml")
    for role in Role:
        tokens.add(role)
    return tokens


@dataclass(frozen=True)
class Files:
    """A certificate chain and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """Issues certificates; ``ca`` is the file to know them by."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._authority = trustme.CA()
        self.ca = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *hosts: str) -> Files:
        files = Files(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        self.replace(files, *hosts)
        return files

    def replace(self, files: Files, *hosts: str) -> None:
        """Write a fresh pair over ``files``."""
        issued = self._authority.issue_cert(*(hosts or ("127.0.0.1", "localhost")))
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        files.key.write_bytes(issued.private_key_pem.bytes())
        files.cert.write_bytes(chain)
