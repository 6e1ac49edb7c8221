"""The caches of latents and views: bounded, counted, and computed once for all who ask."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugicm_decoder.cache import Cache
from ugicm_servicekit.metrics import REGISTRY


class Source:
    """Gives texts, and counts how often it had to; holds up whoever asks while ``open`` is not."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    def of(self, text):
        async def compute():
            self.asked.append(text)
            await self.open.wait()
            if text == "bad":
                raise ArithmeticError(text)
            return text

        return compute


def lookups(outcome):
    return REGISTRY.get_sample_value(
        "ugicm_cache_lookups_total", {"cache": "texts", "outcome": outcome}
    )


@pytest.fixture
def source():
    return Source()


async def test_what_is_kept_is_not_computed_again(source):
    cache = Cache("texts", 10, len)
    before = lookups("hit"), lookups("miss")
    for _ in range(3):
        assert await cache.get("key", source.of("text")) == "text"
    assert source.asked == ["text"]
    assert (lookups("hit") - before[0], lookups("miss") - before[1]) == (2, 1)
    assert cache.num_bytes == 4
    assert REGISTRY.get_sample_value("ugicm_cache_bytes", {"cache": "texts"}) == 4


async def test_the_least_recently_used_goes_first(source):
    cache = Cache("texts", 6, len)
    for text in ("aa", "bb", "cc", "aa", "dd", "aa", "bb"):
        await cache.get(text, source.of(text))
    assert source.asked == ["aa", "bb", "cc", "dd", "bb"]


async def test_too_large_a_value_is_not_kept_and_drives_nothing_out(source):
    cache = Cache("texts", 4, len)
    for text in ("aa", "large", "aa", "large"):
        assert await cache.get(text, source.of(text)) == text
    assert source.asked == ["aa", "large", "large"]


async def test_without_bytes_nothing_is_kept(source):
    cache = Cache("texts", 0, len)
    for _ in range(2):
        await cache.get("a", source.of("a"))
    assert (source.asked, cache.num_bytes) == (["a", "a"], 0)


async def _asking(cache, source, text, number):
    tasks = [asyncio.create_task(cache.get(text, source.of(text))) for _ in range(number)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_equal_requests_at_one_time_are_computed_once_even_if_not_kept(source):
    cache = Cache("texts", 0, len)
    source.open.clear()
    before = lookups("joined")
    tasks = await _asking(cache, source, "text", 5)
    source.open.set()
    assert await asyncio.gather(*tasks) == ["text"] * 5
    assert source.asked == ["text"]
    assert lookups("joined") - before == 4


async def test_one_that_is_cancelled_leaves_the_others_their_value(source):
    cache = Cache("texts", 10, len)
    source.open.clear()
    first, second = await _asking(cache, source, "text", 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.open.set()
    assert await second == "text"
    assert source.asked == ["text"]


async def test_what_nobody_waits_for_any_more_is_cancelled_and_then_begun_anew(source):
    cache = Cache("texts", 10, len)
    source.open.clear()
    (only,) = await _asking(cache, source, "text", 1)
    only.cancel()
    (another,) = await _asking(cache, source, "text", 1)
    source.open.set()
    assert await another == "text"
    assert source.asked == ["text", "text"]


async def test_an_error_reaches_everybody_and_is_not_kept(source):
    cache = Cache("texts", 10, len)
    source.open.clear()
    tasks = await _asking(cache, source, "bad", 2)
    source.open.set()
    for task in tasks:
        with pytest.raises(ArithmeticError):
            await task
    with pytest.raises(ArithmeticError):
        await cache.get("bad", source.of("bad"))
    assert source.asked == ["bad", "bad"]


@given(st.lists(st.text("ab", max_size=6)), st.integers(0, 12))
def test_the_bytes_that_are_kept_are_counted_and_bounded(texts, max_bytes):
    async def run():
        source, cache = Source(), Cache("texts", max_bytes, len)
        for text in texts:
            assert await cache.get(text, source.of(text)) == text
            kept = [each for each in set(texts) if each in cache]
            assert cache.num_bytes == sum(map(len, kept)) <= max_bytes

    asyncio.run(run())
