"""Prepares the next batch while the present one is trained on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["one_ahead"]

_Item = TypeVar("_Item")


def one_ahead(items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """Yield an endless iterator's items, each of which was asked for one item early."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as executor:
        upcoming = executor.submit(next, items)
        while True:
            item = upcoming.result()
            upcoming = executor.submit(next, items)
            yield item
