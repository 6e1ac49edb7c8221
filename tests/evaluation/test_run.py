"""Measuring on several processes, with codecs that go wrong."""

import os
from functools import partial

import pytest
from PIL import Image

from tests.pictures import scene
from ugicm_evaluation.codecs.classical import JPEG
from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.errors import WorkerLost
from ugicm_evaluation.measuring.measure import Measured
from ugicm_evaluation.measuring.plan import Cast, Coding, Job
from ugicm_evaluation.measuring.run import Skipped, measure_all, workers
from ugicm_evaluation.metrics.fidelity import open_fidelity


class Jpeg:
    """Load JPEG in a worker."""

    def __call__(self):
        return JPEG


class Fatal:
    """Load a codec that takes its process down with it."""

    name = identity = "fatal"
    suffix = ".fatal"

    def __call__(self):
        return self

    def encode(self, picture, quality):
        os._exit(3)

    def decode(self, data, views):
        return []


def cast(tmp_path, codec):
    fidelity = {"psnr": partial(open_fidelity, "psnr")}
    return Cast({"model": codec}, {}, fidelity, tmp_path / "cache", {})


@pytest.fixture
def jobs(tmp_path):
    codings = (Coding("model", 30, (0.0,)),)
    found = []
    for seed in range(6):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(scene(32 + 16 * seed, 48, seed)).save(path)
        found.append(Job("set", Sample(path.name, path), codings, ()))
    found[2].sample.path.write_bytes(b"no picture")
    return found


@pytest.mark.slow
def test_answers_come_in_the_order_of_the_jobs_whoever_was_first(tmp_path, jobs, capsys):
    with workers(2, cast(tmp_path, Jpeg())) as executor:
        found = measure_all(executor, jobs)
    assert [job for job, _ in found] == jobs
    assert isinstance(found[2][1], Skipped)
    measured = [one for _, one in found if isinstance(one, Measured)]
    assert [one.key for one in measured] == [f"{seed}.png" for seed in (0, 1, 3, 4, 5)]
    assert [one.pixels for one in measured] == [48 * (32 + 16 * seed) for seed in (0, 1, 3, 4, 5)]
    for one in measured:
        (coded,) = one.coded.values()
        assert coded.num_bytes == len(coded.file.read_bytes())
    assert "pictures: 6 of 6" in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_that_dies_is_one_clear_line(tmp_path, jobs):
    with (
        pytest.raises(WorkerLost, match="what it had finished is kept"),
        workers(1, cast(tmp_path, Fatal())) as executor,
    ):
        measure_all(executor, jobs)
