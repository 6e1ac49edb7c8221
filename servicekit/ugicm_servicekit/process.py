"""The outermost layer of a service's process: settings, log, signals, exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ugicm_codec.errors import CodecError
from ugicm_codec.memory import keep_freed_memory
from ugicm_servicekit.addresses import join_address
from ugicm_servicekit.errors import BadSettings, ServicekitError
from ugicm_servicekit.logs import configure_logging
from ugicm_servicekit.server import Server
from ugicm_servicekit.settings import ServerSettings, read_settings
from ugicm_servicekit.status import StatusTable

__all__ = ["run_service"]

_log = logging.getLogger(__name__)
_Settings = TypeVar("_Settings", bound=ServerSettings)


def run_service(
    name: str,
    settings_kind: type[_Settings],
    body: Callable[[_Settings, Server], Awaitable[None]],
    *,
    services: Sequence[str],
    table: StatusTable,
    start_errors: tuple[type[Exception], ...] = (),
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a service until SIGTERM or SIGINT, and return the process's exit status.

    Args:
        name: such as ``decoder``; names the settings.
        settings_kind: the dataclass of its settings.
        body: loads what the service needs, adds its servicers to the server (which listens
            already), awaits ``server.serve()`` and closes what it loaded.
        services: full names of the services that ``body`` adds.
        table: the statuses of every error that a handler may raise.
        start_errors: what ``body`` may raise besides the codec's and servicekit's errors if the
            service cannot start.
        arguments: the command's arguments; None means those of the process.

    Returns:
        0 after draining, 1 if the service could not start, 2 if its settings are wrong.
    """
    refusals: tuple[type[Exception], ...] = (ServicekitError, CodecError, *start_errors)
    try:
        settings = read_settings(
            settings_kind,
            service=name,
            arguments=sys.argv[1:] if arguments is None else arguments,
            environment=os.environ,
        )
        configure_logging(settings.log_level, settings.log_format)
        keep_freed_memory()
        _allow_many_connections()
        asyncio.run(_run(settings, body, services=services, table=table))
    except BadSettings as error:
        for problem in error.problems:
            print(f"{name}: {problem}", file=sys.stderr)
        return 2
    except refusals as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def _allow_many_connections() -> None:
    """Raise the limit on open files as far as the system lets: 1024 is few for a server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run(
    settings: _Settings,
    body: Callable[[_Settings, Server], Awaitable[None]],
    *,
    services: Sequence[str],
    table: StatusTable,
) -> None:
    server = Server(settings, table, services=services)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    try:
        port = await server.listen()
        print(f"listening on {join_address(settings.host, port)}", flush=True)
        await body(settings, server)
    finally:
        await server.close()
