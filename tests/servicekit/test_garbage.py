"""Garbage collections pass over what stays, and over nothing that was replaced."""

from __future__ import annotations

import gc
import weakref

import pytest

from ugicm_servicekit.garbage import Loaded, spare_what_is_loaded


class Model:
    """Refers to itself, so that only a collection frees it, as networks do."""

    def __init__(self):
        self.itself = self


@pytest.fixture(autouse=True)
def thaw():
    yield
    gc.unfreeze()


def test_what_is_loaded_is_collected_no_more():
    before = gc.get_freeze_count()
    model = Model()
    spare_what_is_loaded()
    assert gc.get_freeze_count() > before
    assert not any(one is model for one in gc.get_objects())


def test_full_collections_come_before_there_is_much_to_collect():
    loaded = [[] for _ in range(600_000)]
    spare_what_is_loaded()
    before = gc.get_stats()[2]["collections"]
    # Python would wait for a quarter of all that is loaded.
    since = [[] for _ in range(120_000)]
    assert gc.get_stats()[2]["collections"] > before
    assert len(loaded) > len(since)


def test_a_model_that_a_reload_replaced_is_freed():
    models = [Model()]
    old = weakref.ref(models[0])
    spare_what_is_loaded()
    use = Loaded().read()
    models[0] = Model()
    assert use() == []
    assert old() is None
