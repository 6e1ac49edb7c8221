import numpy as np
import pytest

from ugicm_evaluation.measuring.cache import Cache


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def test_an_entry_comes_back(cache):
    path = cache.path("picture", 1, suffix=".npz")
    cache.save(path, {"a": np.arange(3), "b": np.zeros((0, 6), np.float32)})
    entry = cache.load(path, "a", "b")
    assert entry["a"].tolist() == [0, 1, 2]
    assert entry["b"].shape == (0, 6)


def test_whatever_decides_an_entry_names_it(cache):
    paths = {cache.path(*decisive, suffix=".npz") for decisive in [("a", 1), ("a", 2), ("b", 1)]}
    assert len(paths) == 3
    assert cache.path("a", 1, suffix=".npz") in paths


def test_half_an_entry_is_none(cache):
    path = cache.path("picture", suffix=".npz")
    cache.save(path, {"a": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:100])
    assert cache.load(path, "a") is None


def test_what_cannot_be_written_leaves_nothing(cache):
    path = cache.path("picture", suffix=".npz")
    with pytest.raises(TypeError):
        cache.write(path, "no bytes")
    assert list(path.parent.iterdir()) == []
