"""The worklist as people keep it."""

from typing import Any

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
    sound(page)
    assert page.get_by_role("heading", level=1).inner_text() == "Work Wanda, 2026-01-05 09:30"

    page.get_by_label("Time").fill("11:00")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", level=1, name="11:00").wait_for()
    page.get_by_role("link", name="Worklist").last.click()
    page.get_by_role("cell", name="Work Wanda").wait_for()
    sound(page)
    page.get_by_role("link", name="Remove the step of 2026-01-05 11:00, W1").click()
    sound(page)
    page.get_by_role("button", name="Remove the step").click()

    page.get_by_role("heading", level=1, name="Worklist").wait_for()
    assert page.get_by_role("cell", name="Work Wanda").count() == 0


def test_the_worklist_is_kept_without_scripts(plain_page: Any) -> None:
    page, name = plain_page, f"Plain^P{new_uid()[-6:].replace('.', 'x')}"
    schedule(page, name, "MR2", modality="M/R")
    page.get_by_text("This is a code of capital letters").wait_for()
    assert page.get_by_label("Name", exact=True).input_value() == name
    page.told.clear()  # the refusal

    page.get_by_label("Modality").fill("MR")
    page.get_by_role("button", name="Put it on the worklist").click()
    page.goto("/worklist?day=2026-01-05")

    assert page.get_by_role("cell", name=name.replace("^", " ")).count() == 1
