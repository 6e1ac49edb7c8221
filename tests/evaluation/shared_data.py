"""The development data, whose folder the environment names."""

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(os.environ.get("UGICM_SHARED_DATA", "/nonexistent"))

needs_shared_data = pytest.mark.skipif(
    not SHARED_DATA.is_dir(),
    reason="needs UGICM_SHARED_DATA, a folder with imagenet/, coco/, weights/, published_kodak/",
)
