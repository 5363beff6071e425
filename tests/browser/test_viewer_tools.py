"""The viewer's tools in a browser: windows and distances."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from playwright.sync_api import expect

from tests.browser.stacks import slices
from tests.browser.viewing import drawn, grey, middle, open_viewer, until
from tests.builders import new_uid

Store = Callable[..., None]


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
    address = page.evaluate("location.search")
    center, width = parse_qs(address.removeprefix("?"))["window"][0].split(",")[:2]
    assert abs(float(width) - 256) < 1
    until(page, "document.querySelector('.pane').dataset.address.includes('window=')")
    until(page, "!document.querySelector('.pane').dataset.address.includes('quality')")
    assert grey(page, 0.47, 0.47) < before
    page.reload()
    until(page, "document.querySelector('.pane')?.dataset.drawn === '39'")
    expect(page.get_by_label("Window center")).to_have_value(center)


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

    expect(page.locator(".result")).to_have_text(re.compile(r"^Distance [\d.]+ mm$"))
    said = page.locator(".result").inner_text()
    assert abs(float(said.split()[1]) - 50) < 0.6
    # It stays with its pixels when the picture is turned and made larger.
    page.get_by_role("button", name="Turn right").click()
    page.get_by_role("button", name="Larger").click()
    page.mouse.move(x, y)
    expect(page.locator(".result")).to_have_text(said)


def test_a_distance_is_measured_with_keys_alone(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.locator(".pane").first.focus()

    page.keyboard.press("m")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")

    expect(page.locator(".result")).to_have_text("Distance 20.0 mm")


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

    said = "Distance 30.0 mm (at the detector, larger than in the body)"
    expect(page.locator(".result")).to_have_text(said)


def test_a_distance_without_a_spacing_is_in_pixels(page: Any, study: str) -> None:
    open_viewer(page, study)
    drawn(page, 0)
    page.keyboard.press("PageDown")
    page.locator(".where", has_text="Series 2 of 3").wait_for()
    drawn(page, 0)
    page.locator(".pane").first.focus()

    for key in ("m", "Enter", *["Shift+ArrowDown"] * 2, "Enter"):
        page.keyboard.press(key)

    said = "Distance 20.0 px (the object does not say how large a pixel is)"
    expect(page.locator(".result")).to_have_text(said)
