"""Photos that come inside packages that the tests need anyway."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import skimage.data
from PIL import Image

_SKIMAGE = Path(skimage.data.__file__).parent
_MATPLOTLIB = Path(mpl.get_data_path()) / "sample_data"


def photo(name):
    folder = _MATPLOTLIB if name == "grace_hopper.jpg" else _SKIMAGE
    with Image.open(folder / name) as image:
        return np.asarray(image.convert("RGB"))
