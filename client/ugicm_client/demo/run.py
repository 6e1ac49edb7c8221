"""Send photos through the three services, and keep what comes out."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ugicm.v1 import decoder_pb2, encoder_pb2
from ugicm_client.annotation import Finding, findings_of
from ugicm_client.camera import SentFrame
from ugicm_client.demo.contact_sheet import Row, draw_contact_sheet, make_row
from ugicm_client.demo.system import Clients
from ugicm_client.errors import (
    PictureError,
    ProcessError,
    ServiceError,
    ServiceRefused,
    SourceError,
)
from ugicm_client.files import Existing, write_atomically
from ugicm_client.operator import OperatorClient
from ugicm_client.pictures import Pixels, picture_bytes, read_picture
from ugicm_codec.views import HUMAN, MACHINE
from ugicm_servicekit.wire import FrameKey

__all__ = ["Result", "run_demo"]

_CAMERA = "demo"
_MAX_ROWS = 20
_SPOOL_SECONDS = 60.0
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


async def run_demo(
    photos: Sequence[Path],
    out: Path,
    clients: Clients,
    *,
    quality: int,
    advance: Callable[[], None],
    on_bad_photo: Callable[[PictureError | OSError], None],
) -> list[Result]:
    """Stream the photos through a system, and write everything below ``out``.

    Args:
        photos: picture files.
        out: gets ``streams/``, ``human/``, ``machine/`` and ``contact-sheet.png``; files of these
            names are replaced.
        clients: of the system.
        quality: 0 to 100.
        advance: called once for each photo.
        on_bad_photo: told of each photo that cannot be read, which is then passed over.

    Raises:
        SourceError: no photo can be read.
        ClientError: a service fails.
    """
    for folder in ("streams", "human", "machine"):
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


async def _follow(
    clients: Clients, sent: SentFrame, name: str, original: Pixels, out: Path
) -> tuple[Result, Row]:
    """Ask the decoder and analytics for one frame, and write its files."""
    coded = sent.outcome
    if isinstance(coded, ServiceError):
        raise coded
    if coded.delivery not in (encoder_pb2.DELIVERY_STORED, encoder_pb2.DELIVERY_SPOOLED):
        delivery = encoder_pb2.Delivery.Name(coded.delivery)
        raise ProcessError(f"the encoder did not hand {name} on to the decoder: {delivery}")
    stream = await _stored(clients.operator, sent.key, name)
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


async def _stored(operator: OperatorClient, key: FrameKey, name: str) -> bytes:
    """Return a frame's stream, as soon as the spool has handed it on."""
    try:
        async with asyncio.timeout(_SPOOL_SECONDS):
            while True:
                try:
                    return await operator.stream(key)
                except ServiceRefused as refusal:
                    if refusal.status != "NOT_FOUND":
                        raise
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ProcessError(
            f"the decoder does not have {name} {_SPOOL_SECONDS:.0f} s after the encoder spooled it"
        ) from None


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
