"""The viewer in a browser: with wheel, keys and drags, and without any script."""

import io
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from conformance.server import Server
from conformance.shown_objects import shown
from tests.browser.checks import overflows, violations
from tests.browser.stacks import cine, level, slices
from tests.builders import new_uid

Store = Callable[..., None]
DRAWN = "n => document.querySelector('.pane')?.dataset.drawn === String(n)"
SECONDS = 15


@pytest.fixture(scope="module")
def study(server: Server) -> str:
    """A study of 40 slices, a cine of 6 frames, and 20 slices through the same body."""
    from conformance.objects import multipart

    study, series = new_uid(), [new_uid() for _ in range(3)]
    objects = [
        *slices(40, study=study, series=series[0], SeriesNumber=1),
        cine(study=study, series=series[1]),
        *slices(
            20, study=study, series=series[2], gap=4, SeriesNumber=3, SeriesDescription="Thick",
            frame_of_reference=f"{series[0]}.1",
        ),
    ]  # fmt: skip
    answer = httpx.post(
        f"{server.dicomweb}/studies",
        content=multipart(objects),
        headers={
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part',
            "Accept": "application/dicom+json",
        },
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return study


def open_viewer(page: Any, study: str, query: str = "") -> Any:
    page.goto(f"/studies/{study}/viewer{query}")
    return page.locator(".pane").first.locator("canvas")


def drawn(page: Any, position: int) -> None:
    until(page, DRAWN, position)


def until(page: Any, condition: str, given: Any = None) -> None:
    """Waits until the page says so; by the debugger, as its own policy allows no scripts out of texts."""
    last = time.monotonic() + SECONDS
    while not page.evaluate(condition, given):
        assert time.monotonic() < last, condition
        page.wait_for_timeout(20)


def middle(canvas: Any, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
    box = canvas.bounding_box()
    return box["x"] + box["width"] * across, box["y"] + box["height"] * down


def grey(page: Any, across: float = 0.5, down: float = 0.5, pane: int = 0) -> int:
    """The level of the canvas at a place, as it is drawn."""
    found: int = page.evaluate(
        "([n, x, y]) => { const c = document.querySelectorAll('.pane canvas')[n]; return c"
        ".getContext('2d').getImageData(Math.floor(c.width * x), Math.floor(c.height * y), 1, 1).data[0]; }",
        [pane, across, down],
    )
    return found


def test_the_wheel_scrolls_through_each_slice(page: Any, study: str) -> None:
    canvas = open_viewer(page, study)
    drawn(page, 0)
    page.mouse.move(*middle(canvas))

    for number in range(1, 40):
        page.mouse.wheel(0, 100)
        drawn(page, number)
        # The upper left quarter of the frame tells which slice it is (a JPEG may be off by little).
        assert abs(grey(page, 0.47, 0.47) - level(number + 1)) <= 4

    assert "Instance 40/40" in page.locator(".corner.bottom-left").first.inner_text()
    until(page, "location.search.includes('instance=')")


def test_what_comes_next_is_fetched_before_it_is_asked_for(page: Any, study: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_viewer(page, study)
    drawn(page, 0)
    page.wait_for_load_state("networkidle")

    frames = {url for url in asked if "/rendered" in url}

    assert 20 <= len(frames) < 40


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
    assert "Lossy" in page.locator(".corner.bottom-left").first.inner_text()
    page.keyboard.press("PageUp")
    page.locator(".where", has_text="Series 1 of 3").wait_for()


def test_every_key_is_listed_and_has_a_button(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    page.keyboard.press("?")

    dialog = page.get_by_role("dialog")
    listed = dialog.locator("td:last-child").all_inner_texts()
    assert len(listed) >= 30
    buttons = page.locator("[data-command]").all_inner_texts()
    for name in listed:
        assert any(one.startswith(name) for one in buttons), name
    assert violations(page) == []
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_viewer_is_accessible_and_not_wider_than_its_window(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    assert violations(page) == []
    assert not overflows(page)
    assert page.title() == "Viewer · dicomweb_box"
    assert "Not for diagnostic use" in page.locator("main").inner_text()
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_the_window_follows_a_drag_and_the_address_follows_the_window(page: Any, study: str) -> None:
    canvas = open_viewer(page, study)
    drawn(page, 0)
    page.keyboard.press("End")
    drawn(page, 39)
    before = grey(page, 0.47, 0.47)
    page.keyboard.press("w")
    page.mouse.move(*middle(canvas))

    page.mouse.down()
    page.mouse.move(*middle(canvas, 0.5, 0.8), steps=5)
    page.mouse.up()

    until(page, "Number(new URLSearchParams(location.search).get('window')?.split(',')[0]) > 128")
    center, width = parse_qs(urlsplit(page.url).query)["window"][0].split(",")[:2]
    assert abs(float(width) - 256) < 1
    until(page, "document.querySelector('.pane').dataset.address.includes('window=')")
    until(page, "!document.querySelector('.pane').dataset.address.includes('quality')")
    assert grey(page, 0.47, 0.47) < before
    page.reload()
    until(page, "document.querySelector('.pane')?.dataset.drawn === '39'")
    assert page.get_by_label("Window center").input_value() == center


def test_a_preset_and_typed_numbers_change_the_window(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)

    page.get_by_role("button", name="Lung").click()
    until(page, "document.querySelector('.pane').dataset.address.includes('window=-600,1500')")
    page.get_by_label("Window center").fill("4")
    page.get_by_label("Window width").fill("2")
    page.get_by_role("button", name="Show").click()
    until(page, "document.querySelector('.pane').dataset.address.includes('window=4,2')")
    page.get_by_role("button", name="Automatic").click()
    until(page, "document.querySelector('.pane').dataset.address.includes('linear-exact')")
    page.get_by_role("button", name="Reset").click()
    until(page, "!document.querySelector('.pane').dataset.address.includes('window')")


def test_a_distance_is_measured_in_millimetres(page: Any, study: str) -> None:
    canvas = open_viewer(page, study)
    drawn(page, 0)
    page.get_by_role("button", name="Measure").click()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    # Of the frame 64 mm across and 128 mm down, fitted into the canvas.
    millimetre = min(box["width"] / 64, box["height"] / 128)
    x, y = middle(canvas)

    page.mouse.move(x - 15 * millimetre, y - 20 * millimetre)
    page.mouse.down()
    page.mouse.move(x + 15 * millimetre, y + 20 * millimetre, steps=4)
    page.mouse.up()

    said = page.locator(".result").inner_text()
    assert re.fullmatch(r"Distance [\d.]+ mm", said)
    assert abs(float(said.split()[1]) - 50) < 0.6
    # It stays with its pixels when the picture is turned and made larger.
    page.get_by_role("button", name="Turn right").click()
    page.get_by_role("button", name="Larger").click()
    page.mouse.move(x, y)
    assert said == page.locator(".result").inner_text()


def test_a_distance_is_measured_with_keys_alone(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.locator(".pane").first.focus()

    page.keyboard.press("m")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")

    assert page.locator(".result").inner_text() == "Distance 20.0 mm"


def test_a_distance_at_the_detector_says_so(page: Any, store: Store) -> None:
    study = new_uid()
    store(
        *slices(
            1, study=study, series=new_uid(), Modality="DX", PixelSpacing=None, ImagerPixelSpacing=["1", "1"]
        )
    )
    open_viewer(page, study)
    drawn(page, 0)
    page.locator(".pane").first.focus()

    for key in ("m", "Enter", *["Shift+ArrowRight"] * 3, "Enter"):
        page.keyboard.press(key)

    said = page.locator(".result").inner_text()
    assert said == "Distance 30.0 mm (at the detector, larger than in the body)"


def test_a_distance_without_a_spacing_is_in_pixels(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.keyboard.press("PageDown")
    page.locator(".where", has_text="Series 2 of 3").wait_for()
    drawn(page, 0)
    page.locator(".pane").first.focus()

    for key in ("m", "Enter", *["Shift+ArrowDown"] * 2, "Enter"):
        page.keyboard.press(key)

    said = page.locator(".result").inner_text()
    assert said == "Distance 20.0 px (the object does not say how large a pixel is)"


def test_a_cine_plays_at_its_own_speed_and_goes_round(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.keyboard.press("PageDown")
    page.locator(".where", has_text="Series 2 of 3").wait_for()
    assert page.get_by_label("Frames a second").input_value() == "25"

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

    def letters() -> list[str]:
        return [
            page.locator(f".corner.{edge}").first.inner_text() for edge in ("left", "top", "right", "bottom")
        ]

    assert letters() == ["R", "A", "L", "P"]
    page.keyboard.press(".")
    until(page, "document.querySelector('.corner.right').textContent === 'A'")
    assert letters() == ["P", "R", "A", "L"]
    page.keyboard.press("h")
    until(page, "document.querySelector('.corner.right').textContent === 'P'")
    assert letters() == ["A", "R", "P", "L"]
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
    assert page.locator(".pane").nth(1).get_attribute("data-position") == "5"


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

    for _ in range(5):
        page.keyboard.press("ArrowRight")

    assert "instance 1 of 40" in page.get_by_role("status").inner_text()
    page.get_by_role("status").filter(has_text="instance 6 of 40").wait_for()


def test_documents_reports_and_films_are_shown_in_place(page: Any, store: Store) -> None:
    made = shown()
    store(*(one.data for one in made.values()))
    study = made["image"].dataset.StudyInstanceUID

    def at(name: str) -> Any:
        page.goto(f"/studies/{study}/viewer?series={made[name].dataset.SeriesInstanceUID}")
        return page.locator(".pane .body").first

    assert "Röntgen" in at("report").frame_locator("iframe").locator("body").inner_text()
    assert at("pdf").locator("iframe").get_attribute("src").endswith("/rendered")
    assert at("video").locator("video").get_attribute("controls") is not None
    page.locator(f".strip [data-series='{made['image'].dataset.SeriesInstanceUID}']").click()
    page.locator(".pane canvas").first.wait_for()
    # The film is a stub: Chromium says that it cannot play it, which is no fault of the page.
    page.told[:] = [one for one in page.told if "video" not in one and "media" not in one.lower()]


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
    assert overflows(plain_page) is False
    plain_page.get_by_role("link", name="Next frame").click()
    assert plain_page.locator("#frame").get_attribute("alt") == "Frame 1 of 1, instance 2 of 40"
    plain_page.get_by_label("Window center").fill("8")
    plain_page.get_by_label("Window width").fill("2")
    plain_page.get_by_role("button", name="Show").click()
    assert plain_page.locator("#frame").get_attribute("src").partition("?")[2].startswith("window=8,2&")
    until(plain_page, "document.querySelector('#frame').naturalWidth > 0")
    plain_page.get_by_role("link", name="Next series").click()
    plain_page.get_by_label("Frame", exact=True).fill("6")
    plain_page.get_by_role("button", name="Show").click()
    assert plain_page.locator("#frame").get_attribute("alt") == "Frame 6 of 6, instance 1 of 1"
    plain_page.get_by_role("link", name="Study", exact=True).click()
    assert plain_page.get_by_role("heading", level=1).inner_text() == "Viewer, Vera"
