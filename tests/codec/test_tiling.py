"""Large pictures are transformed in tiles, and nobody can tell."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.pictures import scene
from ugicm_codec.entropy.products import packed_product
from ugicm_codec.models.hyperprior import HyperpriorModel
from ugicm_codec.models.modelfile import read_model_file
from ugicm_codec.models.tiling import tiles

GIBIBYTE = 2**30

LARGEST = """
import json, resource, time
import numpy as np
from ugicm_codec import Codec
codec = Codec.load()
rows, columns = np.ogrid[0:8192, 0:8192]
picture = np.empty((8192, 8192, 3), np.uint8)
for channel in range(3):
    picture[..., channel] = (rows >> channel) + (columns >> 2 - channel) ^ rows & columns
start = time.perf_counter()
stream = codec.encode(picture)
encoded = time.perf_counter()
shape = codec.decode(stream).shape
decoded = time.perf_counter()
print(json.dumps({
    "shape": shape,
    "num_bytes": len(stream),
    "encode_seconds": encoded - start,
    "decode_seconds": decoded - encoded,
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


@pytest.fixture(scope="module")
def whole(tiny):
    return model_with_tiles_of(1000, tiny)


def model_with_tiles_of(side, path):
    return HyperpriorModel.build(
        read_model_file(path),
        device=torch.device("cpu"),
        precision=torch.float32,
        tile_side=side,
        products=[packed_product],
    )


@pytest.mark.parametrize("length", [1, 4, 5, 8, 9, 13])
def test_tiles_cover_everything_once_within_their_margins(length):
    counts = np.zeros((length, 6), int)
    for tile in tiles(length, 6, side=4, margin=2):
        counts[tile.rows.kept(1), tile.columns.kept(1)] += 1
        outer = tile.rows.outer(1)
        assert (outer.start, outer.stop) == (
            max(0, tile.rows.start - 2),
            min(length, tile.rows.stop + 2),
        )
    assert np.all(counts == 1)


@pytest.mark.parametrize("size", [(64, 48), (48, 144), (150, 230)])
@pytest.mark.parametrize("side", [1, 3, 4])
def test_tiles_give_the_latents_of_the_whole(whole, tiny, size, side):
    picture = scene(*size)[None]
    tiled = model_with_tiles_of(side, tiny)
    with torch.inference_mode():
        expected, got = whole.analyse(picture), tiled.analyse(picture)
    assert expected.std() > 1.0
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(4, 3), (3, 9), (10, 15)])
@pytest.mark.parametrize("side", [1, 3, 4])
def test_tiles_show_no_seams(whole, tiny, size, side):
    latents = np.random.default_rng(3).integers(-8, 9, (2, *size, 12)).astype(np.int16)
    tiled = model_with_tiles_of(side, tiny)
    with torch.inference_mode():
        expected, got = (
            model.synthesise(list(latents), [0, 2], [0.0, 1.0]).astype(int)
            for model in (whole, tiled)
        )
    assert expected.shape == (2, 16 * size[0], 16 * size[1], 3)
    assert np.abs(got - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_largest_picture_fits_into_three_gibibytes(record_property):
    output = subprocess.run(
        [sys.executable, "-c", LARGEST], check=True, capture_output=True, text=True
    ).stdout
    measured = json.loads(output)
    record_property("measured", measured)
    assert measured["shape"] == [8192, 8192, 3]
    assert measured["peak_bytes"] < 3 * GIBIBYTE
