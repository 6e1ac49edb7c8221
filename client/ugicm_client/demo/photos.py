"""Find photographs that come inside installed packages.

==================  ============  ============================================================
astronaut.png       scikit-image  Eileen Collins, by NASA; public domain
grace_hopper.jpg    matplotlib    Grace Hopper, by the US Navy; public domain
chelsea.png         scikit-image  Chelsea the cat, by Stefan van der Walt; CC0
coffee.png          scikit-image  by Rachel Michetti; CC0
rocket.jpg          scikit-image  a Falcon 9, by SpaceX; CC0
==================  ============  ============================================================
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from ugicm_client.errors import MissingPackage

__all__ = ["bundled_photos"]

_PHOTOS = (
    ("scikit-image", "skimage/data/astronaut.png"),
    ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
    ("scikit-image", "skimage/data/chelsea.png"),
    ("scikit-image", "skimage/data/coffee.png"),
    ("scikit-image", "skimage/data/rocket.jpg"),
)


def bundled_photos() -> list[Path]:
    """Return the photographs' files; the packages they lie in are not imported.

    Raises:
        MissingPackage: one of the packages is absent, or came without its photographs.
    """
    return [_locate(package, path) for package, path in _PHOTOS]


def _locate(package: str, path: str) -> Path:
    try:
        found = Path(str(metadata.distribution(package).locate_file(path)))
    except metadata.PackageNotFoundError as error:
        raise MissingPackage(
            f"the demo's photos come with {package}: pip install 'ugicm-client[demo]', "
            "or bring your own with --photos FOLDER"
        ) from error
    if not found.is_file():
        raise MissingPackage(f"{package} has no {path}; bring photos with --photos FOLDER")
    return found
