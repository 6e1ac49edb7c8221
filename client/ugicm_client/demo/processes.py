"""Start services as processes of their own, and leave none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from ugicm_client.channel import until_serving
from ugicm_client.errors import ProcessError
from ugicm_servicekit.channel import open_channel

__all__ = ["ServiceProcess", "started"]

_ANNOUNCEMENTS = ("listening on ", "metrics at ")
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


class ServiceProcess:
    """A service that runs in a process of its own.

    Attributes:
        address: where it listens.
        metrics: where its metrics are.
    """

    def __init__(self, name: str, address: str, metrics: str, process: Process, log: Path) -> None:
        self.address = address
        self.metrics = metrics
        self._name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def until_serving(self) -> None:
        """Return once the service reports that it serves.

        Raises:
            ProcessError: it ended, or took too long.
        """
        async with open_channel(self.address) as channel:
            serving = asyncio.ensure_future(until_serving(channel))
            ended = asyncio.ensure_future(self._process.wait())
            try:
                await asyncio.wait(
                    (serving, ended), timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if ended.done() or not serving.done():
                    raise _failure(self._name, self._process, self._log)
                serving.result()
            finally:
                serving.cancel()
                ended.cancel()


@asynccontextmanager
async def started(
    service: str, arguments: Sequence[str], *, log: Path
) -> AsyncIterator[ServiceProcess]:
    """Start a service on a free port of this machine; it is stopped, and gone, at the end.

    Args:
        service: ``encoder``, ``decoder``, ``analytics`` or ``console``.
        arguments: of the service.
        log: the file that gets its log.

    Raises:
        ProcessError: it ended before it listened, or took too long.
    """
    command = (sys.executable, "-m", "ugicm_client.demo.service", service)
    with log.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            *command,
            *("--port", "0", "--metrics-port", "0"),
            *arguments,
            stdin=PIPE,  # never written to: closing it ends the service
            stdout=PIPE,
            stderr=log_file,
            # Ctrl-C on the terminal reaches this process alone, which then stops its services.
            start_new_session=True,
        )
    try:
        try:
            async with asyncio.timeout(_START_SECONDS):
                addresses = [await _announced(process, what) for what in _ANNOUNCEMENTS]
        except (TimeoutError, EOFError):
            raise _failure(service, process, log) from None
        address, metrics = addresses
        yield ServiceProcess(service, address, metrics, process, log)
    finally:
        await _stop(process)


async def _announced(process: Process, what: str) -> str:
    """Return the address that a line of the service's output begins with.

    Raises:
        EOFError: it ended before.
    """
    assert process.stdout is not None  # it is a pipe
    async for line in process.stdout:
        text = line.decode(errors="replace").strip()
        if text.startswith(what):
            return text.removeprefix(what)
    await process.wait()
    raise EOFError


async def _stop(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            # The group, for whatever the service itself has started.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _failure(service: str, process: Process, log: Path) -> ProcessError:
    lines = log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    if process.returncode is None:
        return ProcessError(f"the {service} is not ready after {_START_SECONDS:.0f} s: {last}")
    return ProcessError(f"the {service} ended ({process.returncode}) at its start: {last}")
