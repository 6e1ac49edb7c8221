"""Pages are told what happens, also while services come and go."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from tests.console.harness import Running, scene
from tests.security.credentials import tokens_of_every_role
from ugicm.v1 import types_pb2 as types
from ugicm_console import events as console_events
from ugicm_servicekit.roles import Role


@asynccontextmanager
async def following(browser, **query):
    """Yield a function that returns the next event, or the next of a kind."""
    async with browser.stream("GET", "/api/events", params=query) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()

        async def following_event(*kinds):
            async with asyncio.timeout(30):
                async for line in lines:
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                        data = json.loads((await anext(lines)).removeprefix("data: "))
                        if not kinds or kind in kinds:
                            return kind, data
            return None, None

        yield following_event


async def service_state(event, name, state):
    """Return the words with which a service's state is told, once it is."""
    while True:
        kind, data = await event("service")
        assert kind == "service"
        if (data["name"], data["state"]) == (name, state):
            return data["message"]


async def test_a_page_is_told_of_cameras_first_and_then_of_what_is_stored(tmp_path):
    async with Running(tmp_path) as running:
        await running.ingest("gate", scene(), 0)
        async with running.browser() as browser, following(browser) as event:
            _, told = await event("cameras")
            assert [camera["name"] for camera in told["cameras"]] == ["gate"]
            await running.ingest("gate", scene(1), 1, seconds=2)
            _, frame = await event("frame")
            assert frame["key"] == {"camera": "gate", "epoch": "1", "sequence": "1"}
            assert frame["now"] >= frame["store_time"]
            gap = types.Gap(
                camera="gate",
                epoch=1,
                first_sequence=2,
                last_sequence=5,
                reason=types.GAP_REASON_SPOOL_FULL,
            )
            await running.services["decoder"].ingest(gap)
            _, told = await event("gap")
            assert (told["first_sequence"], told["last_sequence"]) == ("2", "5")
            assert told["reason"] == "spool_full"


async def test_a_page_of_one_camera_is_told_of_no_other(tmp_path):
    async with (
        Running(tmp_path) as running,
        running.browser() as browser,
        following(browser, camera="yard") as event,
    ):
        await event("cameras")
        await running.ingest("gate", scene(), 0)
        await running.ingest("yard", scene(), 0)
        assert (await event("frame"))[1]["key"]["camera"] == "yard"


async def test_a_decoder_that_dies_is_told_of_and_so_is_its_return(tmp_path):
    async with (
        Running(tmp_path) as running,
        running.browser() as browser,
        following(browser) as event,
    ):
        await service_state(event, "decoder", "up")
        await running.stop("decoder")
        words = await service_state(event, "decoder", "down")
        assert words == f"the decoder at {running.address('decoder')} is not available"
        answer = await browser.get("/api/cameras")
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == words
        await running.start("decoder")
        await running.ingest("gate", scene(), 0)
        # The same stream of events goes on: no page has to be loaded again.
        await service_state(event, "decoder", "up")
        await running.ingest("gate", scene(1), 1)
        assert (await event("frame"))[1]["key"]["camera"] == "gate"


async def test_other_services_that_go_and_come_are_told_of(tmp_path):
    async with (
        Running(tmp_path) as running,
        running.browser() as browser,
        following(browser) as event,
    ):
        await service_state(event, "analytics", "up")
        await running.stop("analytics")
        assert "analytics" in await service_state(event, "analytics", "down")
        await running.start("analytics")
        await service_state(event, "analytics", "up")


async def test_services_that_are_not_there_by_choice_are_absent(tmp_path):
    async with (
        Running(tmp_path, encoder="", analytics="") as running,
        running.browser() as browser,
        following(browser) as event,
    ):
        await service_state(event, "encoder", "absent")
        await service_state(event, "analytics", "absent")
        assert browser.session["can"] == {"upload": False, "analyze": False, "search": False}
        for refused in (
            await browser.get("/api/analyzers"),
            await browser.post("/api/uploads", content=b"x"),
        ):
            assert refused.status_code == 409
            assert "this console has no" in refused.json()["error"]["message"]
        told = (await browser.get("/api/status")).json()["services"]
        states = {one["name"]: one["state"] for one in told}
        assert (states["encoder"], states["analytics"]) == ("absent", "absent")


async def test_a_withdrawn_token_ends_the_stream_and_says_so(tmp_path):
    tokens = tokens_of_every_role(tmp_path)
    before = tokens.path.read_text()
    leaving = tokens.add(Role.OPERATOR, "leaving")
    async with (
        Running(tmp_path, tokens=tokens) as running,
        running.browser(leaving) as browser,
        following(browser) as event,
    ):
        await event("cameras")
        tokens.path.write_text(before)
        # At its next message the decoder, too, looks again whether the token is known.
        await running.ingest("gate", scene(), 0)
        _, told = await event("ended")
        assert told == {"code": "session_expired", "message": "the token of leaving was withdrawn"}
        assert await event() == (None, None)
        assert (await browser.get("/api/cameras")).status_code == 401


async def test_a_session_that_ends_ends_its_quiet_streams(tmp_path, monkeypatch):
    monkeypatch.setattr(console_events, "_BEAT_SECONDS", 0.01)
    async with (
        Running(tmp_path) as running,
        running.browser() as browser,
        following(browser) as event,
    ):
        await event("cameras")
        assert (await browser.delete("/api/session")).status_code == 204
        assert (await event("ended"))[1]["code"] == "session_expired"


async def test_a_session_follows_only_so_many_streams_and_those_that_ended_do_not_count(tmp_path):
    async with (
        Running(tmp_path, max_streams_per_session=1) as running,
        running.browser() as browser,
    ):
        for _ in range(2):
            async with following(browser) as event:
                await event("cameras")
                refused = await browser.get("/api/events")
                assert refused.status_code == 429
                assert "at most 1 streams" in refused.json()["error"]["message"]
            # The decoder is told that nobody watches any more.
            await running.services["decoder"].server._calls.none()


async def test_streams_end_when_the_console_stops(tmp_path):
    async with (
        Running(tmp_path) as running,
        running.browser() as browser,
        following(browser) as event,
    ):
        await event("cameras")
        running.server.stop()
        while await event() != (None, None):
            pass


async def test_nothing_follows_the_end_of_a_stream():
    page = console_events._Page()
    await page.put("first", b"1")
    page.end()
    await page.put("late", b"2")
    assert [await page.next(), await page.next()] == [b"1", None]
