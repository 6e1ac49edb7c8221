"""What tests ask of the page: pixels that it shows, and where it is."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def launched():
    """Launch the system's Chromium; without one, or without Playwright, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path")
    with playwright.sync_playwright() as running:
        # Without its sandbox, which a container's root may not have: it only meets our own page.
        options = {"executable_path": path, "args": ["--no-sandbox", "--disable-gpu"]}
        browser = running.chromium.launch(**options)
        yield browser
        browser.close()


def picture(page, pane=0):
    """Return the locator of a pane's picture."""
    return page.locator("canvas.picture").nth(pane)


def await_pixel(page, level, *, x=0, y=0, pane=0):
    """Wait until a pixel of a pane's picture has a level of red, within a JPEG's losses."""
    page.wait_for_function(
        """([pane, x, y, level]) => {
            const canvas = document.querySelectorAll("canvas.picture")[pane];
            if (!canvas?.width) return false;
            const [red] = canvas.getContext("2d").getImageData(x, y, 1, 1).data;
            return Math.abs(red - level) <= 8;
        }""",
        arg=[pane, x, y, level],
    )


def await_drawn(page, is_drawn, *, pane=0):
    """Wait until something, or nothing, is drawn over a pane's picture."""
    page.wait_for_function(
        """([pane, isDrawn]) => {
            const canvas = document.querySelectorAll("canvas.drawn")[pane];
            if (!canvas?.width) return !isDrawn;
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            return data.some((level) => level > 0) === isDrawn;
        }""",
        arg=[pane, is_drawn],
    )


def await_sequence(page, sequence):
    """Wait until the camera's page shows a frame, picture and all."""
    page.wait_for_function(
        """(sequence) => {
            const { address = "" } = document.querySelector("canvas.picture")?.dataset ?? {};
            const shown = document.getElementById("main").dataset.sequence;
            return shown === sequence && address.includes(`/${sequence}/picture`);
        }""",
        arg=str(sequence),
    )


def set_view(page, view, *, name="View"):
    """Move a view's slider."""
    page.get_by_role("slider", name=name, exact=True).fill(str(view))
