"""Rejecting, restoring, erasing and correcting as people do, with and without scripts."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.checks import overflows, violations
from tests.builders import make_instance, new_uid

Store = Callable[..., None]


def stored(store: Store, **attributes: Any) -> str:
    """A study of two series; its UID."""
    study = new_uid()
    for number, description in ((1, "Axial"), (2, "Coronal")):
        store(make_instance(study=study, SeriesNumber=number, SeriesDescription=description, **attributes))
    return study


def sound(page: Any) -> bool:
    """Whether nothing is wrong with the page as it is, in the light and in the dark."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += violations(page)
    assert found == []
    return not overflows(page)


def reject_and_restore(page: Any, store: Store) -> None:
    study = stored(store, PatientName="Walker^Wanda")

    page.goto(f"/studies/{study}")
    page.get_by_role("link", name="Reject", exact=True).click()
    page.get_by_label("Rejected for Quality Reasons").check()
    page.get_by_label("Note").fill("moved")
    page.get_by_role("button", name="Reject").click()
    row = page.get_by_role("row").filter(has=page.locator("form[action^='/rejected/']")).first
    expect(row).to_contain_text("Walker, Wanda")
    expect(row).to_contain_text("moved")
    row.get_by_role("button").click()

    expect(page).to_have_url(re.compile(f"/studies/{study}$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Walker, Wanda")


def test_a_study_is_rejected_and_restored(page: Any, store: Store) -> None:
    reject_and_restore(page, store)


def test_a_study_is_rejected_and_restored_without_scripts(plain_page: Any, store: Store) -> None:
    reject_and_restore(plain_page, store)


def test_the_pages_of_rejecting_and_erasing_are_accessible(page: Any, store: Store) -> None:
    study, other = stored(store), stored(store)

    page.goto(f"/reject?study={study}&study={other}")
    assert sound(page)
    page.get_by_label("Rejected for Patient Safety Reasons").check()
    page.get_by_role("button", name="Reject").click()
    page.wait_for_url("**/rejected")
    assert sound(page)
    page.get_by_role("link", name="Erase now").first.click()
    page.wait_for_url("**/erase")
    assert sound(page)
    page.goto(f"/erase?study={stored(store)}")
    assert sound(page)


def erase(page: Any, store: Store) -> None:
    study = stored(store)
    page.excused += ["status of 422", "status of 404"]  # asked for below

    page.goto(f"/studies/{study}")
    page.get_by_role("link", name="Erase", exact=True).click()
    page.get_by_label("Type the number of instances").fill("3")
    page.get_by_role("button", name="Erase for ever").click()
    expect(page.locator("#confirm-message")).to_contain_text("another number")
    page.get_by_label("Type the number of instances").fill("2")
    page.get_by_role("button", name="Erase for ever").click()
    page.wait_for_url("**/studies")

    page.goto(f"/studies/{study}")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")


def test_erasing_takes_the_number_typed(page: Any, store: Store) -> None:
    erase(page, store)


def test_erasing_takes_the_number_typed_without_scripts(plain_page: Any, store: Store) -> None:
    erase(plain_page, store)


def correct_and_undo(page: Any, store: Store) -> None:
    patient = new_uid()
    page.excused.append("status of 422")  # asked for below
    study = stored(store, PatientName="Walker^Wanda", PatientID=patient[-16:])

    page.goto(f"/studies/{study}")
    page.get_by_role("link", name="Correct", exact=True).click()
    page.get_by_label("Patient name").fill("Runner^Ruth=走者")
    page.get_by_label("Birth date").fill("19800230")
    page.get_by_role("button", name="Correct").click()
    expect(page.locator("#PatientBirthDate-message")).to_contain_text("not a date")
    expect(page.get_by_label("Patient name")).to_have_value("Runner^Ruth=走者")
    page.get_by_label("Birth date").fill("19800203")
    page.get_by_label("Reason", exact=True).fill("two patients were mixed up")
    page.get_by_role("button", name="Correct").click()
    page.wait_for_url(f"**/studies/{study}")

    expect(page.get_by_role("heading", level=1)).to_have_text("Runner, Ruth (走者)")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("undone")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Walker, Wanda")


def test_a_name_is_corrected_and_the_correction_undone(page: Any, store: Store) -> None:
    correct_and_undo(page, store)


def test_a_name_is_corrected_and_the_correction_undone_without_scripts(plain_page: Any, store: Store) -> None:
    correct_and_undo(plain_page, store)


def test_the_pages_of_correcting_are_accessible(page: Any, store: Store) -> None:
    study = stored(store, PatientID="CARE-1")
    stored(store, PatientID="CARE-1")

    page.goto(f"/studies/{study}/correct")
    assert sound(page)
    page.get_by_label("Patient name").fill("Runner^Ruth")
    page.get_by_label("Reason", exact=True).fill("mixed up")
    page.get_by_label("studies with this patient ID").check()
    page.get_by_role("button", name="Correct").click()
    page.wait_for_url(f"**/studies/{study}")
    assert sound(page)
    page.goto("/corrections")
    assert sound(page)
