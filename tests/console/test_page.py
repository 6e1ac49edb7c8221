"""The page, in a real browser, over real services: what it shows is what they have."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.console.harness import START_SECONDS, console_in_thread, scene
from tests.console.page import await_drawn, await_pixel, await_sequence, picture, set_view
from tests.fake_codec import FakeCodec

DARK, BRIGHT = 40, 250
NUM_FRAMES = 4
HOSTILE = "<img src=x onerror='window.hacked=1'>"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A system with four frames of one camera, of which the bright square moves; 3 is missing."""
    folder = tmp_path_factory.mktemp("page")
    with console_in_thread(folder, metrics=True, max_upload_bytes=100_000) as (call, running):
        for number in (0, 1, 2, 4):
            call(running.ingest("gate", scene(number), number, seconds=number))
        running.call = call
        yield running


@pytest.fixture
def at(open_page, system):
    return lambda path="", **options: open_page(f"{system.url}/#/{path}", **options)


def test_cameras_appear_on_the_wall_with_their_figures(at, expect):
    card = at().locator("[data-camera=gate]")
    expect(card.get_by_role("heading")).to_have_text("gate")
    stream = FakeCodec().encode(scene(4))
    expect(card).to_contain_text(f"{8 * len(stream) / (48 * 64):.3f}")
    expect(card).to_contain_text("1.0 fps")
    expect(card).to_contain_text("1 missing")
    expect(card.locator("canvas")).to_have_attribute("data-address", re.compile("/gate/1/4/"))


def test_the_wall_follows_new_frames_and_new_cameras(at, system, expect):
    page = at()
    expect(page.locator("[data-camera=gate]")).to_be_visible()
    system.call(system.ingest("yard", scene(0), 0, seconds=0))
    shown = page.locator("[data-camera=yard] canvas")
    expect(shown).to_have_attribute("data-address", re.compile("/yard/1/0/"))
    system.call(system.ingest("yard", scene(1), 1, seconds=1))
    expect(shown).to_have_attribute("data-address", re.compile("/yard/1/1/"))


def test_the_slider_changes_pixels_and_findings(at, expect):
    page = at("camera/gate/1/2")
    await_pixel(page, DARK)
    found = page.get_by_role("region", name="Findings, view")
    expect(found).to_contain_text("human view")
    expect(found).to_contain_text(f"bright {240 / 255:.2f}")
    set_view(page, 1)
    await_pixel(page, 255 - DARK)
    # In the negative it is the ground that is bright.
    expect(found).to_contain_text("machine view")
    expect(found).to_contain_text(f"bright {(255 - DARK) / 255:.2f}")


def test_moving_the_slider_decodes_no_latents_again(at, system, expect):
    page = at("camera/gate/1/1")
    await_pixel(page, DARK)
    before = system.codec.calls["decode_latents"]
    assert before
    set_view(page, 0.5)
    expect(picture(page)).to_have_attribute("data-address", re.compile("view=0.5"))
    expect(picture(page)).to_have_attribute("data-latents", "cached")
    assert system.codec.calls["decode_latents"] == before


def test_findings_are_drawn_and_switched(at):
    page = at("camera/gate/1/2")
    await_drawn(page, True)
    page.get_by_role("checkbox", name="Detections").uncheck()
    await_drawn(page, True)
    page.get_by_role("checkbox", name="Masks").uncheck()
    await_drawn(page, False)
    page.get_by_role("checkbox", name="Detections").check()
    await_drawn(page, True)
    page.get_by_label("Least score of detections").fill("1")
    await_drawn(page, False)


@pytest.mark.parametrize("mode", ["Wipe", "Side by side"])
def test_two_views_of_one_stream_are_compared(at, expect, mode):
    page = at("camera/gate/1/2")
    page.get_by_role("button", name=mode).click()
    await_pixel(page, DARK)
    await_pixel(page, 255 - DARK, pane=1)
    expect(page.get_by_role("region", name="Findings, second view")).to_contain_text("machine view")
    set_view(page, 0, name="Second view")
    await_pixel(page, DARK, pane=1)


def test_the_edge_of_a_wipe_moves_by_keyboard(at, expect):
    page = at("camera/gate/1/2")
    page.get_by_role("button", name="Wipe").click()
    edge = page.get_by_role("slider", name="Edge between the two pictures")
    expect(edge).to_have_attribute("aria-valuenow", "50")
    edge.press("ArrowRight")
    expect(edge).to_have_attribute("aria-valuenow", "52")


def test_zooming_goes_down_to_single_exact_pixels(at, expect):
    page = at("camera/gate/1/2")
    await_pixel(page, DARK)
    page.get_by_role("button", name="1:1").click()
    expect(page.get_by_text("100 %")).to_be_visible()
    page.get_by_role("button", name="Zoom in").click()
    expect(page.get_by_text("200 %")).to_be_visible()
    assert (
        picture(page).evaluate("canvas => getComputedStyle(canvas).imageRendering") == "pixelated"
    )
    expect(picture(page)).to_have_attribute("data-address", re.compile("format=png"))
    shown = picture(page).evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, 64, 48).data]"
    )
    np.testing.assert_array_equal(np.reshape(shown, (48, 64, 4))[..., :3], scene(2))
    # While the slider moves a JPEG will do; the pixels come when it rests.
    with page.expect_response(re.compile("view=1&format=jpeg")):
        set_view(page, 1)
    expect(picture(page)).to_have_attribute("data-address", re.compile("view=1&format=png"))


def test_stream_and_picture_are_downloaded(at):
    page = at("camera/gate/1/2?view=1")
    await_pixel(page, 255 - DARK)
    with page.expect_download() as stream:
        page.get_by_role("button", name="Download stream").click()
    assert stream.value.suggested_filename == "gate-1-2.ugi"
    assert stream.value.path().read_bytes() == FakeCodec().encode(scene(2))
    with page.expect_download() as machine_view:
        page.get_by_role("button", name="Download picture").click()
    downloaded = Image.open(machine_view.value.path())
    np.testing.assert_array_equal(np.asarray(downloaded), 255 - scene(2))


def test_the_time_line_scrubs_steps_and_plays(at, expect):
    page = at("camera/gate")
    await_sequence(page, 4)
    expect(page.get_by_text("1 missing in 1 gap")).to_be_visible()
    time = page.get_by_role("slider", name="Time of the frame")
    time.press("Home")
    await_sequence(page, 0)
    time.fill(str(START_SECONDS + 0.8))
    await_sequence(page, 1)
    page.get_by_role("button", name="Next").click()
    await_sequence(page, 2)
    page.get_by_role("button", name="Previous").click()
    await_sequence(page, 1)
    assert page.url.endswith("#/camera/gate/1/1")
    play = page.get_by_role("button", name="Play")
    play.click()
    await_sequence(page, 4)
    expect(play).to_have_attribute("aria-pressed", "false")


def test_a_camera_is_followed_until_its_reader_steps_back(at, system):
    system.call(system.ingest("lane", scene(0), 0, seconds=0))
    page = at("camera/lane")
    await_sequence(page, 0)
    system.call(system.ingest("lane", scene(1), 1, seconds=1))
    await_sequence(page, 1)
    page.keyboard.press("ArrowLeft")
    await_sequence(page, 0)
    page.keyboard.press("m")
    await_pixel(page, 255 - DARK)
    page.keyboard.press("l")
    await_sequence(page, 1)


def test_what_was_stored_before_its_follower_was_heard_is_shown_too(at, system):
    system.call(system.ingest("alley", scene(0), 0, seconds=0))
    page = at()
    held = []
    page.route("**/api/events", lambda route: held.append(route))
    page.goto(f"{system.url}/#/camera/alley")
    page.reload()
    await_sequence(page, 0)
    assert held
    system.call(system.ingest("alley", scene(1), 1, seconds=1))
    for one in held:
        one.continue_()
    await_sequence(page, 1)


def test_a_page_that_is_left_before_it_is_there_does_not_come_later(at, system, expect):
    page = at()
    expect(page.locator("[data-camera=gate]")).to_be_visible()
    held = []
    page.route("**/api/analyzers", lambda route: held.append(route))
    for sequence in (1, 2):
        page.goto(f"{system.url}/#/camera/gate/1/{sequence}")
        while len(held) < sequence:
            page.wait_for_timeout(10)
    held[1].continue_()
    await_sequence(page, 2)
    expect(page.get_by_role("region", name="Findings, view")).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)


def test_an_analysis_that_nobody_could_make_is_asked_for_again(at, system, expect):
    page = at()
    error = {"code": "unavailable", "message": "the decoder behind it cannot be reached"}
    refuses = True

    def refuse(route):
        if refuses:
            route.fulfill(status=503, json={"error": error})
        else:
            route.continue_()

    page.route("**/analysis?*", refuse)
    page.goto(f"{system.url}/#/camera/gate/1/2")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    refuses = False
    expect(page.get_by_role("region", name="Findings, view")).to_contain_text("bright 0.94")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_search_lands_on_the_frame_that_was_found(at, system, expect):
    page = at()
    search = page.get_by_role("link", name="Search")
    expect(search).to_be_visible()  # and so there is a session
    for number in (1, 2):  # what is found in stored frames is kept
        found = page.request.get(f"{system.url}/api/frames/gate/1/{number}/analysis?view=1")
        assert found.status == 200
    search.click()
    page.get_by_label("Label").fill("bright")
    page.get_by_label("Camera").fill("gate")
    page.get_by_label("View").select_option("Machine")
    page.get_by_role("button", name="Search").click()
    results = page.locator(".results .card")
    expect(results.first).to_contain_text("frame 2")
    expect(results.first).to_contain_text("bright 0.84")
    results.first.get_by_role("link").click()
    await_sequence(page, 2)
    await_pixel(page, 255 - DARK)
    page.goto(f"{system.url}/#/search?label=bright&minimum_score=0.99")
    expect(page.get_by_text("Nothing was found.")).to_be_visible()


def chosen(data, name="mine.png"):
    return {"name": name, "mimeType": "image/png", "buffer": data}


def png_of(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_an_upload_is_shown_as_original_human_machine_and_jpeg(at, expect):
    page = at("upload")
    page.get_by_label("Picture (").set_input_files(chosen(png_of(scene(1))))
    page.get_by_role("button", name="Encode").click()
    stream = len(FakeCodec().encode(scene(1)))
    cards = page.locator(".four .card")
    expect(cards).to_have_count(4)
    expect(cards.nth(0)).to_contain_text(f"{len(png_of(scene(1)))} B")
    for view in (1, 2):
        expect(cards.nth(view)).to_contain_text(f"{stream} B")
    expect(cards.nth(3)).to_contain_text("JPEG")
    await_pixel(page, DARK)
    await_pixel(page, 255 - DARK, pane=1)
    page.get_by_label("Left").select_option("Original")
    expect(picture(page)).to_have_attribute("data-address", re.compile("/original$"))
    expect(page.get_by_role("region", name="Findings, view")).to_contain_text("original")


def test_an_upload_keeps_to_its_byte_budget(at, expect):
    page = at("upload")
    page.get_by_label("Picture (").set_input_files(chosen(png_of(scene(1))))
    page.get_by_role("button", name="Byte budget").click()
    page.get_by_label("Bytes at most").fill("10")
    page.get_by_role("button", name="Encode").click()
    expect(page.get_by_role("alert")).to_contain_text("the smallest has")
    page.get_by_label("Bytes at most").fill("5000")
    page.get_by_role("button", name="Encode").click()
    expect(page.locator(".four .card")).to_have_count(4)
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"\x89PNG\r\n\x1a\nbroken", "picture", id="broken"),
        pytest.param(bytes(100_001), "the most is 100 kB", id="huge"),
    ],
)
def test_a_bad_upload_is_explained(at, expect, data, message):
    page = at("upload")
    page.get_by_label("Picture (").set_input_files(chosen(data))
    page.get_by_role("button", name="Encode").click()
    expect(page.get_by_role("alert")).to_contain_text(message)
    expect(page.get_by_role("button", name="Encode")).to_be_enabled()


def test_an_unknown_frame_is_explained(at, expect):
    page = at("camera/gate/1/99")
    expect(page.get_by_role("alert")).to_contain_text("no frame gate/1/99")
    page.goto(page.url.replace("99", "2"))
    await_sequence(page, 2)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_status_shows_every_service(at, system, expect):
    page = at("camera/gate/1/99")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(f"{system.url}/#/status")
    for service in ("decoder", "encoder", "analytics", "console"):
        expect(page.locator(f"[data-service={service}]")).to_contain_text("ready")
    decoder = page.locator("[data-service=decoder]")
    expect(decoder).to_contain_text(b"fakefake".hex())
    for figure in ("waiting for decoding", "frame store", "NOT_FOUND"):  # of the frame that is none
        expect(decoder).to_contain_text(figure)
    for figure in ("waiting for encoding", "frames and gaps waiting"):
        expect(page.locator("[data-service=encoder]")).to_contain_text(figure)


def test_a_hostile_name_in_the_address_stays_text(at, expect):
    page = at(f"camera/{HOSTILE}/1/0")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    assert page.evaluate("window.hacked") is None


def test_a_hostile_name_from_a_service_stays_text(open_page, system, expect):
    page = open_page("about:blank")
    key = f'{{"camera": "{HOSTILE}", "epoch": "1", "sequence": "0"}}'
    camera = f'{{"name": "{HOSTILE}", "newest": {key}, "oldest_time": 0, "newest_time": 0}}'
    # No service stores such a name, so it is put between the console and the page.
    body = f'event: cameras\ndata: {{"cameras": [{camera}], "now": 0}}\n\n'
    page.route(
        "**/api/events", lambda route: route.fulfill(content_type="text/event-stream", body=body)
    )
    page.goto(system.url)
    expect(page.locator(".card h2")).to_have_text(HOSTILE)
    assert page.evaluate("window.hacked") is None


PATHS = ("", "camera/gate/1/2", "search", "upload", "status")


@pytest.mark.parametrize("path", PATHS)
def test_every_page_fits_a_phone_and_names_its_controls(at, expect, path):
    page = at(path, viewport={"width": 360, "height": 740})
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, a, [role=slider], [role=img]")]
            .filter((each) => !each.hasAttribute("aria-label") && !each.textContent.trim()
                && !each.labels?.[0]?.textContent.trim())
            .map((each) => each.outerHTML)"""
    )
    assert not unnamed


def test_colours_follow_the_system_until_they_are_chosen(at):
    page = at(color_scheme="dark")

    def ground():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = ground()
    page.get_by_label("Colours").select_option("Light")
    light = ground()
    assert light != dark
    page.reload()
    assert ground() == light
