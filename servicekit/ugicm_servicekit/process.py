"""The outermost layer of a service's process: settings, log, signals, exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NoReturn, Protocol, TypeVar

from ugicm_codec.errors import CodecError
from ugicm_codec.memory import keep_freed_memory
from ugicm_servicekit.addresses import join_address
from ugicm_servicekit.errors import BadSettings, ReloadFailed, ServicekitError
from ugicm_servicekit.garbage import Loaded, spare_what_is_loaded
from ugicm_servicekit.logs import configure_logging
from ugicm_servicekit.redaction import redact
from ugicm_servicekit.reloading import Reloader
from ugicm_servicekit.server import Server
from ugicm_servicekit.settings import ListenerSettings, ServerSettings, read_settings
from ugicm_servicekit.status import StatusTable
from ugicm_servicekit.tracing import begin_tracing, end_tracing, exporter_to

__all__ = ["Lifecycle", "run_process", "run_service"]

_log = logging.getLogger(__name__)


class Lifecycle(Protocol):
    """A server of any protocol, as its process sees it; ``Server`` says what each part does."""

    stopping: asyncio.Event
    serving: asyncio.Event
    reloader: Reloader

    @property
    def metrics_port(self) -> int | None: ...

    async def listen(self) -> int: ...

    def stop(self) -> None: ...

    async def close(self) -> None: ...


_Settings = TypeVar("_Settings", bound=ServerSettings)
_AnySettings = TypeVar("_AnySettings", bound=ListenerSettings)
_Server = TypeVar("_Server", bound=Lifecycle)

# How long closing may take after the drain, before the process ends anyway.
_CLOSING_SECONDS = 5.0
# How long the last spans may take to be handed over where the process cannot wait.
_HANDING_OVER_SECONDS = 1.0
# How long a thread may keep the interpreter while others want it. Python's own 5 ms would make the
# event loop wait so long, many times a call, for threads that compute.
_SWITCH_SECONDS = 0.0005


def run_service(
    name: str,
    settings_kind: type[_Settings],
    body: Callable[[_Settings, Server], Awaitable[None]],
    *,
    services: Sequence[str],
    table: StatusTable,
    fatal_errors: tuple[type[Exception], ...] = (),
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a service until SIGTERM or SIGINT, and return the process's exit status.

    The first of these drains, within the limit of the settings; the second ends the process at
    once. While the service still loads, the first does too. SIGHUP lets
    ``server.reloader`` reload.

    Args:
        name: such as ``decoder``; names the settings.
        settings_kind: the dataclass of its settings.
        body: loads what the service needs, adds its servicers to the server (which listens
            already), awaits ``server.serve()`` and closes what it loaded.
        services: full names of the services that ``body`` adds.
        table: the statuses of every error that a handler may raise.
        fatal_errors: what ``body`` may raise besides the codec's and servicekit's errors if the
            service cannot start, or cannot go on.
        arguments: the command's arguments; None means those of the process.

    Returns:
        0 after draining, 1 if the service could not start or go on, 2 if its settings are wrong.
    """
    return run_process(
        name,
        settings_kind,
        lambda settings: Server(settings, table, services=services),
        body,
        fatal_errors=fatal_errors,
        arguments=arguments,
    )


def run_process(
    name: str,
    settings_kind: type[_AnySettings],
    make_server: Callable[[_AnySettings], _Server],
    body: Callable[[_AnySettings, _Server], Awaitable[None]],
    *,
    fatal_errors: tuple[type[Exception], ...] = (),
    arguments: Sequence[str] | None = None,
) -> int:
    """Do as ``run_service`` does, with a server of any protocol.

    Args:
        name: as for ``run_service``.
        settings_kind: as for ``run_service``.
        make_server: makes the server from its settings, inside the event loop.
        body: as for ``run_service``.
        fatal_errors: as for ``run_service``.
        arguments: as for ``run_service``.

    Returns:
        As for ``run_service``.
    """
    refusals: tuple[type[Exception], ...] = (ServicekitError, CodecError, *fatal_errors)
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
        sys.setswitchinterval(_SWITCH_SECONDS)
        if settings.trace_endpoint is not None:
            exporter = exporter_to(settings.trace_endpoint)
            begin_tracing(name, exporter, ratio=settings.trace_ratio)
        asyncio.run(_run(settings, make_server, body))
    except BadSettings as error:
        for problem in error.problems:
            print(redact(f"{name}: {problem}"), file=sys.stderr)
        return 2
    except refusals as error:
        print(redact(f"{name}: {error}"), file=sys.stderr)
        return 1
    finally:
        end_tracing()
    return 0


def _allow_many_connections() -> None:
    """Raise the limit on open files as far as the system lets: 1024 is few for a server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run(
    settings: _AnySettings,
    make_server: Callable[[_AnySettings], _Server],
    body: Callable[[_AnySettings, _Server], Awaitable[None]],
) -> None:
    server = make_server(settings)
    told = _heed_signals(server)
    try:
        port = await server.listen()
        print(f"listening on {join_address(settings.host, port)}", flush=True)
        if server.metrics_port is not None:
            at = join_address(settings.metrics_host, server.metrics_port)
            print(f"metrics at {at}", flush=True)
        running = asyncio.ensure_future(body(settings, server))
        sparing = asyncio.ensure_future(_spare_what_is_loaded(server))
        stopping = asyncio.ensure_future(server.stopping.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if server.stopping.is_set():
            status = 0 if told.is_set() else 1
            # Work in threads cannot be stopped: an 8K picture is not worth more than the limit.
            late = threading.Timer(
                settings.drain_seconds + _CLOSING_SECONDS, _leave_late, (status,)
            )
            late.daemon = True
            late.start()
            if not running.done() and not server.serving.is_set():
                # Nobody waits for what was being loaded, and its thread cannot be stopped.
                _log.info("told to stop while loading")
                running.cancel()
                await asyncio.wait([running])
                await server.close()
                _leave(status)
        await running
        sparing.cancel()
    finally:
        await server.close()


async def _spare_what_is_loaded(server: Lifecycle) -> None:
    await server.serving.wait()
    spare_what_is_loaded()
    server.reloader.add(Loaded())


def _heed_signals(server: Lifecycle) -> asyncio.Event:
    """Drain at SIGTERM and SIGINT, end at the second of them, and reload at SIGHUP.

    Returns:
        Set once one of the first two came.
    """
    loop = asyncio.get_running_loop()
    stops = (signal.SIGTERM, signal.SIGINT)
    told = asyncio.Event()

    def stop() -> None:
        _log.info("told to stop; told again, it stops at once")
        for number in stops:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        told.set()
        server.stop()

    for number in stops:
        loop.add_signal_handler(number, stop)
    under_way: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(server))
        under_way.add(task)  # the loop itself would forget it
        task.add_done_callback(under_way.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    return told


async def _reload(server: Lifecycle) -> None:
    with suppress(ReloadFailed):  # which is in the log
        await server.reloader.reload()


def _leave_late(status: int) -> None:
    _log.warning("leaving work unfinished that takes longer than the drain may")
    _leave(status)


def _leave(status: int) -> NoReturn:
    """End the process without waiting for its threads, nor long for a collector of traces."""
    handing_over = threading.Thread(target=end_tracing, daemon=True)
    handing_over.start()
    handing_over.join(_HANDING_OVER_SECONDS)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)
