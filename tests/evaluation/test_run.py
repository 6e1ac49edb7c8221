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


class Fatal:
    """Load a codec that takes its process down at one height of pictures, and raises at another."""

    name = identity = "fatal"
    suffix = ".fatal"

    def __call__(self):
        return self

    def encode(self, picture, quality):
        if len(picture) == 32 + 16 * 4:
            os._exit(3)
        if len(picture) == 32 + 16 * 6:
            raise RuntimeError("what nobody\nhas thought of")
        return JPEG.encode(picture, quality)

    def decode(self, data, views):
        return JPEG.decode(data, views)


class Stillborn:
    """Take the process down that loads this codec."""

    def __call__(self):
        os._exit(3)


def cast(tmp_path, codec):
    fidelity = {"psnr": partial(open_fidelity, "psnr")}
    return Cast({"model": codec}, {}, fidelity, tmp_path / "cache", {})


@pytest.fixture
def jobs(tmp_path):
    codings = (Coding("model", 30, (0.0,)),)
    found = []
    for seed in range(8):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(scene(32 + 16 * seed, 48, seed)).save(path)
        found.append(Job("set", Sample(path.name, path), codings, ()))
    found[2].sample.path.write_bytes(b"no picture")
    found[7].sample.path.unlink()
    return found


@pytest.mark.slow
def test_answers_come_in_the_order_of_the_jobs_whoever_was_first_or_died(tmp_path, jobs, capsys):
    with workers(2, cast(tmp_path, Fatal())) as pool:
        found = measure_all(pool, jobs)
    assert [job for job, _ in found] == jobs
    skipped = {one.key: one.reason for _, one in found if isinstance(one, Skipped)}
    assert list(skipped) == ["2.png", "4.png", "6.png", "7.png"]
    assert "died again with nothing else under way" in skipped["4.png"]
    assert skipped["6.png"] == "RuntimeError: what nobody has thought of"
    assert skipped["7.png"] == "7.png: No such file or directory"
    measured = [one for _, one in found if isinstance(one, Measured)]
    assert [one.key for one in measured] == [f"{seed}.png" for seed in (0, 1, 3, 5)]
    assert [one.pixels for one in measured] == [48 * (32 + 16 * seed) for seed in (0, 1, 3, 5)]
    for one in measured:
        (coded,) = one.coded.values()
        assert coded.num_bytes == len(coded.file.read_bytes())
    assert "pictures: 8 of 8" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_that_do_not_start_are_one_clear_line(tmp_path, jobs):
    with (
        pytest.raises(WorkerLost, match="die as they start; what was finished is kept"),
        workers(1, cast(tmp_path, Stillborn())) as pool,
    ):
        measure_all(pool, jobs)
