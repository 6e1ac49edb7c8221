"""A browser for the tests of the console's page."""

from __future__ import annotations

import pytest

from tests.console.page import launched


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium; a module's, because Playwright keeps this thread's loop for itself."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def expect(chromium):
    """Playwright's assertions, which wait for what they expect."""
    from playwright.sync_api import expect  # installed, or there were no chromium

    expect.set_options(timeout=30_000)
    return expect


@pytest.fixture
def open_page(chromium):
    """Open the console in a fresh browser context; at the end, no script may have failed."""
    contexts, failures = [], []

    def open_at(url, **options):
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda line: failures.append(line.text) if is_ours(line) else None)
        page.goto(url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not failures


def is_ours(line):
    """Say whether a console line tells of a mistake in the page, not of an answer like 404."""
    return line.type == "error" and "Failed to load resource" not in line.text
