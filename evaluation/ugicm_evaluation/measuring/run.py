"""Measures many pictures and scores many answers, on several processes, with progress.

A picture that ends the process that measures it is skipped, as is one that cannot be measured.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import cv2
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ugicm_analyzers.errors import AnalyzerError
from ugicm_codec.errors import CodecError
from ugicm_codec.memory import keep_freed_memory
from ugicm_evaluation.errors import EvaluationError, WorkerLost
from ugicm_evaluation.measuring.measure import Measured, Measurer
from ugicm_evaluation.measuring.plan import Cast, Job

__all__ = ["Skipped", "Workers", "each", "measure_all", "workers"]

Given = TypeVar("Given")
Result = TypeVar("Result")

# Pieces of work for each process that are under way at once: it never waits for the next one.
_AHEAD = 2


@dataclass(frozen=True)
class Skipped:
    """A picture that could not be measured, and why, in one line."""

    dataset: str
    key: str
    reason: str


class Workers:
    """Processes with a cast's codecs, judges and metrics, one thread each.

    Attributes:
        processes: how many there are.
    """

    def __init__(self, processes: int, cast: Cast) -> None:
        """Open them; they start with the first work."""
        self.processes = processes
        self._cast = cast
        self._executor = self._open()

    def submit(self, work: Callable[[Given], Result], *given: Given) -> Future[Result]:
        """Let one of them do some work; raises ``BrokenProcessPool`` where one has died."""
        return self._executor.submit(work, *given)

    def replace(self) -> None:
        """Open others in their place, once one has died.

        Raises:
            WorkerLost: they do not even start.
        """
        self.close()
        self._executor = self._open()
        try:
            self._executor.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise WorkerLost(
                "worker processes die as they start; what was finished is kept"
            ) from error

    def close(self) -> None:
        """End them."""
        self._executor.shutdown(cancel_futures=True)

    def _open(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.processes, context, _start, (self._cast,))


@contextmanager
def workers(processes: int, cast: Cast) -> Iterator[Workers]:
    """Yield processes that end with the block."""
    found = Workers(processes, cast)
    try:
        yield found
    finally:
        found.close()


def measure_all(pool: Workers, jobs: Sequence[Job]) -> list[tuple[Job, Measured | Skipped]]:
    """Measure pictures in any order; the answers are in the order of the jobs."""
    return list(zip(jobs, each(pool, _measure, jobs, "pictures", lost=_lost), strict=True))


def each(
    pool: Workers,
    work: Callable[[Given], Result],
    given: Sequence[Given],
    what: str,
    *,
    lost: Callable[[Given], Result],
) -> list[Result]:
    """Return the work's results in the order of what it was given, showing how far it is.

    Args:
        pool: whose processes work.
        work: a function that they can import.
        given: what it is given, one by one.
        what: is shown as being worked on.
        lost: gives the result of what ends its process even if nothing else is under way: by a
            library's crash, or for want of memory.

    Raises:
        WorkerLost: processes do not even start.
    """
    waiting = deque(range(len(given)))
    under_way: dict[Future[Result], int] = {}
    results: dict[int, Result] = {}
    with _progress(what, len(given)) as advance:
        while waiting or under_way:
            try:
                while waiting and len(under_way) < _AHEAD * pool.processes:
                    under_way[pool.submit(work, given[waiting[0]])] = waiting[0]
                    waiting.popleft()
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    results[under_way[future]] = future.result()
                    del under_way[future]
                    advance()
            except BrokenProcessPool:
                # Any of what was under way may have been the end of it.
                pool.replace()
                for index in under_way.values():
                    results[index] = _alone(pool, work, given[index], lost)
                    advance()
                under_way.clear()
    return [results[index] for index in range(len(given))]


def _alone(
    pool: Workers,
    work: Callable[[Given], Result],
    given: Given,
    lost: Callable[[Given], Result],
) -> Result:
    try:
        return pool.submit(work, given).result()
    except BrokenProcessPool:
        pool.replace()
        return lost(given)


def _lost(job: Job) -> Measured | Skipped:
    reason = "the process that measured it died, and died again with nothing else under way"
    return Skipped(job.dataset, job.sample.key, f"{reason} (a library's crash, or no memory left)")


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call whenever one more of them is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(what, total=total)

        def advance() -> None:
            progress.advance(bar)
            task = progress.tasks[bar]
            done = int(task.completed)
            # A log holds no bar: there it is a line at each tenth.
            if not console.is_terminal and 10 * done // total > 10 * (done - 1) // total:
                left = task.time_remaining
                until = "" if left is None else f", {left / 60:.1f} minutes left"
                console.print(f"{what}: {done} of {total}{until}", highlight=False)

        yield advance


_measurer: Measurer | None = None


def _start(cast: Cast) -> None:
    global _measurer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _measurer = Measurer(cast)


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one: killed, it ends none itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _measure(job: Job) -> Measured | Skipped:
    assert _measurer is not None
    try:
        return _measurer.measure(job)
    # The outermost layer of its process, and one picture is not worth a night's run. What is wrong
    # with all pictures leaves none, which is an error.
    except Exception as error:  # noqa: BLE001
        return Skipped(job.dataset, job.sample.key, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, EvaluationError | CodecError | AnalyzerError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())
