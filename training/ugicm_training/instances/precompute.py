"""Segment a set of pictures once, in processes, so that training only reads."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait

from ugicm_training.data.decoding import UNREADABLE, decode_picture
from ugicm_training.instances.protocol import Segmenter
from ugicm_training.instances.rle import PictureMasks
from ugicm_training.instances.store import MaskStore

__all__ = ["Outcome", "precompute"]

Member = tuple[str, bytes]

# Work that is done again after a kill, against one synchronous write to the disk for each.
_SECONDS_BETWEEN_WRITES = 2.0


@dataclass(frozen=True)
class Outcome:
    """What became of one picture; ``masks`` is None where it could not be decoded."""

    name: str
    masks: PictureMasks | None


def precompute(
    members: Iterable[Member],
    segmenter: Segmenter,
    store: MaskStore,
    *,
    processes: int,
) -> Generator[Outcome, None, None]:
    """Segment pictures and add them to the store, yielding each once it is segmented.

    Args:
        members: name and file bytes of each.
        segmenter: copied to each process.
        store: what is added to.
        processes: 1 works in this process.
    """
    pending: list[tuple[str, PictureMasks]] = []
    written = time.monotonic()
    try:
        for outcome in _outcomes(members, segmenter, processes):
            if outcome.masks is not None:
                pending.append((outcome.name, outcome.masks))
            yield outcome
            if time.monotonic() - written > _SECONDS_BETWEEN_WRITES:
                store.add(pending)
                pending = []
                written = time.monotonic()
    finally:  # also of a run that is interrupted
        store.add(pending)


def _outcomes(members: Iterable[Member], segmenter: Segmenter, processes: int) -> Iterator[Outcome]:
    if processes == 1:
        for member in members:
            yield _outcome(segmenter, member)
        return
    pool = ProcessPoolExecutor(
        processes,
        # Forking a process that has threads, as PyTorch starts them, may deadlock.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(segmenter,),
    )
    with pool:
        try:
            running: deque[Future[Outcome]] = deque()
            for member in members:
                running.append(pool.submit(_work, member))
                if len(running) > 4 * processes:  # what is read ahead has to fit into memory
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "a process that segments was killed; where memory is short, use fewer of them"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_worker: Segmenter


def _start_worker(segmenter: Segmenter) -> None:
    global _worker
    threading.Thread(target=_follow_parent, daemon=True).start()
    _worker = segmenter


def _follow_parent() -> None:
    """End with the parent: a pool's workers wait for ever where it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _work(member: Member) -> Outcome:
    return _outcome(_worker, member)


def _outcome(segmenter: Segmenter, member: Member) -> Outcome:
    name, data = member
    try:
        picture = decode_picture(data)
    except UNREADABLE:
        return Outcome(name, None)
    return Outcome(name, PictureMasks.encode(segmenter.segment(name, picture)))
