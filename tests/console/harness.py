"""A real console over a real decoder, encoder and analytics, whose codec and analyzer are known.

The codec is lossless and turns the bits of a picture as the view says: view 1 is the negative of
view 0. The analyzer finds the bright part of a picture. So every view's pixels and findings can be
foretold.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import numpy as np

from tests.analytics.harness import analyzing
from tests.decoder.harness import decoding
from tests.encoder.harness import encoding
from tests.fake_codec import FakeCodec
from tests.ports import free_port
from ugicm.v1 import types_pb2 as types
from ugicm_analyzers.protocol import AnalyzerInfo, Box, Detection, Findings, Mask, Task
from ugicm_console.main import serve
from ugicm_console.settings import ConsoleSettings
from ugicm_console.web_server import WebServer
from ugicm_servicekit.access import Access
from ugicm_servicekit.readiness import State
from ugicm_servicekit.wire import nanoseconds_to_wire

BRIGHT = 200
START_SECONDS = 1_700_000_000


class Bright:
    """Finds the box, and the pixels, that are bright: none where nothing is."""

    info = AnalyzerInfo(
        name="bright", task=Task.DETECT, version="1", labels=("bright",), minimum_score=0.0
    )

    def load(self):
        pass

    def analyze(self, pictures, labels):
        return [Findings(detections=_bright_part(picture)) for picture in pictures]


def _bright_part(picture):
    is_bright = picture.mean(axis=2) >= BRIGHT
    if not is_bright.any():
        return ()
    rows, columns = np.nonzero(is_bright.any(axis=1))[0], np.nonzero(is_bright.any(axis=0))[0]
    box = Box(*map(float, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))
    score = float(picture[is_bright].mean()) / 255
    return (Detection("bright", score, box, Mask(_runs(is_bright))),)


def _runs(is_inside):
    """Return COCO's run lengths: down the columns, beginning with what is outside."""
    flat = np.concatenate([[False], is_inside.flatten(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], changes, [len(flat) - 1]])
    return tuple(int(length) for length in np.diff(ends))


def scene(number=0, *, height=48, width=64):
    """Return a dark picture with a bright square, further to the right for larger numbers."""
    picture = np.full((height, width, 3), 40, np.uint8)
    left = (8 * number) % (width - 16)
    picture[8:24, left : left + 16] = (250, 240, 230)
    return picture


class Running:
    """A whole system, whose services can be stopped and started again on their ports.

    With ``metrics``, all but the console serve them too.
    """

    def __init__(self, folder, *, tokens=None, metrics=False, **settings):
        self._folder = Path(folder)
        self._tokens = tokens
        self._settings = settings
        self._ports = {name: free_port() for name in ("decoder", "encoder", "analytics")}
        self._metrics_ports = {name: free_port() if metrics else None for name in self._ports}
        self._stacks = {}
        self.services = {}
        self.codec = FakeCodec()
        self.server = None
        self.url = None
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        for name in ("decoder", "encoder", "analytics"):
            await self.start(name)
        chosen = {
            **{name: self.address(name) for name in self._ports},
            **{
                f"{name}_metrics": f"127.0.0.1:{port}"
                for name, port in self._metrics_ports.items()
                if port is not None
            },
            "port": 0,
            "tokens": self._path_of_tokens(),
            **self._settings,
        }
        settings = ConsoleSettings(**chosen)
        self.server = WebServer(settings)
        port = await self.server.listen()
        scheme = "https" if settings.tls_cert else "http"
        self.url = f"{scheme}://127.0.0.1:{port}"
        serving = asyncio.create_task(serve(settings, self.server))
        self._stack.push_async_callback(self._end, serving)
        started = asyncio.ensure_future(self.server.serving.wait())
        await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        return self

    async def __aexit__(self, *error):
        await self._stack.aclose()
        for name in list(self._stacks):
            await self.stop(name)

    async def _end(self, serving):
        self.server.stop()
        try:
            await serving
        finally:
            await self.server.close()

    def address(self, name):
        return f"127.0.0.1:{self._ports[name]}"

    async def start(self, name):
        """Start ``decoder``, ``encoder`` or ``analytics`` on its port, with what it had."""
        stack = self._stacks[name] = AsyncExitStack()
        common = {
            "port": self._ports[name],
            "metrics_port": self._metrics_ports[name],
            "tokens": self._path_of_tokens(),
        }
        if name == "decoder":
            access = self._access()
            started = decoding(self._folder, self.codec, access=access, drain_seconds=0.0, **common)
        elif name == "encoder":
            started = encoding(self.codec, **common)
        else:
            started = analyzing(
                {"bright": Bright()},
                decoder=self.address("decoder"),
                results=self._folder / "results.sqlite",
                upstream_token_file=self._token_file("admin"),
                **common,
            )
        self.services[name] = await stack.enter_async_context(started)

    async def stop(self, name):
        await self._stacks.pop(name).aclose()

    async def until_ready(self):
        """Return once the console has reached every service."""
        readiness = self.server.readiness
        while readiness.state is not State.READY:
            await readiness.changed()

    async def ingest(self, camera, picture, sequence=0, *, epoch=1, seconds=0):
        """Store a frame, as an encoder would; its capture is ``seconds`` after the start."""
        frame = types.Frame(
            key=types.FrameKey(camera=camera, epoch=epoch, sequence=sequence),
            capture_time=nanoseconds_to_wire(round(1e9 * (START_SECONDS + seconds))),
            stream=self.codec.encode(picture),
        )
        (answer,) = await self.services["decoder"].ingest(frame)
        assert answer.WhichOneof("outcome") == "result", answer

    @asynccontextmanager
    async def browser(self, token=None, **options):
        """Yield what asks as a browser does: with cookies, and the CSRF token where it must."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30, **options) as client:
            if token is not None:
                session = (await client.post("/api/session", json={"token": token})).json()
            else:
                session = (await client.get("/api/session")).json()
            if session.get("signed_in"):
                client.headers["X-CSRF-Token"] = session["csrf"]
            client.session = session
            yield client

    def _path_of_tokens(self):
        return None if self._tokens is None else self._tokens.path

    def _access(self):
        return Access() if self._tokens is None else self._tokens.access("admin")

    def _token_file(self, name):
        if self._tokens is None:
            return None
        path = self._folder / f"{name}.token"
        path.write_text(self._tokens.secrets[name])
        return path


@contextmanager
def console_in_thread(folder, **options):
    """Run a system on a loop of its own, for tests that wait without one, as Playwright's do.

    Yields a function that runs a coroutine there and returns its result, and the system:
    ``call(running.ingest("gate", scene(1)))``.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="console", daemon=True)
    thread.start()

    def call(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    async def made():
        return Running(folder, **options)

    running = call(made())
    call(running.__aenter__())
    try:
        yield call, running
    finally:
        call(running.__aexit__(None, None, None))
        call(loop.shutdown_asyncgens())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
