"""Who is let in, for how long, to what, and from which pages."""

from __future__ import annotations

import logging

import httpx
import pytest

from tests.console.harness import console_in_thread, scene
from tests.security.credentials import tokens_of_every_role
from ugicm_servicekit.roles import Role
from ugicm_servicekit.tokens import new_token

LISTED = "/api/cameras"


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A system that asks for tokens everywhere, and the tokens."""
    folder = tmp_path_factory.mktemp("secured")
    tokens = tokens_of_every_role(folder)
    with console_in_thread(folder, tokens=tokens) as (call, running):
        call(running.ingest("gate", scene()))
        yield running, tokens


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A system without tokens."""
    with console_in_thread(tmp_path_factory.mktemp("opened")) as (call, running):
        call(running.ingest("gate", scene()))
        yield running


@pytest.fixture
def browser(secured):
    with httpx.Client(base_url=secured[0].url, timeout=30) as client:
        yield client


def sign_in(client, token):
    answer = client.post("/api/session", json={"token": token})
    if answer.status_code == 200:
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return answer


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_nothing_is_told_before_a_sign_in(secured, browser):
    for path in (
        LISTED,
        "/api/cameras/gate/frames",
        "/api/frames/gate/1/0",
        "/api/frames/gate/1/0/picture?view=0",
        "/api/frames/gate/1/0/stream",
        "/api/frames/gate/1/0/analysis?view=0",
        "/api/analyzers",
        "/api/results",
        "/api/uploads",
        "/api/events",
        "/api/status",
    ):
        assert error_of(browser.get(path), 401)["code"] == "session_expired", path
    assert error_of(browser.post("/api/uploads", content=b"x"), 401)["code"] == "session_expired"
    assert browser.get("/api/session").json() == {"signed_in": False, "sign_in": "token"}


@pytest.mark.parametrize(
    ("role", "may_upload"), [(Role.OPERATOR, False), (Role.ADMIN, True)], ids=str
)
def test_a_role_sees_what_the_services_let_it_see(secured, browser, role, may_upload):
    told = sign_in(browser, secured[1].secrets[role.value]).json()
    assert (told["name"], told["role"]) == (role.value, role.value)
    assert told["can"] == {"upload": may_upload, "analyze": True, "search": True}
    assert browser.get(LISTED).json()["cameras"][0]["name"] == "gate"
    assert browser.get("/api/frames/gate/1/0/picture?view=0").status_code == 200
    assert browser.get("/api/frames/gate/1/0/analysis?view=0").status_code == 200
    uploaded = browser.post("/api/uploads", content=b"no picture")
    assert uploaded.status_code == (400 if may_upload else 403)


@pytest.mark.parametrize("role", [Role.CAMERA, Role.ENCODER, Role.PIPELINE], ids=str)
def test_roles_that_may_not_look_at_frames_do_not_get_in(secured, browser, role):
    error = error_of(sign_in(browser, secured[1].secrets[role.value]), 403)
    assert error["message"] == f"{role.value} {role.value} may not call ListCameras"
    assert error_of(browser.get(LISTED), 401)["code"] == "session_expired"


def test_a_foreign_token_is_refused_and_written_down_without_it(secured, caplog):
    foreign = new_token()
    # From an address of its own: of one address, a line a second is written.
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    with (
        caplog.at_level(logging.INFO),
        httpx.Client(base_url=secured[0].url, transport=elsewhere, timeout=30) as client,
    ):
        error = error_of(sign_in(client, foreign), 401)
    assert error["code"] == "unauthenticated"
    (line,) = [record for record in caplog.records if record.name == "ugicm.audit"]
    assert "POST /api/session" in line.getMessage()
    assert foreign not in caplog.text


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"token": 7}', b'{"token": "\xc3\xa9"}', b'{"token": "a\\nb"}', b"\xff"]
)
def test_a_sign_in_that_is_none_is_refused(browser, body):
    assert error_of(browser.post("/api/session", content=body), 400)["code"] == "invalid_argument"


def test_a_withdrawn_token_ends_its_session(secured, browser):
    _, tokens = secured
    before = tokens.path.read_text()
    secret = tokens.add(Role.OPERATOR, "leaving")
    assert sign_in(browser, secret).status_code == 200
    assert browser.get(LISTED).status_code == 200
    tokens.path.write_text(before)
    error = error_of(browser.get(LISTED), 401)
    assert (error["code"], error["message"]) == (
        "session_expired",
        "the token of leaving was withdrawn",
    )


def test_signing_out_ends_the_session_for_whoever_kept_its_cookie(secured, browser):
    sign_in(browser, secured[1].secrets["operator"])
    kept = dict(browser.cookies)
    assert browser.delete("/api/session").status_code == 204
    assert dict(browser.cookies) == {}
    with httpx.Client(base_url=browser.base_url, cookies=kept, timeout=30) as other:
        assert error_of(other.get(LISTED), 401)["code"] == "session_expired"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(secured, browser):
    header = sign_in(browser, secured[1].secrets["operator"]).headers["set-cookie"]
    assert header.startswith("ugicm_session=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(header.split("; "))


@pytest.mark.parametrize("presented", [None, "", "é", "wrong"], ids=repr)
def test_a_change_needs_the_sessions_own_csrf_token(opened, presented):
    with httpx.Client(base_url=opened.url, timeout=30) as client:
        client.get("/api/session")
        headers = {} if presented is None else {b"X-CSRF-Token": presented.encode()}
        error = error_of(client.delete("/api/session", headers=headers), 403)
        assert error["code"] == "csrf"
        assert client.get(LISTED).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_site_changes_nothing(secured, browser, headers):
    token = {"token": secured[1].secrets["operator"]}
    error = error_of(browser.post("/api/session", json=token, headers=headers), 403)
    assert error["code"] == "csrf"


def test_a_name_of_another_site_that_points_here_reaches_nothing(opened):
    with httpx.Client(base_url=opened.url, timeout=30) as client:
        client.get("/api/session")
        error = error_of(client.get(LISTED, headers={"Host": "evil.example"}), 403)
        assert "is not known as 'evil.example'" in error["message"]


def test_without_tokens_everybody_has_a_session_and_nobody_signs_in(opened):
    with httpx.Client(base_url=opened.url, timeout=30) as client:
        assert error_of(client.get(LISTED), 401)["code"] == "session_expired"
        told = client.get("/api/session").json()
        assert (told["signed_in"], told["sign_in"], told["role"]) == (True, "none", None)
        assert told["can"]["upload"]
        assert client.get("/api/session").json()["csrf"] == told["csrf"]
        assert client.get(LISTED).status_code == 200
        error_of(client.post("/api/session", json={"token": new_token()}), 401)


@pytest.mark.parametrize("path", ["/", "/static/index.html", "/api/session", LISTED, "/none"])
def test_every_answer_tells_the_browser_to_trust_this_console_only(opened, path):
    answer = httpx.get(opened.url + path, timeout=30)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "server" not in answer.headers
