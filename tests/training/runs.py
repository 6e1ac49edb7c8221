"""What tests of training runs share: pictures on disk, a teacher, and a trainer of them."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from tests.pictures import scene
from ugicm_training.checkpoints import Inputs
from ugicm_training.data import Storage, open_pictures
from ugicm_training.engine import Precision, make_fabric
from ugicm_training.recipes import tiny
from ugicm_training.starting import first_checkpoint
from ugicm_training.teachers.protocol import Interpolation
from ugicm_training.trainer import Trainer

INPUTS = Inputs(
    photos="photos",
    storage="memory",
    digest="0",
    teacher=None,
    teacher_description="mean colour",
    masks=None,
    masks_description=None,
)


class Brightness:
    """A teacher that sees nothing but the mean colour."""

    description = "mean colour"
    side = 16
    mean_colour = (0.5, 0.5, 0.5)
    interpolation = Interpolation.BILINEAR

    def embed(self, pictures):
        return pictures.mean((2, 3))


def write_photos(folder, count=5, *, height=80, width=96):
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        Image.fromarray(scene(height, width, seed)).save(folder / f"scene-{seed}.png")
    return folder


def short(**changes):
    """Return the tiny recipe without validations, which have a test of their own."""
    return replace(tiny(), **{"validation_every": 1_000, **changes})


def opened(fabric, folder: Path, recipe, storage=Storage.MEMORY):
    return open_pictures(
        folder,
        storage,
        minimum_side=recipe.minimum_side,
        held_out=recipe.held_out,
        device=fabric.device,
        workers=0,
    )


def trainer(path, folder, recipe=None, *, start=None, teacher=Brightness, masks=None, **options):
    """Return a trainer of a new run, or of one that goes on from ``start``."""
    recipe = start.recipe if start else recipe or short()
    fabric = make_fabric("cpu", 1)
    pictures = opened(fabric, folder, recipe)
    start = start or first_checkpoint(recipe, INPUTS, pictures=pictures.count, start=None)
    return Trainer(
        start,
        path,
        fabric=fabric,
        pictures=pictures,
        teacher=teacher() if teacher else None,
        masks=masks,
        **{"precision": Precision.FLOAT32, **options},
    )
