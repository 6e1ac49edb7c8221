"""Waits that grow, at random, and begin again."""

from __future__ import annotations

import random

from ugicm_servicekit.backoff import Backoff


def longest(low, high):
    assert low == 0
    return high


def test_waits_double_up_to_the_longest_and_begin_again():
    backoff = Backoff(first_seconds=0.5, most_seconds=3, uniform=longest)
    assert [backoff.next_seconds() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    backoff.reset()
    assert backoff.next_seconds() == 0.5


def test_what_the_other_side_asked_for_comes_first():
    backoff = Backoff(first_seconds=0.5, most_seconds=3, uniform=longest)
    assert [backoff.next_seconds(at_least=10) for _ in range(2)] == [10.5, 11]


def test_waits_are_spread_over_their_whole_range():
    generator = random.Random(3)
    waits = []
    for _ in range(300):
        backoff = Backoff(first_seconds=1, most_seconds=9, uniform=generator.uniform)
        waits.append(backoff.next_seconds())
    assert min(waits) < 0.05
    assert 0.95 < max(waits) <= 1
    assert 0.4 < sum(waits) / 300 < 0.6
