"""An encoder and a decoder as processes, with tokens, and a client for each who calls them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ugicm.v1 import decoder_pb2, encoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_client.demo.processes import ServiceProcess, started
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.roles import Caller, Role
from ugicm_servicekit.tokens import Token, entry_of, hash_token, new_token

__all__ = [
    "HUMAN",
    "MACHINE",
    "PEERS",
    "System",
    "decode",
    "encode",
    "picture",
    "running",
]

HUMAN = types_pb2.View(preset=types_pb2.VIEW_PRESET_HUMAN)
MACHINE = types_pb2.View(preset=types_pb2.VIEW_PRESET_MACHINE)

# Those who call, each with a token of its own; services treat each as a client.
PEERS = {"camera": Role.CAMERA, "operator": Role.OPERATOR, "pipeline": Role.PIPELINE}
_CAMERA = "load"


@dataclass
class System:
    """Running services.

    Attributes:
        encoders: a stub for each peer, by name.
        decoders: a stub for each peer, by name.
        flood_token: of the peer that floods.
        keys: of the frames that are stored, for whoever decodes.
    """

    encoder: ServiceProcess
    decoder: ServiceProcess
    flood_token: str = field(repr=False)
    encoders: dict[str, EncoderServiceStub] = field(default_factory=dict)
    decoders: dict[str, DecoderServiceStub] = field(default_factory=dict)
    keys: list[types_pb2.FrameKey] = field(default_factory=list)
    _sequences: Iterator[int] = field(default_factory=itertools.count)

    def next_key(self) -> types_pb2.FrameKey:
        """Return a key that no frame has."""
        return types_pb2.FrameKey(camera=_CAMERA, epoch=1, sequence=next(self._sequences))

    def memory(self) -> dict[str, int]:
        """Return the resident bytes of each process."""
        pids = {"encoder": self.encoder.pid, "decoder": self.decoder.pid}
        return {name: _resident_bytes(pid) for name, pid in pids.items()}


@asynccontextmanager
async def running(
    folder: Path, *, model: str, decoder: Sequence[str] = (), encoder: Sequence[str] = ()
) -> AsyncIterator[System]:
    """Start both services, with further flags for either, and connect every peer."""
    access = _tokens(folder / "tokens.toml", {**PEERS, "flood": Role.OPERATOR})
    link = folder / "encoder.token"
    link.touch(mode=0o600)
    link.write_text(access["encoder"].token or "")
    common = ["--models", model, "--tokens", str(folder / "tokens.toml")]
    async with AsyncExitStack() as stack:
        store = ["--store", str(folder / "frames.sqlite3"), *common, *decoder]
        to = await stack.enter_async_context(started("decoder", store, log=folder / "decoder.log"))
        upstream = ["--upstream", to.address, "--upstream-token-file", str(link), *common]
        upstream += encoder
        by = await stack.enter_async_context(
            started("encoder", upstream, log=folder / "encoder.log")
        )
        await asyncio.gather(to.until_serving(), by.until_serving())
        system = System(by, to, access["flood"].token or "")
        for name in (*PEERS, "flood"):
            for address, stub, stubs in (
                (by.address, EncoderServiceStub, system.encoders),
                (to.address, DecoderServiceStub, system.decoders),
            ):
                channel = open_channel(address, access=access[name])
                stubs[name] = stub(await stack.enter_async_context(channel))
        yield system


async def encode(
    system: System, pixels: np.ndarray, key: types_pb2.FrameKey | None, peer: str = "camera"
) -> encoder_pb2.EncodeResponse:
    """Have a picture coded and, where it has a key, stored."""
    height, width, _ = pixels.shape
    sent = types_pb2.Picture(
        format=types_pb2.PIXEL_FORMAT_RGB, height=height, width=width, data=pixels.tobytes()
    )
    request = encoder_pb2.EncodeRequest(picture=sent, key=key, omit_stream=key is not None)
    return await system.encoders[peer].Encode(request)


async def decode(
    system: System, peer: str, view: types_pb2.View, **source: object
) -> tuple[bytes, decoder_pb2.DecodeStatistics]:
    """Read one view to its end; return its pixels, and where the decoder spent its time."""
    request = decoder_pb2.DecodeRequest(views=[view], format=types_pb2.PIXEL_FORMAT_RGB, **source)
    data, statistics = bytearray(), decoder_pb2.DecodeStatistics()
    async for part in system.decoders[peer].Decode(request):
        data += part.chunk
        if part.WhichOneof("part") == "statistics":
            statistics = part.statistics
    return bytes(data), statistics


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Return a picture with a photograph's spectrum, another one for each seed."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    relief = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width))) / frequency)
    grey = 128 + 90 * relief / np.abs(relief).max()
    tinted = grey[..., None] * np.array([1.05, 1.0, 0.9])
    return np.clip(tinted + random.normal(0.0, 2.0, (height, width, 3)), 0, 255).astype(np.uint8)


def _tokens(path: Path, roles: dict[str, Role]) -> dict[str, Access]:
    access, lines = {}, []
    for name, role in {**roles, "encoder": Role.ENCODER}.items():
        secret = new_token()
        cameras = {_CAMERA} if role in (Role.CAMERA, Role.ENCODER) else set()
        lines.append(entry_of(Token(Caller(name, role, frozenset(cameras)), hash_token(secret))))
        access[name] = Access(token=secret)
    path.write_text("".join(lines))
    return access


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
