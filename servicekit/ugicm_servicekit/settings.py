"""Build a service's settings from flags, environment, a TOML file and defaults, in this order."""

from __future__ import annotations

import argparse
import difflib
import enum
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.logs import LogFormat, LogLevel

__all__ = [
    "DEFAULT_MAX_MESSAGE_BYTES",
    "Exposure",
    "ListenerSettings",
    "Reflection",
    "ServerSettings",
    "Setting",
    "Transport",
    "UpstreamSettings",
    "UpstreamTransportSettings",
    "read_settings",
]

# Of servers and of the channels to them.
DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20

_Settings = TypeVar("_Settings")
_BOOLEANS = {"true": True, "false": False}
# What a value may come as; other types take texts only.
_ACCEPTED: Mapping[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int, str),
    float: (int, float, str),
}
_NOUNS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


@dataclass(frozen=True)
class Setting:
    """What a field of a settings class means, and its range."""

    meaning: str
    at_least: float | None = None
    at_most: float | None = None


class Exposure(enum.Enum):
    """What a server without TLS or without tokens may be open to."""

    THIS_MACHINE = "this-machine-only"
    ANYONE = "anyone-may-read-and-write"


class Reflection(enum.Enum):
    """Whether a server tells what it can be asked."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Transport(enum.Enum):
    """How a channel's bytes travel."""

    PLAINTEXT = "plaintext"
    TLS = "tls"


@dataclass(frozen=True, kw_only=True)
class ListenerSettings:
    """What everything that listens needs to be told, whatever protocol it speaks."""

    host: Annotated[str, Setting("address to listen on")] = "127.0.0.1"
    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 0
    port_file: Annotated[Path | None, Setting("file to write the port to")] = None
    drain_seconds: Annotated[
        float, Setting("how long running calls may take to finish at the end", 0)
    ] = 20.0

    tls_cert: Annotated[
        Path | None, Setting("certificate chain to serve TLS with, PEM; read again when it changes")
    ] = None
    tls_key: Annotated[Path | None, Setting("its private key, PEM")] = None
    tls_ca: Annotated[
        Path | None,
        Setting("authorities, PEM; only clients with a certificate of theirs may connect"),
    ] = None
    tokens: Annotated[
        Path | None,
        Setting("file of tokens' hashes and roles; every call needs one; read again on change"),
    ] = None
    insecure: Annotated[
        Exposure, Setting("whom to serve without TLS and tokens: this-machine-only, or in words")
    ] = Exposure.THIS_MACHINE

    max_connections: Annotated[int, Setting("most connections at once", 1, 1_000_000)] = 4096
    metrics_host: Annotated[str, Setting("address for metrics and probes by HTTP")] = "127.0.0.1"
    metrics_port: Annotated[
        int | None,
        Setting(
            "their port, by custom the service's plus 10; 0 takes a free one; unset: none",
            0,
            65_535,
        ),
    ] = None
    trace_endpoint: Annotated[
        str | None, Setting("OTLP collector of traces, such as http://host:4317; unset: no traces")
    ] = None
    trace_ratio: Annotated[
        float, Setting("share of frames and calls that are traced, 0 to 1", 0, 1)
    ] = 1.0
    log_level: Annotated[LogLevel, Setting("least level to log")] = LogLevel.INFO
    log_format: Annotated[LogFormat, Setting("how to write the log, on standard error")] = (
        LogFormat.LINES
    )


@dataclass(frozen=True, kw_only=True)
class ServerSettings(ListenerSettings):
    """What every gRPC server needs to be told."""

    max_message_bytes: Annotated[
        int, Setting("largest message to accept or send, in bytes", 2**16, 2**31 - 1)
    ] = DEFAULT_MAX_MESSAGE_BYTES

    reflection: Annotated[
        Reflection, Setting("whether to answer server reflection; auto: only without tokens")
    ] = Reflection.AUTO

    max_calls: Annotated[int, Setting("most calls at once", 1, 1_000_000)] = 2048
    max_calls_per_connection: Annotated[
        int, Setting("most calls at once on one connection; more wait at the client", 1, 1_000_000)
    ] = 256
    max_calls_per_client: Annotated[
        int, Setting("most calls at once of one client: a token's name, else a host", 1, 1_000_000)
    ] = 512
    max_pixels_per_client: Annotated[
        int, Setting("most pixels of one client under way; a single picture always passes", 1)
    ] = 2**28
    handshake_seconds: Annotated[
        float, Setting("how long a new connection may take to say that it speaks gRPC", 0.001)
    ] = 10.0
    request_seconds: Annotated[
        float, Setting("how long a client may take to send a call's one request", 0.001)
    ] = 60.0
    keepalive_seconds: Annotated[
        float, Setting("how long a connection may be silent before it is asked for a sign", 0.1)
    ] = 60.0
    keepalive_timeout_seconds: Annotated[
        float, Setting("how long that sign may take before its calls are dropped", 0.1)
    ] = 20.0
    connection_idle_seconds: Annotated[
        float, Setting("how long a connection may be without a call", 1, 10**6)
    ] = 300.0
    connection_age_seconds: Annotated[
        float | None,
        Setting("age at which a client is asked to connect anew; none: never", 1, 10**6),
    ] = None
    connection_grace_seconds: Annotated[
        float, Setting("how long its calls may then go on", 0, 10**6)
    ] = 60.0


@dataclass(frozen=True, kw_only=True)
class UpstreamTransportSettings:
    """How a service reaches those behind it."""

    upstream_transport: Annotated[
        Transport, Setting("how to reach the services behind; a file of TLS means tls")
    ] = Transport.PLAINTEXT
    upstream_tls_ca: Annotated[
        Path | None, Setting("authorities of their certificates, PEM; none: the system's")
    ] = None
    upstream_tls_cert: Annotated[Path | None, Setting("certificate chain to show to them, PEM")] = (
        None
    )
    upstream_tls_key: Annotated[Path | None, Setting("its private key, PEM")] = None


@dataclass(frozen=True, kw_only=True)
class UpstreamSettings(UpstreamTransportSettings):
    """What a service needs to be told to be let in by the decoder behind it."""

    upstream_token_file: Annotated[
        Path | None, Setting("file that holds the token to show to the decoder")
    ] = None


def read_settings(
    kind: type[_Settings],
    *,
    service: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> _Settings:
    """Return settings of a dataclass whose fields are annotated with a ``Setting``.

    A field ``drain_seconds`` of the service ``decoder`` is the flag ``--drain-seconds``, the
    variable ``UGICM_DECODER_DRAIN_SECONDS`` and the key ``drain_seconds`` of the file that
    ``--config`` or ``UGICM_DECODER_CONFIG`` names.

    Raises:
        BadSettings: with every problem found, each naming its flag, variable or key.
    """
    prefix = f"UGICM_{service.upper()}_"
    known = _declared(kind)
    problems: list[str] = []
    flags = _parse_flags(known, problems, service=service, prefix=prefix, arguments=arguments)
    variables = {
        name.removeprefix(prefix).lower(): text
        for name, text in environment.items()
        if name.startswith(prefix)
    }
    path = variables.pop("config", None)
    path = flags.pop("config", path)
    table = {} if path is None else _read_file(Path(path), problems)

    values: dict[str, Any] = {}
    sources: tuple[tuple[Mapping[str, Any], Callable[[str], str]], ...] = (
        (table, lambda name: f"{path}: {name}"),
        (variables, lambda name: prefix + name.upper()),
        (flags, _flag),
    )
    for source, describe in sources:
        for name, value in source.items():
            if name not in known:
                problems.append(_unknown(name, known, describe))
                continue
            try:
                values[name] = known[name].parse(value)
            except ValueError as error:
                problems.append(f"{describe(name)}: {error}")
    if problems:
        raise BadSettings(problems)
    return kind(**values)


@dataclass(frozen=True)
class _Declaration:
    """One field of a settings class."""

    name: str
    kind: Any
    default: Any
    setting: Setting

    def parse(self, value: Any) -> Any:
        """Return ``value``, a text or what TOML made of it, as the field's type.

        Raises:
            ValueError: the value does not fit the type or the range.
        """
        parsed = _parsed(value, self.kind)
        least, most = self.setting.at_least, self.setting.at_most
        if least is not None and not parsed >= least:
            raise ValueError(f"must be at least {least}, got {value}")
        if most is not None and not parsed <= most:
            raise ValueError(f"must be at most {most}, got {value}")
        return parsed


def _declared(kind: type[Any]) -> dict[str, _Declaration]:
    hints = typing.get_type_hints(kind, include_extras=True)
    declared = {}
    for item in fields(kind):
        hint, setting = typing.get_args(hints[item.name])
        declared[item.name] = _Declaration(item.name, hint, item.default, setting)
    return declared


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report as all other problems are reported."""
        raise BadSettings([message])


def _parse_flags(
    known: Mapping[str, _Declaration],
    problems: list[str],
    *,
    service: str,
    prefix: str,
    arguments: Sequence[str],
) -> dict[str, str]:
    """Return the flags that were given, by field; texts as they are."""
    parser = _Parser(
        prog=f"ugicm serve {service}",
        description=f"Run the {service} until SIGTERM or Ctrl-C.",
        epilog="Every setting is a flag, a variable of the environment, or a key of the file "
        "(the flag's name with underscores); the first of these that is given counts.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help=f"TOML file [{prefix}CONFIG]")
    for item in known.values():
        shown = "" if item.default in (None, ()) else f" (default {_shown(item.default)})"
        parser.add_argument(
            _flag(item.name),
            metavar="VALUE",
            help=f"{item.setting.meaning}{shown} [{prefix}{item.name.upper()}]",
        )
    given, unknown = parser.parse_known_args(arguments)
    # What follows an unknown flag is its value, and no news.
    strangers = [text for text in unknown if text.startswith("--")]
    for text in strangers:
        name = text.partition("=")[0].removeprefix("--").replace("-", "_")
        problems.append(_unknown(name, known, _flag))
    if unknown and not strangers:
        problems.append(f"unexpected argument {unknown[0]!r}")
    return vars(given)


def _shown(value: Any) -> str:
    """Return a value as a flag would give it."""
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return str(value.value if isinstance(value, enum.Enum) else value)


def _read_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"cannot read {path}: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path} is not TOML: {error}")
    return {}


def _parsed(value: Any, kind: Any) -> Any:
    if isinstance(kind, types.UnionType):  # X | None
        (kind,) = set(typing.get_args(kind)) - {types.NoneType}
    if typing.get_origin(kind) is tuple:  # tuple[X, ...]; commas separate in texts
        items = value
        if isinstance(value, str):
            items = list(filter(None, map(str.strip, value.split(","))))
        if not isinstance(items, list):
            raise ValueError(f"expected a list, got {value!r}")
        return tuple(_parsed(item, typing.get_args(kind)[0]) for item in items)
    if kind is bool and isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    # By exact type: True is an int too.
    if type(value) in _ACCEPTED.get(kind, (str,)):
        with suppress(ValueError):
            return kind(value)
    raise ValueError(f"expected {_expectation(kind)}, got {value!r}")


def _expectation(kind: Any) -> str:
    if isinstance(kind, enum.EnumMeta):
        members: Iterable[enum.Enum] = kind.__members__.values()
        return "one of " + ", ".join(str(member.value) for member in members)
    return _NOUNS[kind]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _unknown(name: str, known: Iterable[str], describe: Callable[[str], str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {describe(close[0])}?" if close else ""
    return f"{describe(name)} is not a setting{hint}"
