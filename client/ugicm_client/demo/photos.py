"""Find photographs that come inside installed packages.

==================  ============  ============================================
astronaut.png       scikit-image  Eileen Collins, by NASA; public domain
grace_hopper.jpg    matplotlib    Grace Hopper, by the US Navy; public domain
luispedro.jpg       mahotas       Luis Pedro Coelho, its author; MIT
chelsea.png         scikit-image  a cat, by Stéfan van der Walt; CC0
coffee.png          scikit-image  a cup, by Rachel Michetti; CC0
==================  ============  ============================================
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from ugicm_client.errors import MissingPackage

__all__ = ["bundled_photos"]

_PHOTOS = (
    ("scikit-image", "skimage/data/astronaut.png"),
    ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
    ("mahotas", "mahotas/demos/data/luispedro.jpg"),
    ("scikit-image", "skimage/data/chelsea.png"),
    ("scikit-image", "skimage/data/coffee.png"),
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
