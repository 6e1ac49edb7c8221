"""The photographs that other packages bring."""

from importlib import metadata

import pytest

from ugicm_client.demo.photos import bundled_photos
from ugicm_client.errors import MissingPackage
from ugicm_client.pictures import read_picture


def test_bundled_photos_are_real_pictures():
    shapes = {path.name: read_picture(path).shape for path in bundled_photos()}
    assert shapes == {
        "astronaut.png": (512, 512, 3),
        "grace_hopper.jpg": (600, 512, 3),
        "luispedro.jpg": (377, 300, 3),
        "chelsea.png": (300, 451, 3),
        "coffee.png": (400, 600, 3),
    }


def test_a_package_that_is_absent_is_named(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(MissingPackage, match=r"scikit-image: pip install 'ugicm-client\[demo\]'"):
        bundled_photos()


def test_a_package_without_its_photos_is_named(monkeypatch, tmp_path):
    class Stripped:
        def locate_file(self, path):
            return tmp_path / path

    monkeypatch.setattr(metadata, "distribution", lambda name: Stripped())
    with pytest.raises(MissingPackage, match=r"scikit-image has no skimage/data/astronaut\.png"):
        bundled_photos()
