"""Send photos through the three services, and keep what comes out."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ugicm.v1 import decoder_pb2, encoder_pb2
from ugicm_client.annotation import Finding, findings_of
from ugicm_client.camera import CameraClient, SentFrame
from ugicm_client.demo.contact_sheet import Row, draw_contact_sheet, make_row
from ugicm_client.demo.processes import ServiceProcess, started
from ugicm_client.errors import PictureError, ProcessError, ServiceError, SourceError
from ugicm_client.files import Existing, write_atomically
from ugicm_client.operator import OperatorClient
from ugicm_client.pictures import Pixels, picture_bytes, read_picture
from ugicm_client.pipeline import PipelineClient
from ugicm_codec.views import HUMAN, MACHINE

__all__ = ["Result", "run_demo"]

T = TypeVar("T")

_CAMERA = "demo"
_MAX_ROWS = 20
# Below it, the embedded detectors are wrong about as often as right.
_MINIMUM_SCORE = 0.75


@dataclass(frozen=True)
class Result:
    """What is reported of one photo.

    Attributes:
        found: how many of each label.
        encode_seconds: inside the encoder, without waiting.
        decode_seconds: inside the decoder, both views, without waiting.
        analyze_seconds: of all analyzers together.
    """

    name: str
    height: int
    width: int
    num_bytes: int
    bits_per_pixel: float
    human_psnr: float
    machine_psnr: float
    found: dict[str, int]
    encode_seconds: float
    decode_seconds: float
    analyze_seconds: float


@dataclass(frozen=True)
class _Clients:
    camera: CameraClient
    operator: OperatorClient
    pipeline: PipelineClient


async def run_demo(
    photos: Sequence[Path],
    out: Path,
    *,
    quality: int,
    advance: Callable[[], None],
    on_bad_photo: Callable[[PictureError | OSError], None],
) -> list[Result]:
    """Stream the photos through services of their own, and write everything below ``out``.

    Args:
        photos: picture files.
        out: gets ``streams/``, ``human/``, ``machine/``, ``logs/`` and ``contact-sheet.png``;
            files of these names are replaced.
        quality: 0 to 100.
        advance: called once when the services have started, and once for each photo.
        on_bad_photo: told of each photo that cannot be read, which is then passed over.

    Raises:
        SourceError: no photo can be read.
        ClientError: a service fails.
    """
    for folder in ("streams", "human", "machine", "logs"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    name_of = _names(photos)
    taken: list[tuple[str, Pixels]] = []
    # One photo at a time, so that its times are not those of sharing processors with the next.
    free = asyncio.Semaphore(1)

    async def images() -> AsyncIterator[Pixels]:
        for photo in photos:
            try:
                image = await asyncio.to_thread(read_picture, photo)
            except (PictureError, OSError) as error:
                on_bad_photo(error)
                continue
            await free.acquire()
            taken.append((name_of[photo], image))
            yield image

    results: list[Result] = []
    rows: list[Row] = []
    async with _services(out / "logs") as clients:
        advance()
        sent_frames = clients.camera.stream(images(), camera=_CAMERA, quality=quality)
        async with aclosing(sent_frames):
            async for sent in sent_frames:
                name, original = taken.pop()
                result, row = await _follow(clients, sent, name, original, out)
                results.append(result)
                rows += [row] if len(rows) < _MAX_ROWS else []
                advance()
                free.release()
    if not rows:
        raise SourceError("no photo can be read")
    sheet = draw_contact_sheet(
        rows,
        title="One stream, two views",
        subtitle=f"{len(rows)} photos at quality {quality}: camera to encoder to decoder, "
        "whose machine view analytics looks at",
    )
    _write(out / "contact-sheet.png", picture_bytes(sheet, "png"))
    return results


@asynccontextmanager
async def _services(logs: Path) -> AsyncIterator[_Clients]:
    async with AsyncExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ugicm-demo-")))

        async def start(service: str, *arguments: str) -> ServiceProcess:
            log = logs / f"{service}.log"
            return await stack.enter_async_context(started(service, arguments, log=log))

        decoder = await start("decoder", "--store", str(state / "frames.sqlite"))
        encoder, analytics = await _together(
            start("encoder", "--upstream", decoder.address),
            start(
                "analytics",
                *("--decoder", decoder.address, "--results", str(state / "results.sqlite")),
            ),
        )
        await _together(*(each.until_serving() for each in (decoder, encoder, analytics)))
        yield _Clients(
            await stack.enter_async_context(CameraClient(encoder.address)),
            await stack.enter_async_context(OperatorClient(decoder.address)),
            await stack.enter_async_context(PipelineClient(analytics.address)),
        )


async def _together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """Return the results in order; the first error ends the others, cleanups included."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _follow(
    clients: _Clients, sent: SentFrame, name: str, original: Pixels, out: Path
) -> tuple[Result, Row]:
    """Ask the decoder and analytics for one frame, and write its files."""
    coded = sent.outcome
    if isinstance(coded, ServiceError):
        raise coded
    if coded.delivery != encoder_pb2.DELIVERY_STORED:
        delivery = encoder_pb2.Delivery.Name(coded.delivery)
        raise ProcessError(f"the encoder did not hand {name} on to the decoder: {delivery}")
    stream = await clients.operator.stream(sent.key)
    decoded = await clients.operator.decode(sent.key, [HUMAN, MACHINE])
    analysis = await clients.pipeline.analyze(sent.key, view=MACHINE, minimum_score=_MINIMUM_SCORE)

    for analyzer in analysis.results:
        if analyzer.HasField("failure"):
            raise ServiceError(f"{analyzer.analyzer} failed on {name}: {analyzer.failure.message}")

    human, machine = decoded.images
    _write(out / "streams" / f"{name}.ugi", stream)
    _write(out / "human" / f"{name}.png", picture_bytes(human, "png"))
    _write(out / "machine" / f"{name}.png", picture_bytes(machine, "png"))

    findings = findings_of(analysis)
    result = Result(
        name=name,
        height=coded.info.height,
        width=coded.info.width,
        num_bytes=coded.info.num_bytes,
        bits_per_pixel=coded.info.bits_per_pixel,
        human_psnr=_psnr(original, human),
        machine_psnr=_psnr(original, machine),
        found=dict(sorted(Counter(finding.label for finding in findings).items())),
        encode_seconds=coded.statistics.encode_seconds,
        decode_seconds=_decode_seconds(decoded.statistics),
        analyze_seconds=sum(analyzer.seconds for analyzer in analysis.results),
    )
    return result, _row(result, original, human, machine, findings)


def _row(
    result: Result, original: Pixels, human: Pixels, machine: Pixels, findings: Sequence[Finding]
) -> Row:
    found = ", ".join(f"{count} {label}" for label, count in result.found.items())
    times = (
        f"encode {1000 * result.encode_seconds:.0f} ms, "
        f"decode both {1000 * result.decode_seconds:.0f} ms, "
        f"analyze {1000 * result.analyze_seconds:.0f} ms"
    )
    difference = float(np.mean(np.abs(human.astype(np.int16) - machine)))
    return make_row(
        original,
        human,
        machine,
        findings=findings,
        captions=(
            (result.name, f"{result.width} x {result.height} pixels"),
            (
                f"{result.bits_per_pixel:.3f} bits per pixel, {result.num_bytes:,} bytes",
                f"PSNR {result.human_psnr:.2f} dB",
            ),
            (
                f"from the same bytes; found: {found or 'nothing'}",
                f"PSNR {result.machine_psnr:.2f} dB",
            ),
            (f"{difference:.2f} levels on average", times),
        ),
    )


def _names(photos: Sequence[Path]) -> dict[Path, str]:
    """Return the photos' stems, or their whole names where stems are shared."""
    count = Counter(photo.stem for photo in photos)
    return {photo: photo.stem if count[photo.stem] == 1 else photo.name for photo in photos}


def _decode_seconds(statistics: decoder_pb2.DecodeStatistics) -> float:
    return statistics.latents_seconds + statistics.synthesis_seconds


def _psnr(a: Pixels, b: Pixels) -> float:
    error = float(np.mean(np.square(a.astype(np.float64) - b)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, data, existing=Existing.REPLACE)
