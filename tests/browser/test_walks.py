"""Whole ways through the pages: a newcomer's first one, and one without a mouse."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from conformance.server import Server, started
from tests.browser.conftest import opened
from tests.builders import make_instance

MOST_CLICKS, MOST_TABS = 5, 80


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `make run` starts: a server with the sample objects."""
    with started(tmp_path_factory.mktemp("fresh") / "data", "--demo") as running:
        yield running


def test_a_newcomer_sees_a_study_of_their_own_within_five_clicks(
    browser: Any, fresh: Server, tmp_path: Path
) -> None:
    own = tmp_path / "mine.dcm"
    own.write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    clicks = 0
    with opened(browser, fresh) as page:
        began = time.monotonic()
        page.goto("/")

        def click(*, role: str, name: str) -> None:
            nonlocal clicks
            clicks += 1
            page.get_by_role(role, name=name, exact=True).first.click()

        click(role="link", name="Upload")
        click(role="button", name="Begin an upload")
        page.wait_for_url("**/upload/*")  # with what hears of files that are chosen
        clicks += 1  # "Choose files", and the file in the browser's own window
        page.get_by_label("Files or zip archives").set_input_files(own)
        page.locator("#live table tbody a").first.wait_for()
        clicks += 1
        page.locator("#live table tbody a").first.click()
        click(role="link", name="View")
        page.wait_for_url("**/viewer**")
        page.locator(".pane[data-drawn='0']").wait_for()
        print(f"\nfrom the first page to the picture: {clicks} clicks, {time.monotonic() - began:.1f} s")

    assert clicks <= MOST_CLICKS


def focus(page: Any, selector: str) -> None:
    """Goes on by the Tab key until the element is reached."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"{selector} is not reached by the Tab key")


def test_everything_is_reached_without_a_mouse(page: Any, store: Callable[..., None]) -> None:
    store(
        make_instance(
            PatientName="Keys^Kim", PatientID="KEYS-1", AccessionNumber="KEYS", StudyDescription="By keys"
        )
    )
    page.goto("/studies")
    page.keyboard.press("/")
    page.locator("[data-search]:focus").wait_for()
    page.keyboard.type("keys-1")
    page.wait_for_url("**q=keys-1**")
    page.locator("tbody a", has_text="Keys, Kim").first.wait_for()

    focus(page, "tbody a[href^='/studies/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/*")
    study = page.url
    focus(page, "a[href*='/viewer']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/viewer**")
    page.locator(".pane[data-drawn='0']").wait_for()
    page.keyboard.press("i")
    page.goto(study)

    focus(page, "input[name='add']")
    page.keyboard.type("by-keys")
    page.keyboard.press("Enter")
    page.locator(".label, .chip", has_text="by-keys").first.wait_for()

    page.goto(study)
    focus(page, "a[href*='application/zip']")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".zip")
