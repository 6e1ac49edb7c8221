"""Keeps coding processes, replaces those that end, and lends them to threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ugicm_encoder.coding_process import CodedElsewhere, CodingProcess
from ugicm_encoder.errors import CodingProcessEnded
from ugicm_encoder.metrics import CODING_PROCESSES
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.models import Models
from ugicm_servicekit.reloading import Change, Use

if TYPE_CHECKING:
    from ugicm_codec.codec import Codec, Image

__all__ = ["CodingProcesses"]

_log = logging.getLogger(__name__)

# How long one that ended while nobody used it may go unnoticed.
_LOOK_SECONDS = 5.0


class CodingProcesses:
    """A number of coding processes; safe to use from several threads.

    Args:
        start: returns a process that has loaded the models of the settings.
        count: how many there are to be, 0 or more.
        models: what the service has loaded.
    """

    def __init__(self, start: Callable[[], CodingProcess], count: int, models: Models) -> None:
        self.count = count
        self._start = start
        self._models = models
        # Guards all below, and is notified when there is something to tend.
        self._changed = threading.Condition()
        self._present: set[CodingProcess] = set()
        self._idle: list[CodingProcess] = []
        self._leaving: list[CodingProcess] = []
        self._num_reloads = 0
        self._closed = threading.Event()
        # Those that end again and again are started ever more slowly.
        self._backoff = Backoff()
        self._pause_seconds = 0.0
        self._newest: CodingProcess | None = None
        self._tending = threading.Thread(target=self._tend, name="coding processes", daemon=True)

    def begin(self) -> None:
        """Start them all, and wait until they have loaded their models.

        Raises:
            CodingProcessEnded: one could not start.
            ModelError: a model cannot be used.
        """
        CODING_PROCESSES.set_function(lambda: len(self._present))
        if not self.count:
            return
        with ThreadPoolExecutor(self.count) as executor:
            starts = [executor.submit(self._start) for _ in range(self.count)]
        for start in starts:
            if start.exception() is None:
                self._admit(start.result())
        for start in starts:
            start.result()
        self._tending.start()

    def read(self) -> Use:
        """Return what replaces, in time, processes that lack a model which a reload has loaded."""

        def use() -> list[Change]:
            with self._changed:
                self._num_reloads += 1
                for process in [one for one in self._present if not self._is_current(one)]:
                    self._dismiss(process)
            return []

        return use

    def encode(
        self, codec: Codec, image: Image, target: Mapping[str, int]
    ) -> CodedElsewhere | None:
        """Code a picture in a process that is free and has the codec's model.

        Returns:
            None where there is none, or where it ended on the way.

        Raises:
            CodecError: as ``Codec.encode``.
        """
        with self._changed:
            having = (one for one in self._idle if one.has(codec.model.sha256))
            process = next(having, None)
            if process is None:
                return None
            self._idle.remove(process)
        try:
            coded = process.encode(codec, image, target)
        except CodingProcessEnded as error:
            _log.warning("%s; another is started", error)
            return None
        finally:
            self._give_back(process)
        if process is self._newest:
            self._backoff.reset()
        return coded

    def close(self) -> None:
        """End them all, and wait until they have; none is being used."""
        with self._changed:
            self._closed.set()
            for process in list(self._present):
                self._dismiss(process)
            self._changed.notify()
        if self._tending.ident is not None:
            self._tending.join()
        _close(self._leaving)

    def _give_back(self, process: CodingProcess) -> None:
        with self._changed:
            if process.has_ended:
                self._miss(process)
            if process in self._present:
                self._idle.append(process)
            else:
                self._leaving.append(process)
                self._changed.notify()

    def _admit(self, process: CodingProcess) -> None:
        _log.info("coding process %d is ready", process.pid)
        if not self._is_current(process):
            _log.warning("coding process %d found other model files: reload", process.pid)
        with self._changed:
            self._present.add(process)
            self._idle.append(process)
            self._newest = process

    def _is_current(self, process: CodingProcess) -> bool:
        return all(process.has(info.sha256) for info in self._models.infos)

    def _miss(self, process: CodingProcess) -> None:
        """Dismiss a process that ended by itself."""
        self._pause_seconds = self._backoff.next_seconds()
        self._dismiss(process)

    def _dismiss(self, process: CodingProcess) -> None:
        """Lend a process to nobody any more; where somebody has it, it leaves afterwards."""
        self._present.discard(process)
        if process in self._idle:
            self._idle.remove(process)
            self._leaving.append(process)
        self._changed.notify()

    def _tend(self) -> None:
        """Wait for processes to end, and start others, until all is closed."""
        while not self._closed.is_set():
            with self._changed:
                self._changed.wait_for(self._has_work, _LOOK_SECONDS)
                for process in [one for one in self._idle if one.has_ended]:
                    _log.warning("coding process %d ended by itself", process.pid)
                    self._miss(process)
                leaving, self._leaving = self._leaving, []
            _close(leaving)
            if len(self._present) < self.count and not self._closed.wait(self._pause_seconds):
                self._start_another()

    def _has_work(self) -> bool:
        return self._closed.is_set() or bool(self._leaving) or len(self._present) < self.count

    def _start_another(self) -> None:
        self._pause_seconds, num_reloads = 0.0, self._num_reloads
        try:
            process = self._start()
        except Exception as error:  # noqa: BLE001 - the outermost layer of a thread
            _log.error("no coding process in place of one that ended: %s", error)
            self._pause_seconds = self._backoff.next_seconds()
            return
        with self._changed:
            if num_reloads == self._num_reloads and not self._closed.is_set():
                self._admit(process)
            else:
                self._leaving.append(process)


def _close(processes: Iterable[CodingProcess]) -> None:
    for process in processes:
        process.close()
