"""Service processes that are killed and started again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.drill.proxy import Link

_ROOT = Path(__file__).parents[2]
_ANNOUNCEMENT = "listening on "


class Service:
    """A process behind a link, which keeps its address while the process comes and goes.

    Args:
        module: what Python runs.
        flags: of every start.
        link: leads to the process while there is one.
        log: the file that gets the logs of all its lives.
    """

    def __init__(self, module: str, flags: Sequence[str], link: Link, log: Path) -> None:
        self._module = module
        self._flags = tuple(flags)
        self._link = link
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.num_kills = 0

    async def start(self, *flags: str) -> None:
        """Start the process with further flags, and return once it listens."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module, "--port=0", *self._flags, *flags),
                cwd=_ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None  # it is a pipe
        line = (await self._process.stdout.readline()).decode()
        if not line.startswith(_ANNOUNCEMENT):
            raise RuntimeError(f"{self._module} did not start; see {self._log}")
        self._link.lead_to(int(line.rpartition(":")[2]))

    async def kill(self) -> None:
        """End the process by SIGKILL."""
        self.num_kills += 1
        await self.stop()

    async def stop(self) -> None:
        """See that there is no process."""
        self._link.lead_to(None)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def count_in_log(self, text: str) -> int:
        """Return how many lines of the log have a text."""
        if not self._log.exists():
            return 0
        return sum(text in line for line in self._log.read_text(errors="replace").splitlines())
