"""Connect to NATS servers with JetStream; say in our words what goes wrong with them."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from ugicm_servicekit.errors import BadSettings, Unreachable
from ugicm_servicekit.settings import Setting

__all__ = [
    "EXPECTED_LAST",
    "NO_ROOM",
    "WRONG_LAST",
    "NatsSettings",
    "camera_from_word",
    "camera_to_word",
    "connect_to_nats",
    "ensure_stream",
    "is_name",
    "locked_out",
]

_log = logging.getLogger(__name__)

# The header by which a publisher says which message it saw last under a subject; 0: none.
EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"
# JetStream's numbers of errors, as in the server's errors.json.
WRONG_LAST = 10071
NO_ROOM = frozenset({10023, 10028, 10047, 10077})
_NO_CLUSTER = 10074
_TOO_FEW_SERVERS = 10005

_REPLICAS_OF_CLUSTER = 3
_RECONNECT_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class NatsSettings:
    """Where NATS is, and how it lets a service in."""

    nats: Annotated[
        tuple[str, ...],
        Setting("NATS servers with JetStream, nats://HOST:PORT separated by commas; unset: none"),
    ] = ()
    nats_tls_ca: Annotated[
        Path | None, Setting("authorities of their certificates, PEM; unset: no TLS")
    ] = None
    nats_tls_cert: Annotated[
        Path | None, Setting("certificate chain to show to them, PEM; read again to reconnect")
    ] = None
    nats_tls_key: Annotated[Path | None, Setting("its private key, PEM")] = None
    nats_token_file: Annotated[
        Path | None, Setting("file that holds the token to show to them; read again to reconnect")
    ] = None
    nats_stream: Annotated[str, Setting("name of the stream that keeps the frames")] = (
        "ugicm-frames"
    )
    nats_start_seconds: Annotated[
        float, Setting("how long to look for a server of them at the start", 0.1)
    ] = 20.0
    nats_replicas: Annotated[
        int | None,
        Setting("servers that keep each frame; unset: 3 in a cluster, else 1", 1, 5),
    ] = None


@asynccontextmanager
async def connect_to_nats(settings: NatsSettings, *, name: str) -> AsyncIterator[Client]:
    """Connect to the first server that answers, and to another whenever that one is lost.

    A server that locks us out while we are connected closes the client for good: ``locked_out``.

    Args:
        settings: which servers, and what to show to them.
        name: what the connection is called in the servers' own lists.

    Raises:
        BadSettings: an address, a file or the stream's name cannot be used.
        Unreachable: no server lets us in.
    """
    context = _tls_of(settings)
    token = None if settings.nats_token_file is None else _Token(settings.nats_token_file)
    last_failure: list[Exception] = []
    let_in = asyncio.Event()

    async def failed(error: Exception) -> None:
        last_failure[:] = [error]

    async def lost() -> None:
        if not let_in.is_set():
            return
        _log.warning("lost the connection to NATS; trying all servers")
        if context is not None:
            # Certificates are renewed within the life of a process.
            try:
                _load(context, settings)
            except (OSError, ssl.SSLError) as error:
                _log.warning("cannot read the certificate for NATS again: %s", error)

    async def back() -> None:
        _log.info("connected to NATS again")

    where = ", ".join(settings.nats)
    try:
        async with asyncio.timeout(settings.nats_start_seconds):
            client = await nats.connect(
                list(settings.nats),
                name=name,
                tls=context,
                # A function: asked at each connection.
                token=None if token is None else token.newest,
                error_cb=failed,
                disconnected_cb=lost,
                reconnected_cb=back,
                connect_timeout=2,
                reconnect_time_wait=_RECONNECT_SECONDS,
                max_reconnect_attempts=-1,
                ping_interval=5,
                max_outstanding_pings=2,
            )
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        why = last_failure[0] if last_failure else error
        raise Unreachable(
            f"no NATS server lets us in at {where} within "
            f"{settings.nats_start_seconds:g} s: {_words(why)}"
        ) from error
    let_in.set()
    try:
        yield client
    finally:
        let_in.clear()
        await client.close()


async def ensure_stream(
    jetstream: JetStreamContext, wanted: StreamConfig, *, patience_seconds: float
) -> StreamInfo:
    """Return the stream that keeps ``wanted.subjects``, made or given new limits where needed.

    Where ``wanted`` leaves the number of replicas open, a cluster keeps three.

    Args:
        jetstream: with a short limit on calls: what is asked during an election gets no answer.
        wanted: its name, subjects and limits.
        patience_seconds: how long to ask again.

    Raises:
        Unreachable: there is no JetStream, or it refuses the stream.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return await _ensure(jetstream, wanted)
        except ServiceUnavailableError as error:
            failure: Exception = error
            text = "the NATS servers have no JetStream, or no majority of it"
        except (NatsError, TimeoutError) as error:
            failure = error
            text = f"the stream {wanted.name} cannot be had: {_words(error)}"
        if time.monotonic() > deadline or _is_final(failure):
            raise Unreachable(text) from failure
        await asyncio.sleep(_RECONNECT_SECONDS)


def locked_out(client: Client) -> str:
    """Return what is wrong with a client that is closed, though it would connect anew."""
    why = "" if client.last_error is None else f": {_words(client.last_error)}"
    return f"NATS lets us in no longer, as where a token was changed{why}"


def camera_to_word(camera: str) -> str:
    """Return a camera's name as one word of a subject."""
    # A dot would end the word; no camera's name has a sign of equality.
    return camera.replace(".", "=")


def camera_from_word(word: str) -> str:
    """Return the camera whose word in subjects this is."""
    return word.replace("=", ".")


def is_name(text: str) -> bool:
    """Tell whether a text can name a stream or a consumer, and stand in a subject."""
    return bool(text) and all(one.isascii() and (one.isalnum() or one in "-_") for one in text)


async def _ensure(jetstream: JetStreamContext, wanted: StreamConfig) -> StreamInfo:
    try:
        found = await jetstream.stream_info(wanted.name or "")
    except NotFoundError:
        return await _make(jetstream, wanted)
    kept = found.config
    if kept.subjects != wanted.subjects:
        raise Unreachable(
            f"the stream {wanted.name} is somebody else's: it keeps {kept.subjects}, "
            f"not {wanted.subjects}"
        )
    replicas = wanted.num_replicas or kept.num_replicas
    limits = (wanted.max_age, wanted.max_bytes, replicas)
    if (kept.max_age, kept.max_bytes, kept.num_replicas) == limits:
        return found
    return await jetstream.update_stream(wanted.evolve(num_replicas=replicas))


def _is_final(error: Exception) -> bool:
    """Tell whether the servers understood what they were asked, and will not do it."""
    if isinstance(error, ServiceUnavailableError) or not isinstance(error, APIError):
        return False
    # Those of a cluster that starts may not have met yet.
    return error.err_code != _TOO_FEW_SERVERS


async def _make(jetstream: JetStreamContext, wanted: StreamConfig) -> StreamInfo:
    replicas = wanted.num_replicas or _REPLICAS_OF_CLUSTER
    try:
        return await jetstream.add_stream(wanted.evolve(num_replicas=replicas))
    except APIError as error:
        if wanted.num_replicas is None and error.err_code == _NO_CLUSTER:
            return await jetstream.add_stream(wanted.evolve(num_replicas=1))
        raise


def _tls_of(settings: NatsSettings) -> ssl.SSLContext | None:
    problems = []
    for address in settings.nats:
        parts = urlsplit(address)
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            problems.append(f"--nats: an address is nats://HOST:PORT, got {parts.hostname!r}")
        elif parts.username is not None:
            problems.append("--nats: secrets do not belong in an address, see --nats-token-file")
    if not is_name(settings.nats_stream):
        problems.append(
            f"--nats-stream: a name has letters, digits, '-' and '_', got {settings.nats_stream!r}"
        )
    if (settings.nats_tls_cert is None) != (settings.nats_tls_key is None):
        problems.append("--nats-tls-cert and --nats-tls-key go together")
    if settings.nats_tls_ca is None and settings.nats_tls_cert is not None:
        problems.append("--nats-tls-cert needs --nats-tls-ca")
    if problems:
        raise BadSettings(problems)
    if settings.nats_tls_ca is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(settings.nats_tls_ca))
        _load(context, settings)
    except (OSError, ssl.SSLError) as error:
        raise BadSettings([f"--nats-tls-*: the files cannot be used: {error}"]) from error
    return context


def _load(context: ssl.SSLContext, settings: NatsSettings) -> None:
    if settings.nats_tls_ca is not None:
        context.load_verify_locations(cafile=str(settings.nats_tls_ca))
    if settings.nats_tls_cert is not None:
        context.load_cert_chain(settings.nats_tls_cert, settings.nats_tls_key)


class _Token:
    """A token that may be renewed within the life of a process.

    Raises:
        BadSettings: its file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_told = False
        try:
            self._token = self._read()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSettings([f"--nats-token-file: cannot be read: {error}"]) from error

    def newest(self) -> str:
        """Return what the file says now; what it said last where it cannot be read."""
        try:
            self._token, self._is_told = self._read(), False
        except (OSError, UnicodeDecodeError) as error:
            if not self._is_told:
                _log.warning("cannot read the token for NATS again: %s", error)
            self._is_told = True
        return self._token

    def _read(self) -> str:
        return self._path.read_text().strip()


def _words(error: BaseException) -> str:
    if isinstance(error, APIError):
        return str(error.description)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
