"""Measures many pictures and scores many answers, on several processes, with progress."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
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

__all__ = ["Skipped", "each", "measure_all", "workers"]

Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Skipped:
    """A picture that could not be measured, and why, in one line."""

    dataset: str
    key: str
    reason: str


@contextmanager
def workers(processes: int, cast: Cast) -> Iterator[Executor]:
    """Yield processes with the cast's codecs and judges, one thread each.

    Raises:
        WorkerLost: a process died.
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(processes, context, _start, (cast,))
    try:
        yield executor
    except BrokenProcessPool as error:
        raise WorkerLost("a worker process died; what it had finished is kept") from error
    finally:
        executor.shutdown(cancel_futures=True)


def measure_all(executor: Executor, jobs: Sequence[Job]) -> list[tuple[Job, Measured | Skipped]]:
    """Measure pictures in any order; the answers are in the order of the jobs."""
    return list(zip(jobs, each(executor, _measure, jobs, "pictures"), strict=True))


def each(
    executor: Executor, work: Callable[[Given], Result], given: Sequence[Given], what: str
) -> Iterable[Result]:
    """Return the work's results in the order of what it was given, showing how far it is."""
    futures = {executor.submit(work, one): index for index, one in enumerate(given)}
    results: dict[int, Result] = {}
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
        bar = progress.add_task(what, total=len(given))
        for done, future in enumerate(as_completed(futures), 1):
            results[futures[future]] = future.result()
            progress.advance(bar)
            # A log holds no bar: there it is a line at each tenth.
            if not console.is_terminal and 10 * done // len(given) > 10 * (done - 1) // len(given):
                left = progress.tasks[bar].time_remaining
                until = "" if left is None else f", {left / 60:.1f} minutes left"
                console.print(f"{what}: {done} of {len(given)}{until}", highlight=False)
    return [results[index] for index in range(len(given))]


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
