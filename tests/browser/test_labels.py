"""Labels and rules as people use them."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.checks import overflows, violations
from tests.builders import make_instance, new_uid


def sound(page: Any) -> None:
    assert violations(page) == []
    assert not overflows(page)


def test_a_label_is_given_to_a_study_and_taken_away_where_one_is(
    page: Any, store: Callable[..., None]
) -> None:
    study = new_uid()
    store(make_instance(study=study, PatientName="Label^Lena"))
    page.goto(f"/studies/{study}")
    page.evaluate("window.stayed = true")

    page.get_by_label("Add a label").fill("research")
    page.get_by_label("Add a label").press("Enter")
    page.get_by_role("link", name="research").wait_for()
    sound(page)
    page.get_by_role("button", name="Take the label research away").click()
    page.get_by_role("link", name="research").wait_for(state="detached")

    expect(page.get_by_label("Add a label")).to_be_visible()
    assert page.evaluate("window.stayed")


def test_labels_are_kept_without_scripts(plain_page: Any, store: Callable[..., None]) -> None:
    page, study, series = plain_page, new_uid(), new_uid()
    name = f"plain {study[-6:]}"
    store(make_instance(study=study, series=series, PatientName="Label^Lena"))

    page.goto(f"/labels/apply?series={study}/{series}")
    page.get_by_label("Add").fill(name)
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="Label, Lena").first.click()
    page.get_by_role("button", name=f"Take the label {name} away").click()
    expect(page.get_by_role("button", name=f"Take the label {name} away")).to_have_count(0)
    page.get_by_role("link", name="Labels").click()
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("link", name="Delete the label").click()
    page.get_by_role("button", name="Delete the label").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Labels")
    page.wait_for_load_state()
    expect(page.get_by_role("link", name=name)).to_have_count(0)


def test_a_rule_is_made_tried_and_watched_until_it_is_done(page: Any, store: Callable[..., None]) -> None:
    study = new_uid()
    words = f"trial {study[-8:]}"
    store(make_instance(study=study, StudyDescription=words))
    page.goto("/rules/new")
    page.evaluate("window.stayed = true")
    sound(page)

    page.get_by_label("Name", exact=True).fill(f"Rule of {words}")
    page.get_by_label("Attribute 1").fill("StudyDescription")
    page.get_by_label("Value 1").fill(f"{words}*")
    page.get_by_label("With the label").fill(words)
    page.get_by_role("button", name="One condition more").click()
    page.get_by_label("Attribute 4").wait_for()
    page.get_by_role("button", name="What would match?").click()
    page.get_by_text("Matches 1 series").wait_for()
    assert page.evaluate("window.stayed")
    sound(page)
    page.get_by_role("button", name="Make the rule").click()

    page.get_by_text("1 series have the label").wait_for()
    sound(page)
    page.get_by_role("link", name="Rules").first.click()
    page.wait_for_url("**/rules")
    sound(page)
    page.goto(f"/studies/{study}")
    expect(page.get_by_role("link", name=words)).to_be_visible()
    expect(page.get_by_role("button", name=f"Take the label {words} away")).to_have_count(0)


def test_a_rule_is_made_changed_and_deleted_without_scripts(plain_page: Any) -> None:
    page, name = plain_page, f"Plain rule {new_uid()[-8:]}"
    page.goto("/rules/new")

    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Attribute 1").fill("Nonsense")
    page.get_by_label("Value 1").fill("x")
    page.get_by_label("With the label").fill("plain")
    page.get_by_role("button", name="Make the rule").click()
    expect(page.get_by_text("No attribute has this keyword.")).to_be_visible()
    page.excused.append("status of 422")
    assert not overflows(page)
    page.get_by_label("Attribute 1").fill("Modality")
    page.get_by_role("button", name="What would match?").click()
    expect(page.get_by_text("Matches 0 series")).to_be_visible()
    page.get_by_role("button", name="Make the rule").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.get_by_role("link", name="Delete the rule").click()
    expect(page.get_by_role("button", name="Delete the rule")).to_be_visible()
    assert not overflows(page)
    page.get_by_role("button", name="Delete the rule").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rules")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_labels_is_accessible(page: Any, store: Callable[..., None], scheme: str) -> None:
    study = new_uid()
    store(make_instance(study=study))
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/labels/apply?study={study}")
    page.get_by_label("Add").fill("to be read again")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("link", name="to be read again")).to_be_visible()

    for path in ("/labels", f"/labels/apply?study={study}", f"/studies/{study}"):
        page.goto(path)
        sound(page)
    page.goto("/labels")
    page.get_by_role("link", name="to be read again", exact=True).click()
    page.wait_for_url("**/labels/*")
    sound(page)
    page.get_by_role("link", name="Delete the label").click()
    page.wait_for_url("**/delete")
    sound(page)
