"""Compares training speed with CompressAI's example loop, and tells what each MS-CLIP term costs.

Both sides train the scale hyperprior of one size on the same crops, batch, precision and threads,
in turns, so that whatever else the machine does meets both. CompressAI's side is its example's step
(``examples/train.py``): rate-distortion loss, gradients clipped at 1, Adam, and a second Adam for
the entropy bottleneck's quantiles. Ours is a trainer's step, with all that belongs to it.

Run it on a machine that does nothing else: ``python bench/training.py``, or ``--quick``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import torchvision_cpu

torchvision_cpu.ensure()

from compressai.losses import RateDistortionLoss  # noqa: E402
from compressai.models import ScaleHyperprior  # noqa: E402
from compressai.optimizers import net_aux_optimizer  # noqa: E402

from ugicm_client.demo.photos import bundled_photos  # noqa: E402
from ugicm_codec.memory import keep_freed_memory  # noqa: E402
from ugicm_training.checkpoints import Inputs  # noqa: E402
from ugicm_training.data import Order, PhotoSet, PicturesInMemory  # noqa: E402
from ugicm_training.data.decoding import decode_picture  # noqa: E402
from ugicm_training.engine import Precision, make_fabric, resolve_precision  # noqa: E402
from ugicm_training.instances.classical import ColourRegions  # noqa: E402
from ugicm_training.instances.rle import PictureMasks  # noqa: E402
from ugicm_training.instances.store import MaskStore  # noqa: E402
from ugicm_training.ms_clip import Term  # noqa: E402
from ugicm_training.recipes import (  # noqa: E402
    Length,
    LossWeights,
    Recipe,
    Session,
    Stage,
    Trained,
    Views,
    default,
)
from ugicm_training.starting import first_checkpoint  # noqa: E402
from ugicm_training.teachers.opening import open_teacher  # noqa: E402
from ugicm_training.trainer import Execution, Trainer  # noqa: E402

OUTPUT = Path(__file__).parent.parent / "bench-output"

# A hundred times more than any benchmark takes.
_ENDLESS = 1_000_000

Step = Callable[[], object]


def main() -> None:
    """Measure every subject in turns, print the table, and write all figures as JSON."""
    options = _options()
    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(options, Path(folder))
        seconds = _in_turns(bench.subjects(), options, bench.wait)
    results = {
        "batch": options.batch,
        "crop": options.crop,
        "channels": [options.channels, options.latent_channels],
        "precision": str(bench.precision),
        "threads": torch.get_num_threads(),
        "device": str(bench.device),
        "torch": str(torch.__version__),
        "seconds": seconds,
    }
    path = options.json or OUTPUT / "training.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    Console(width=110).print(_table(seconds, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare training with CompressAI's example.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--latent-channels", type=int, default=192)
    parser.add_argument("--precision", choices=[each.value for each in Precision], default="auto")
    parser.add_argument("--device", default="auto", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", action="store_true", help="ours compiled as well")
    parser.add_argument(
        "--teacher", help="measures MS-CLIP's terms too; stand-in:FILE or open_clip:"
    )
    parser.add_argument("--rounds", type=int, default=7, help="of which the median is taken")
    parser.add_argument("--steps", type=int, default=3, help="of each subject in a round")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    if options.quick:
        options.batch, options.crop, options.rounds, options.steps = 4, 64, 2, 1
        options.channels, options.latent_channels = 16, 24
    return options


class _Bench:
    """The subjects' common ground: pictures, device and precision."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._fabric = make_fabric(options.device, 1)
        self.device = self._fabric.device
        self.precision = resolve_precision(Precision(options.precision), self.device)
        photos = [(path.name, decode_picture(path.read_bytes())) for path in bundled_photos()]
        large = [each for each in photos if min(each[1].shape[:2]) >= options.crop]
        names, pictures = zip(*large, strict=True)
        self._photos = PhotoSet(list(names), list(pictures))
        self._teacher = open_teacher(options.teacher, self.device) if options.teacher else None
        self._masks = self._segmented()

    def subjects(self) -> dict[str, Step]:
        """Return one training step of each subject, by its name."""
        subjects = {"CompressAI's example": self._compressai(), "UG-ICM, human view": self._ours()}
        if self._options.compile:
            subjects["UG-ICM, human view, compiled"] = self._ours(Execution.COMPILED)
        if self._teacher:
            weights = LossWeights(semantic=1.0)
            for terms in (
                (),
                (Term.GLOBAL,),
                (Term.LOCAL,),
                (Term.INSTANCE,),
                tuple(Term),
            ):
                session = Session(Views.MACHINE, weights if terms else LossWeights())
                name = " + ".join(term.value for term in terms) or "no MS-CLIP"
                subjects[f"UG-ICM, machine view, {name}"] = self._ours(session=session, terms=terms)
        return subjects

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _segmented(self) -> MaskStore | None:
        if self._teacher is None:
            return None
        path, segmenter = self._folder / "masks", ColourRegions()
        with MaskStore.create(path, segmenter.description) as store:
            store.add(
                (name, PictureMasks.encode(segmenter.segment(name, picture)))
                for name, picture in zip(self._photos.names, self._photos.pictures, strict=True)
            )
        return MaskStore.open(path)

    def _ours(
        self,
        execution: Execution = Execution.EAGER,
        *,
        session: Session | None = None,
        terms: tuple[Term, ...] = (),
    ) -> Step:
        recipe = self._recipe(session or Session(Views.HUMAN, LossWeights()), terms)
        pictures = PicturesInMemory(self._photos, held_out=0, device=self.device)
        inputs = Inputs("", "memory", pictures.digest, None, None, None, None)
        trainer = Trainer(
            first_checkpoint(recipe, inputs, pictures=pictures.count, start=None),
            self._folder / "run.pt",
            fabric=self._fabric,
            pictures=pictures,
            teacher=self._teacher,
            masks=self._masks,
            precision=Precision(self._options.precision),
            execution=execution,
        )
        return trainer.steps().__next__

    def _recipe(self, session: Session, terms: tuple[Term, ...]) -> Recipe:
        base, options = default(), self._options
        config = replace(
            base.config,
            channels=options.channels,
            latent_channels=options.latent_channels,
            two_ended=False,
        )
        stage = Stage(
            name="bench",
            length=Length(_ENDLESS),
            batch=options.batch,
            crop=options.crop,
            first_rate=1e-4,
            last_rate=1e-4,
            trained=Trained.EVERYTHING,
            sessions=(session,),
            terms=terms,
        )
        return replace(
            base,
            config=config,
            stages=(stage,),
            held_out=0,
            record_every=_ENDLESS,
            validation_every=_ENDLESS,
            checkpoint_every=_ENDLESS,
        )

    def _compressai(self) -> Step:
        model = ScaleHyperprior(self._options.channels, self._options.latent_channels)
        model = model.to(self.device).train()
        settings = {"net": {"type": "Adam", "lr": 1e-4}, "aux": {"type": "Adam", "lr": 1e-3}}
        optimizers = net_aux_optimizer(model, settings)
        criterion = RateDistortionLoss(lmbda=0.01)
        crops = self._crops()
        lowered = self.precision != torch.float32

        def step() -> object:
            pictures = next(crops)
            for optimizer in optimizers.values():
                optimizer.zero_grad()
            with torch.autocast(self.device.type, dtype=self.precision, enabled=lowered):
                output = _in_float32(model, pictures)
                loss = criterion(output, pictures)["loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizers["net"].step()
            auxiliary = model.aux_loss()
            auxiliary.backward()
            optimizers["aux"].step()
            return loss

        return step

    def _crops(self) -> Iterator[Tensor]:
        order = Order(seed=1, stage=0, batch=self._options.batch, side=self._options.crop)
        pictures = PicturesInMemory(self._photos, held_out=0, device=self.device)
        # As the example's loader gives them: channels first in memory.
        return (batch.pictures.contiguous() for batch in pictures.batches(order, 0))


def _in_float32(model: ScaleHyperprior, pictures: Tensor) -> dict[str, Any]:
    """Run CompressAI's forward with its likelihoods in float32, without which it cannot train."""
    y = model.g_a(pictures).float()
    z = model.h_a(y.abs()).float()
    with torch.autocast(pictures.device.type, enabled=False):
        z_hat, z_likelihoods = model.entropy_bottleneck(z)
    scales = model.h_s(z_hat).float()
    with torch.autocast(pictures.device.type, enabled=False):
        y_hat, y_likelihoods = model.gaussian_conditional(y, scales)
    return {
        "x_hat": model.g_s(y_hat).float(),
        "likelihoods": {"y": y_likelihoods, "z": z_likelihoods},
    }


def _in_turns(
    subjects: dict[str, Step], options: argparse.Namespace, wait: Callable[[], None]
) -> dict[str, list[float]]:
    """Return the seconds of a step of each subject, one figure for each round."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for turn, (name, step) in itertools.product(range(1 + options.rounds), subjects.items()):
        # The first turn warms up, and compiles.
        wait()
        start = time.perf_counter()
        for _ in range(options.steps):
            step()
        wait()
        if turn:
            seconds[name].append((time.perf_counter() - start) / options.steps)
    return seconds


def _table(seconds: dict[str, list[float]], options: argparse.Namespace) -> Table:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    reference = next(iter(medians.values()))
    plain = medians.get("UG-ICM, machine view, no MS-CLIP")
    table = Table(
        title=f"batches of {options.batch} crops of {options.crop}, "
        f"N={options.channels}, M={options.latent_channels}",
        title_justify="left",
    )
    for column in ("", "pictures/s", "of CompressAI's", "added by MS-CLIP"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, median in medians.items():
        added = plain and "machine" in name and name != "UG-ICM, machine view, no MS-CLIP"
        table.add_row(
            name,
            f"{options.batch / median:.2f}",
            f"{reference / median:.2f}x",
            f"{100 * (median / plain - 1):+.0f} %" if added and plain else "",
        )
    return table


if __name__ == "__main__":
    main()
