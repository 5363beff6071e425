"""The viewer in a browser: with wheel, keys and drags, and without any script."""

import io
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
import pytest
from PIL import Image
from playwright.sync_api import expect
from pydicom.data import get_testdata_file

from conformance.shown_objects import shown
from tests.browser.checks import overflows, violations
from tests.browser.stacks import level
from tests.browser.viewing import SECONDS, drawn, grey, middle, open_viewer, until

Store = Callable[..., None]


def test_the_wheel_scrolls_through_each_slice(page: Any, study: str) -> None:
    canvas = open_viewer(page, study)
    drawn(page, 0)
    page.mouse.move(*middle(canvas))

    for number in range(1, 40):
        page.mouse.wheel(0, 100)
        drawn(page, number)
        # The upper left quarter of the frame tells which slice it is (a JPEG may be off by little).
        assert abs(grey(page, 0.47, 0.47) - level(number + 1)) <= 4

    expect(page.locator(".corner.bottom-left").first).to_contain_text("Instance 40/40")
    until(page, "location.search.includes('instance=')")


def test_what_comes_next_is_fetched_before_it_is_asked_for(page: Any, study: str) -> None:
    frames: set[str] = set()
    page.on("request", lambda one: frames.add(urlsplit(one.url).path) if "/rendered" in one.url else None)
    open_viewer(page, study)
    drawn(page, 0)

    last = time.monotonic() + SECONDS
    while len(frames) < 20:
        assert time.monotonic() < last, frames
        page.wait_for_timeout(20)
    page.wait_for_load_state("networkidle")
    assert len(frames) < 40


def test_scrolling_faster_than_pictures_come_ends_at_the_last_frame(page: Any, study: str) -> None:
    canvas = open_viewer(page, study)
    drawn(page, 0)
    page.mouse.move(*middle(canvas))

    for _ in range(39):
        page.mouse.wheel(0, 100)

    drawn(page, 39)
    assert abs(grey(page, 0.47, 0.47) - level(40)) <= 4


def test_keys_move_by_frame_instance_and_series(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    page.keyboard.press("ArrowRight")
    drawn(page, 1)
    page.keyboard.press("ArrowDown")
    drawn(page, 2)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    drawn(page, 0)
    page.keyboard.press("End")
    drawn(page, 39)
    page.keyboard.press("PageDown")
    page.locator(".where", has_text="Series 2 of 3").wait_for()
    drawn(page, 0)
    expect(page.locator(".corner.bottom-left").first).to_contain_text("Lossy")
    page.keyboard.press("PageUp")
    page.locator(".where", has_text="Series 1 of 3").wait_for()


def test_every_key_is_listed_and_has_a_button(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    page.keyboard.press("?")

    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    listed = dialog.locator("td:last-child").all_inner_texts()
    assert len(listed) >= 30
    expect(page.locator("[data-command]").first).to_be_attached()
    buttons = page.locator("[data-command]").all_inner_texts()
    for name in listed:
        assert any(one.startswith(name) for one in buttons), name
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_the_viewer_is_accessible_and_not_wider_than_its_window(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    assert violations(page) == []
    assert not overflows(page)
    expect(page).to_have_title("Viewer · dicomweb_box")
    expect(page.locator("main")).to_contain_text("Not for diagnostic use")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_a_cine_plays_at_its_own_speed_and_goes_round(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.keyboard.press("PageDown")
    page.locator(".where", has_text="Series 2 of 3").wait_for()
    expect(page.get_by_label("Frames a second")).to_have_value("25")

    page.evaluate(
        "() => { window.seen = []; new MutationObserver(() => { const n ="
        " document.querySelector('.pane').dataset.drawn; if (seen.at(-1) !== n) seen.push(n); })"
        ".observe(document.querySelector('.pane'), {attributes: true}); }"
    )
    page.keyboard.press(" ")
    until(page, "seen.length > 8")
    page.keyboard.press(" ")

    seen = [int(one) for one in page.evaluate("seen") if one]
    assert all((after - before) % 6 == 1 for before, after in pairwise(seen)), seen


def test_invert_turn_mirror_and_the_letters_follow(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    def letters(*expected: str) -> None:
        for edge, letter in zip(("left", "top", "right", "bottom"), expected, strict=True):
            expect(page.locator(f".corner.{edge}").first).to_have_text(letter)

    letters("R", "A", "L", "P")
    page.keyboard.press(".")
    letters("P", "R", "A", "L")
    page.keyboard.press("h")
    letters("A", "R", "P", "L")
    page.keyboard.press("i")
    page.locator(".pane.inverted").wait_for()
    page.keyboard.press("r")
    until(page, "document.querySelector('.corner.right').textContent === 'L'")
    until(page, "!document.querySelector('.pane.inverted')")
    page.keyboard.press("o")
    page.locator(".corner.top-left").first.wait_for(state="hidden")


def test_two_series_scroll_together_by_where_they_are(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.keyboard.press("2")
    page.locator(".pane").nth(1).click()
    page.locator(".strip a").nth(2).click()
    page.locator(".where", has_text="Series 3 of 3").wait_for()
    page.locator(".pane").nth(0).click()

    for _ in range(10):
        page.keyboard.press("ArrowRight")

    # The tenth slice of 2 mm lies at 20 mm, as does the fifth of 4 mm.
    drawn(page, 10)
    until(page, "document.querySelectorAll('.pane')[1].dataset.drawn === '5'")
    # What is said is written into the address at the same time, once it is quiet.
    until(page, "document.querySelector('#said').textContent.includes('instance 11 of')")
    page.wait_for_url(re.compile("layout=2"))
    page.reload()
    until(page, "document.querySelectorAll('.pane')[1]?.dataset.drawn === '5'")
    page.keyboard.press("l")
    page.keyboard.press("ArrowRight")
    drawn(page, 11)
    expect(page.locator(".pane").nth(1)).to_have_attribute("data-position", "5")


def test_four_pictures_are_accessible(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    page.keyboard.press("4")

    until(page, "[...document.querySelectorAll('.pane')].every(one => one.dataset.drawn === '0')")
    assert violations(page) == []
    assert not overflows(page)


def test_a_screen_reader_hears_where_it_is_once_it_is_quiet(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.get_by_role("status").filter(has_text="instance 1 of 40").wait_for()

    page.evaluate(
        "() => { window.heard = []; const said = document.querySelector('#said');"
        " new MutationObserver(() => heard.push(said.textContent)).observe(said, {childList: true});"
        # All at once: however busy the machine is, no pause comes between them.
        " for (let n = 0; n < 5; n++) document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true})); }"
    )

    page.get_by_role("status").filter(has_text="instance 6 of 40").wait_for()
    heard = page.evaluate("heard")
    assert all("instance 6 of 40" in one for one in heard), heard


def test_documents_reports_and_films_are_shown_in_place(page: Any, store: Store) -> None:
    made = shown()
    store(*(one.data for one in made.values()))
    study = made["image"].dataset.StudyInstanceUID

    def at(name: str) -> Any:
        page.goto(f"/studies/{study}/viewer?series={made[name].dataset.SeriesInstanceUID}")
        return page.locator(".pane .body").first

    expect(at("report").frame_locator("iframe").locator("body")).to_contain_text("Röntgen")
    expect(at("pdf").locator("iframe")).to_have_attribute("src", re.compile("/rendered$"))
    expect(at("video").locator("video")).to_have_attribute("controls", "")
    page.locator(f".strip [data-series='{made['image'].dataset.SeriesInstanceUID}']").click()
    page.locator(".pane canvas").first.wait_for()
    # The film is a stub: Chromium says that it cannot play it, which is no fault of the page.
    page.excused += ["video", "media", "Media", "MEDIA"]


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_palette.dcm", "JPEG2000.dcm"]
)
def test_real_objects_are_shown(page: Any, store: Store, name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not bundled")
    store(Path(path).read_bytes())
    open_viewer(page, pydicom.dcmread(path).StudyInstanceUID)

    drawn(page, 0)
    picture = Image.open(io.BytesIO(page.locator(".pane canvas").first.screenshot())).convert("L")

    assert len(set(picture.tobytes())) > 20


def test_one_walks_through_a_study_without_scripts(plain_page: Any, study: str) -> None:
    plain_page.goto(f"/studies/{study}")
    plain_page.get_by_role("link", name="View", exact=True).click()
    frame = plain_page.locator("#frame")
    expect(frame).to_have_attribute("alt", "Frame 1 of 1, instance 1 of 40")
    assert overflows(plain_page) is False
    plain_page.get_by_role("link", name="Next frame").click()
    expect(frame).to_have_attribute("alt", "Frame 1 of 1, instance 2 of 40")
    plain_page.get_by_label("Window center").fill("8")
    plain_page.get_by_label("Window width").fill("2")
    plain_page.get_by_role("button", name="Show").click()
    expect(frame).to_have_attribute("src", re.compile(r"\?window=8,2&"))
    until(plain_page, "document.querySelector('#frame').naturalWidth > 0")
    plain_page.get_by_role("link", name="Next series").click()
    expect(frame).to_have_attribute("alt", "Frame 1 of 6, instance 1 of 1")
    plain_page.get_by_label("Frame", exact=True).fill("6")
    plain_page.get_by_role("button", name="Show").click()
    expect(frame).to_have_attribute("alt", "Frame 6 of 6, instance 1 of 1")
    plain_page.get_by_role("link", name="Study", exact=True).click()
    expect(plain_page.get_by_role("heading", level=1)).to_have_text("Viewer, Vera")
