"""Who may see the page, and what it says when a session or a service is gone."""

from __future__ import annotations

import re

import pytest

from tests.console.harness import console_in_thread, scene
from tests.console.page import await_pixel, set_view
from tests.security.credentials import tokens_of_every_role
from ugicm_servicekit.roles import Role


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A system that asks for tokens, with one frame."""
    folder = tmp_path_factory.mktemp("access")
    tokens = tokens_of_every_role(folder)
    with console_in_thread(folder, tokens=tokens) as (call, running):
        call(running.ingest("gate", scene(), 0))
        running.call = call
        running.tokens = tokens
        yield running


def sign_in(page, secret):
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()


def test_a_page_asks_for_a_token_and_goes_where_it_was_to_go(open_page, system, expect):
    page = open_page(f"{system.url}/#/camera/gate/1/0")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.request.get(f"{system.url}/api/frames/gate/1/0/picture?view=0").status == 401
    sign_in(page, system.tokens.secrets["operator"])
    await_pixel(page, 40)
    expect(page.get_by_text("operator (operator)")).to_be_visible()
    assert page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("role", ["camera", "encoder", "pipeline"])
def test_a_token_of_another_role_is_refused(open_page, system, expect, role):
    page = open_page(system.url)
    sign_in(page, system.tokens.secrets[role])
    expect(page.get_by_role("alert")).to_contain_text(role)
    expect(page.locator(".card")).to_have_count(0)


def test_a_foreign_token_is_refused(open_page, system, expect):
    page = open_page(system.url)
    sign_in(page, "ugicm_" + "x" * 43)
    expect(page.get_by_role("alert")).to_contain_text("token")
    expect(page.get_by_label("Token")).to_have_value("")


def test_operators_are_offered_what_they_may_do(open_page, system, expect):
    page = open_page(system.url)
    sign_in(page, system.tokens.secrets["operator"])
    navigation = page.get_by_role("navigation")
    expect(navigation.get_by_role("link", name="Search")).to_be_visible()
    expect(navigation.get_by_role("link", name="Upload")).to_have_count(0)
    page.goto(f"{system.url}/#/upload")
    expect(page.get_by_text("your role may not encode")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, system.tokens.secrets["admin"])
    expect(page.get_by_label("Picture (")).to_be_visible()


def test_a_session_that_ended_asks_for_a_token_again(open_page, system, expect):
    page = open_page(f"{system.url}/#/camera/gate/1/0")
    sign_in(page, system.tokens.secrets["operator"])
    await_pixel(page, 40)
    page.context.clear_cookies()  # what an expired cookie is to the browser
    set_view(page, 1)
    expect(page.get_by_role("alert")).to_contain_text("session")
    sign_in(page, system.tokens.secrets["operator"])
    await_pixel(page, 255 - 40)  # with the view that was asked for last


def test_a_withdrawn_token_ends_the_session_on_the_page(open_page, system, expect):
    before = system.tokens.path.read_text()
    page = open_page(system.url)
    sign_in(page, system.tokens.add(Role.OPERATOR, "leaving"))
    expect(page.locator("[data-camera=gate]")).to_be_visible()
    system.tokens.path.write_text(before)
    # What is stored next is not told any more.
    system.call(system.ingest("gate", scene(1), 1))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("[data-camera=gate]")).to_have_count(0)


def test_a_decoder_that_dies_is_shown_and_recovers_without_a_reload(open_page, system, expect):
    page = open_page(f"{system.url}/#/camera/gate/1/0")
    sign_in(page, system.tokens.secrets["operator"])
    await_pixel(page, 40)
    page.evaluate("window.isSamePage = true")
    system.call(system.stop("decoder"))
    gone = page.get_by_role("alert").filter(has_text=re.compile("decoder .* is not available"))
    expect(gone.first).to_be_visible()
    set_view(page, 1)
    system.call(system.start("decoder"))
    await_pixel(page, 255 - 40)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert page.evaluate("window.isSamePage")
