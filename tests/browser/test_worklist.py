"""The worklist as people keep it."""

from typing import Any

from playwright.sync_api import expect

from tests.browser.checks import overflows, violations
from tests.builders import new_uid


def sound(page: Any) -> None:
    assert violations(page) == []
    assert not overflows(page)


def schedule(page: Any, name: str, title: str, *, modality: str = "mr") -> None:
    """Fill the form of a new step, and send it."""
    page.goto("/worklist")
    page.get_by_role("link", name="New step").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Patient ID").fill("W1")
    page.get_by_label("AE title of the station").fill(title)
    page.get_by_label("Modality").fill(modality)
    page.get_by_label("Day").fill("2026-01-05")
    page.get_by_label("Time").fill("09:30")
    page.get_by_role("button", name="Put it on the worklist").click()


def test_a_step_is_scheduled_put_off_and_removed(page: Any) -> None:
    schedule(page, "Work^Wanda", "MR1")
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_text("Work Wanda, 2026-01-05 09:30")
    sound(page)

    page.get_by_label("Time").fill("11:00")
    page.get_by_role("button", name="Save").click()
    expect(title).to_have_text("Work Wanda, 2026-01-05 11:00")
    page.get_by_role("link", name="Worklist").last.click()
    expect(page.get_by_role("cell", name="Work Wanda")).to_be_visible()
    sound(page)
    page.get_by_role("link", name="Remove the step of 2026-01-05 11:00, W1").click()
    expect(title).to_have_text("Remove this step?")
    sound(page)
    page.get_by_role("button", name="Remove the step").click()

    expect(title).to_have_text("Worklist")
    expect(page.get_by_role("cell", name="Work Wanda")).to_have_count(0)


def test_the_worklist_is_kept_without_scripts(plain_page: Any) -> None:
    page, name = plain_page, f"Plain^P{new_uid()[-6:].replace('.', 'x')}"
    schedule(page, name, "MR2", modality="M/R")
    expect(page.get_by_text("This is a code of capital letters")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value(name)
    page.excused.append("status of 422")

    page.get_by_label("Modality").fill("MR")
    page.get_by_role("button", name="Put it on the worklist").click()
    shown = name.replace("^", " ")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{shown}, 2026-01-05 09:30")
    page.goto("/worklist?day=2026-01-05")

    expect(page.get_by_role("cell", name=shown)).to_have_count(1)
