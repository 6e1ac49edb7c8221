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

_ANNOUNCEMENT = "listening on "
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


class ServiceProcess:
    """A service that runs in a process of its own and listens at ``address``."""

    def __init__(self, name: str, address: str, process: Process, log: Path) -> None:
        self.address = address
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
        service: ``encoder``, ``decoder`` or ``analytics``.
        arguments: of the service.
        log: the file that gets its log.

    Raises:
        ProcessError: it ended before it listened, or took too long.
    """
    command = (sys.executable, "-m", "ugicm_client.demo.service", service, "--port", "0")
    with log.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            *command,
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
                address = await _announced_address(process)
        except TimeoutError:
            address = None
        if address is None:
            raise _failure(service, process, log)
        yield ServiceProcess(service, address, process, log)
    finally:
        await _stop(process)


async def _announced_address(process: Process) -> str | None:
    assert process.stdout is not None  # it is a pipe
    async for line in process.stdout:
        text = line.decode(errors="replace").strip()
        if text.startswith(_ANNOUNCEMENT):
            return text.removeprefix(_ANNOUNCEMENT)
    return None


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
