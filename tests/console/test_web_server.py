"""The console lives as the other services do: TLS, probes, draining, a process of its own."""

from __future__ import annotations

import asyncio
import signal
import ssl

import httpx
import pytest

from tests.console.harness import Running, scene
from tests.decoder.harness import started
from tests.security.credentials import Authority, tokens_of_every_role
from ugicm_console.main import serve
from ugicm_console.settings import ConsoleSettings
from ugicm_console.web_server import WebServer
from ugicm_servicekit.errors import BadSettings, CannotListen
from ugicm_servicekit.metrics import REGISTRY


def trusting(authority):
    return ssl.create_default_context(cafile=authority.ca)


async def test_with_tls_the_cookie_is_this_hosts_and_travels_encrypted_only(tmp_path):
    authority = Authority(tmp_path)
    files = authority.issue("console")
    tls = {"tls_cert": files.cert, "tls_key": files.key}
    async with (
        Running(tmp_path, **tls) as running,
        httpx.AsyncClient(base_url=running.url, verify=trusting(authority), timeout=30) as browser,
    ):
        answer = await browser.get("/api/session")
        header = answer.headers["set-cookie"]
        assert header.startswith("__Host-ugicm_session=")
        assert "Secure" in header.split("; ")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert (await browser.get("/api/cameras")).status_code == 200


async def test_new_certificates_are_in_use_after_a_reload(tmp_path):
    authority, successor = Authority(tmp_path), Authority(tmp_path, "successor")
    files = authority.issue("console")
    tls = {"tls_cert": files.cert, "tls_key": files.key}
    async with Running(tmp_path, **tls) as running:
        successor.replace(files)
        await running.server.reloader.reload()
        async with httpx.AsyncClient(verify=trusting(successor), timeout=30) as browser:
            assert (await browser.get(running.url)).status_code == 200


async def test_an_answer_that_is_under_way_is_finished_before_the_end(tmp_path):
    async with Running(tmp_path) as running, running.browser() as browser:
        await running.ingest("gate", scene())
        running.codec.go_on.clear()
        asked = asyncio.create_task(browser.get("/api/frames/gate/1/0/picture?view=0"))
        await asyncio.to_thread(running.codec.held_up.wait, 60)
        running.server.stop()
        running.codec.go_on.set()
        assert (await asked).status_code == 200


async def test_a_browser_that_leaves_stops_the_decoders_work(tmp_path):
    async with Running(tmp_path) as running, running.browser() as browser:
        await running.ingest("gate", scene())
        running.codec.go_on.clear()
        asked = asyncio.create_task(browser.get("/api/frames/gate/1/0/picture?view=0"))
        await asyncio.to_thread(running.codec.held_up.wait, 60)
        asked.cancel()
        # What held it up still does: the call is given up, not finished.
        await running.services["decoder"].server._calls.none()
        running.codec.go_on.set()


async def test_pages_of_one_user_share_a_picture_that_one_of_them_leaves(tmp_path):
    tokens = tokens_of_every_role(tmp_path)
    operator, admin = (tokens.secrets[role] for role in ("operator", "admin"))
    async with (
        Running(tmp_path, tokens=tokens) as running,
        running.browser(operator) as page,
        running.browser(operator) as other_page,
        running.browser(admin) as page_of_another_user,
    ):
        await running.ingest("gate", scene())
        asked, joined = pictures("asked"), pictures("joined")
        running.codec.go_on.clear()
        path = "/api/frames/gate/1/0/picture?view=0"
        first = asyncio.create_task(page.get(path))
        await asyncio.to_thread(running.codec.held_up.wait, 60)
        others = [
            asyncio.create_task(each.get(path)) for each in (other_page, page_of_another_user)
        ]
        async with asyncio.timeout(30):
            while (pictures("asked") - asked, pictures("joined") - joined) != (2, 1):
                await page.get("/api/session")
        first.cancel()
        running.codec.go_on.set()
        assert [(await each).status_code for each in others] == [200, 200]


def pictures(outcome):
    name = "ugicm_page_pictures_total"
    return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0


async def test_a_console_that_still_starts_says_so():
    server = WebServer(ConsoleSettings(port=0))
    port = await server.listen()
    try:
        async with httpx.AsyncClient(timeout=30) as browser:
            answer = await browser.get(f"http://127.0.0.1:{port}/api/cameras")
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "the service is still starting"
        with pytest.raises(CannotListen, match="cannot listen on"):
            await WebServer(ConsoleSettings(port=port)).listen()
    finally:
        await server.close()


async def test_users_tokens_go_to_other_machines_by_tls_only(tmp_path):
    tokens = tokens_of_every_role(tmp_path)
    settings = ConsoleSettings(port=0, tokens=tokens.path, decoder="192.0.2.1:50052")
    server = WebServer(settings)
    await server.listen()
    try:
        with pytest.raises(BadSettings, match=r"by TLS only, not to 192\.0\.2\.1:50052"):
            await serve(settings, server)
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "needs TLS and tokens"),
        ({"decoder": "nowhere"}, "decoder is host:port, got 'nowhere'"),
    ],
)
async def test_settings_that_cannot_be_are_refused(settings, words):
    chosen = ConsoleSettings(port=0, **settings)
    with pytest.raises(BadSettings, match=words):
        await serve(chosen, WebServer(chosen))


async def test_the_process_answers_probes_and_ends_when_told(tmp_path):
    port_file = tmp_path / "port"
    arguments = ("--port", "0", "--metrics-port", "0", "--port-file", str(port_file))
    nowhere = ("--decoder", "127.0.0.1:9", "--encoder", "", "--analytics", "")
    async with started("-m", "ugicm_console", *arguments, *nowhere) as (process, address):
        assert port_file.read_text() == address.rpartition(":")[2] + "\n"
        async with httpx.AsyncClient(timeout=30) as browser:
            assert (await browser.get(f"http://{address}/")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert not port_file.exists()


async def test_metrics_tell_requests_by_route_and_no_camera(tmp_path):
    async with Running(tmp_path, metrics_port=0) as running, running.browser() as browser:
        await running.ingest("gate-7", scene())
        await browser.get("/api/frames/gate-7/1/0")
        async with httpx.AsyncClient(timeout=30) as scraper:
            at = f"http://127.0.0.1:{running.server.metrics_port}"
            metrics = (await scraper.get(f"{at}/metrics")).text
            ready = await scraper.get(f"{at}/readyz")
        route = "GET /api/frames/{camera}/{epoch}/{sequence}"
        assert f'ugicm_http_requests_total{{route="{route}",status="200"}}' in metrics
        assert "ugicm_sessions 1.0" in metrics
        assert "gate-7" not in metrics
        assert ready.status_code == 200
