"""Browsing studies as people do."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.checks import overflows, violations
from tests.builders import make_instance


def test_a_study_is_found_and_opened(page: Any, store: Callable[..., None]) -> None:
    store(make_instance(PatientName="Walker^Wanda", PatientID="WALK-1", StudyDescription="First walk"))

    page.goto("/studies?PatientID=WALK-1")
    page.get_by_role("link", name="Walker, Wanda").first.click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Walker, Wanda")
    assert violations(page) == []
    assert not overflows(page)


def test_a_study_is_found_and_opened_without_scripts(plain_page: Any, store: Callable[..., None]) -> None:
    store(make_instance(PatientName="Walker^Wanda", PatientID="WALK-2", StudyDescription="First walk"))

    plain_page.goto("/studies")
    plain_page.get_by_role("searchbox").fill("WALK-2")
    plain_page.get_by_role("button", name="Search").click()
    plain_page.get_by_role("link", name="Walker, Wanda").first.click()

    expect(plain_page.get_by_role("heading", level=1)).to_have_text("Walker, Wanda")


def test_the_list_is_accessible(page: Any, store: Callable[..., None]) -> None:
    store(make_instance(PatientName="Walker^Wanda", PatientID="WALK-3"))

    page.goto("/studies")

    assert violations(page) == []
    assert not overflows(page)
