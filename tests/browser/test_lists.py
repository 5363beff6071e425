"""Lists, searched as one types, and ticks that come together in a selection."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from conformance.server import Server
from tests.browser.checks import overflows, violations
from tests.browser.conftest import WIDE, opened
from tests.builders import make_instance, new_uid

Store = Callable[..., None]


@pytest.fixture
def knees(store: Store) -> str:
    """Three studies of a patient nobody else has; the Patient ID."""
    patient = f"LIST-{new_uid().rsplit('.', 1)[-1]}"
    for number, part in enumerate(("Knee left", "Knee right", "Chest")):
        store(
            make_instance(
                PatientID=patient,
                PatientName="Lister^Lina",
                StudyDescription=part,
                StudyDate=f"2026010{number + 1}",
                AccessionNumber=f"{patient}-{number}",
            )
        )
    return patient


def rows(page: Any) -> Any:
    return page.locator("table.list tbody tr")


def test_it_finds_while_one_types_and_the_address_follows(page: Any, knees: str) -> None:
    page.goto("/studies")
    page.keyboard.press("/")
    page.keyboard.type(f"{knees} knee")

    page.wait_for_url(re.compile(r"q=.*knee"))
    expect(page.get_by_role("status").get_by_text("2 studies")).to_be_visible()
    expect(rows(page)).to_have_count(2)
    assert violations(page) == []
    assert not overflows(page)
    page.reload()
    expect(rows(page)).to_have_count(2)


def test_a_window_of_1280_pixels_shows_every_column_of_the_studies(
    browser: Any, server: Server, knees: str
) -> None:
    with opened(browser, server, size=WIDE) as page:
        page.goto(f"/studies?q={knees}")
        page.get_by_role("status").get_by_text("3 studies").wait_for()
        hidden = page.locator(".scroll").evaluate("table => table.scrollWidth - table.clientWidth")
        assert hidden == 0


def test_it_searches_sorts_and_selects_without_scripts(plain_page: Any, knees: str) -> None:
    page = plain_page
    page.goto("/studies")
    page.get_by_role("searchbox").fill(f"{knees} knee")
    page.get_by_role("button", name="Search").click()
    expect(rows(page)).to_have_count(2)

    page.goto(f"/studies?q={knees}&orderby=StudyDate")
    expect(rows(page).first).to_contain_text("Knee left")
    rows(page).nth(0).get_by_role("checkbox").check()
    rows(page).nth(2).get_by_role("checkbox").check()
    page.get_by_role("button", name="Update the selection").click()
    expect(page.get_by_role("region", name="Selection")).to_contain_text("2 studies")
    expect(page).to_have_url(re.compile(f"q={knees}"))
    page.get_by_role("link", name="Summary").click()
    expect(page.locator("main")).to_contain_text("2 instances in 2 series of 2 studies")
    page.get_by_role("button", name="Take study 1 out").click()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Clear the selection").click()
    expect(rows(page).first).to_be_visible()  # of all studies again
    expect(page.get_by_role("button", name="Clear the selection")).to_have_count(0)
    expect(page.get_by_role("region", name="Selection")).to_have_count(0)


def test_ticks_on_several_pages_come_together_and_are_downloaded(
    page: Any, knees: str, tmp_path: Path
) -> None:
    page.goto(f"/studies?q={knees}&limit=2")
    rows(page).nth(0).get_by_role("checkbox").check()
    bar = page.get_by_role("region", name="Selection")
    bar.get_by_text("1 study").wait_for()
    page.get_by_role("link", name="Older").click()
    expect(rows(page)).to_have_count(1)
    page.wait_for_load_state()  # with what hears of ticks
    rows(page).nth(0).get_by_role("checkbox").check()
    bar.get_by_text("2 studies").wait_for()
    page.goto(f"/series?q={knees}")
    rows(page).nth(1).get_by_role("checkbox").check()
    bar.get_by_text("2 studies, 1 series").wait_for()
    page.go_back()
    assert violations(page) == []

    page.goto(f"/studies?q={knees}")
    expect(rows(page).get_by_role("checkbox", checked=True)).to_have_count(2)
    rows(page).nth(0).get_by_role("checkbox").uncheck()
    bar.get_by_text("1 study, 1 series").wait_for()
    bar.get_by_role("link", name="Summary").click()
    page.wait_for_url("**/selections/*")
    assert violations(page) == []
    assert not overflows(page)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download (ZIP)").click()
    saved = tmp_path / "selection.zip"
    downloading.value.save_as(saved)
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2


def test_columns_are_chosen_and_stay_in_the_address(page: Any, knees: str) -> None:
    page.goto(f"/studies?q={knees}")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("Born", exact=True).check()

    page.wait_for_url(re.compile("columns=.*PatientBirthDate"))
    expect(page.locator("table.list").get_by_text("1970-01-01")).to_have_count(3)
    page.reload()
    expect(page.locator("table.list").get_by_text("1970-01-01")).to_have_count(3)


def test_a_patient_leads_to_studies_series_and_instances(page: Any, knees: str) -> None:
    page.goto(f"/patients?q={knees}")
    assert violations(page) == []
    page.get_by_role("link", name="Lister, Lina").click()
    expect(rows(page)).to_have_count(3)
    expect(page).not_to_have_url(re.compile(knees))
    assert violations(page) == []
    rows(page).first.get_by_role("link", name="Lister, Lina").click()
    page.wait_for_url("**/studies/*")
    assert violations(page) == []
    assert not overflows(page)
    rows(page).first.get_by_role("checkbox").check()
    page.get_by_role("region", name="Selection").get_by_text("1 series").wait_for()
    rows(page).first.get_by_role("link", name="Axial").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Axial")
    assert violations(page) == []
    assert not overflows(page)
    rows(page).first.get_by_role("link", name="CT Image").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^CT Image"))


def test_days_by_name_and_days_by_date_are_one_choice(page: Any) -> None:
    page.goto("/studies")
    page.get_by_text("More to search by").click()
    page.get_by_label("Study date").select_option("last-7-days")
    page.wait_for_url(re.compile("StudyDate=last-7-days"))

    page.get_by_label("From", exact=True).fill("2026-01-02")

    page.wait_for_url(re.compile("StudyDate=20260102-"))
    expect(page.get_by_label("Study date")).to_have_value("")
