"""Coming in, and letting others in: from the first password to a link in a stranger's browser."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from conformance.objects import multipart
from conformance.server import Server, command, environment, started
from tests.browser.checks import overflows, violations
from tests.browser.conftest import NARROW, WIDE, opened
from tests.builders import make_instance, new_uid

OWN = "correct horse battery"
FIRST_STUDY, OTHER_STUDY = new_uid(), new_uid()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server that asks who somebody is, with two studies; and the first password of its administrator."""
    data = tmp_path_factory.mktemp("guarded") / "data"
    password = _said("user", "add", "alice", "--role", "administrator", data=data)
    secret = _said("token", "create", "--name", "filling", "--scope", "see,store", data=data)
    with started(data, accounts=True) as running:
        answer = httpx.post(
            f"{running.dicomweb}/studies",
            content=multipart([
                make_instance(StudyInstanceUID=FIRST_STUDY, PatientName="Shown^Sue", StudyDescription="Knee"),
                make_instance(StudyInstanceUID=OTHER_STUDY, PatientName="Hidden^Hal"),
            ]),
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part',
                "Accept": "application/dicom+json",
                "Authorization": f"Bearer {secret}",
            },
            timeout=60,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        yield running, password


def _said(*words: str, data: Path) -> str:
    run = subprocess.run(
        command(*words, "--data", str(data)),
        capture_output=True, text=True, env=environment(None), timeout=300, check=True,
    )  # fmt: skip
    return run.stdout.strip()


def log_in(page: Any, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def fine(page: Any) -> None:
    assert violations(page) == []
    assert not overflows(page)


def choose_password(page: Any, old: str, new: str) -> None:
    page.wait_for_url("**/profile")
    fine(page)
    page.get_by_label("Present password").fill(old)
    page.get_by_label("New password").fill(new)
    page.get_by_label("The same again").fill(new)
    page.get_by_role("button", name="Change the password").click()
    page.wait_for_url("**/studies")


def secret(page: Any) -> str:
    """What is shown once, as soon as the page with it is there."""
    shown = page.locator("#secret")
    expect(shown).not_to_be_empty()
    page.wait_for_load_state()
    return str(shown.inner_text())


def administer(page: Any, entry: str) -> None:
    """Go where an entry of the menu leads."""
    page.locator("details.menu summary").click()
    page.locator("details.menu").get_by_role("link", name=entry).click()
    page.get_by_role("heading", level=1, name=entry).wait_for()


def test_from_the_first_password_to_a_link_in_a_strangers_browser(
    browser: Any, guarded: tuple[Server, str]
) -> None:
    server, first = guarded
    with opened(browser, server) as page:
        page.goto(f"/studies/{FIRST_STUDY}")
        page.wait_for_url("**/login?next=**")
        fine(page)
        log_in(page, "alice", "not it at all")
        page.get_by_text("Name and password do not fit.").wait_for()
        page.excused.append("status of 401")
        log_in(page, "alice", first)
        choose_password(page, first, OWN)

        page.get_by_role("button", name="Log out").wait_for()
        assert page.locator(".bar").bounding_box()["height"] < 70  # one line for all that she may do
        administer(page, "Users")
        page.get_by_role("link", name="New user").click()
        page.get_by_label("Name to log in with").fill("bob")
        page.get_by_label("Only what fulfils").check()
        page.get_by_label("These studies").fill(FIRST_STUDY)
        fine(page)
        page.get_by_role("button", name="Make the account").click()
        theirs = secret(page)
        fine(page)
        page.get_by_role("link", name="It is noted").click()
        page.get_by_role("heading", level=1, name="bob", exact=True).wait_for()

        administer(page, "Tokens")
        page.get_by_role("link", name="New token").click()
        page.get_by_label("What it is for").fill("notebook")
        fine(page)
        page.get_by_role("button", name="Make the token").click()
        token = secret(page)
        fine(page)

        page.goto(f"/studies/{FIRST_STUDY}")
        page.get_by_role("link", name="Share", exact=True).click()
        page.get_by_label("For whom").fill("Second opinion")
        fine(page)
        page.get_by_role("button", name="Make the link").click()
        link = secret(page)
        fine(page)
        administer(page, "Shares")
        page.get_by_text("Second opinion").wait_for()
        fine(page)
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")

    found = httpx.get(
        f"{server.dicomweb}/studies",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/dicom+json"},
        timeout=60,
    )
    assert len(found.json()) == 2

    with opened(browser, server, size=NARROW) as page:
        page.goto("/login")
        log_in(page, "bob", theirs)
        choose_password(page, theirs, OWN + " too")
        expect(page.get_by_role("link", name="Shown, Sue")).to_be_visible()
        page.wait_for_load_state()
        expect(page.get_by_text("Hidden, Hal")).to_have_count(0)
        fine(page)

    with opened(browser, server, size=NARROW) as page:
        page.goto(link)
        fine(page)
        page.get_by_role("button", name="Open").click()
        page.wait_for_url(f"**/studies/{FIRST_STUDY}")
        page.get_by_text("Shared with you").wait_for()
        fine(page)
        assert "/shared/" not in page.evaluate("document.referrer")
        page.get_by_role("link", name="View", exact=True).click()
        page.locator(".pane[data-drawn='0']").wait_for()
        page.goto("/studies")
        expect(page.get_by_text("Shared with you")).to_be_visible()
        expect(page.get_by_text("Hidden, Hal")).to_have_count(0)
        page.get_by_role("button", name="Close").click()
        page.wait_for_url("**/login")


def test_the_menu_opens_and_closes_by_keys(browser: Any, guarded: tuple[Server, str]) -> None:
    server, _ = guarded
    name, password = "keys", _said("user", "add", "keys", "--role", "operator", data=server.data)
    with opened(browser, server, size=WIDE) as page:
        page.goto("/login")
        log_in(page, name, password)
        choose_password(page, password, OWN)
        summary = page.locator("details.menu summary")
        expect(summary).to_have_text("More")
        summary.press("Enter")
        expect(page.get_by_role("link", name="Tokens")).to_be_visible()
        fine(page)
        page.keyboard.press("Escape")
        expect(page.locator("details.menu[open]")).to_have_count(0)
        summary.press("Enter")
        expect(page.locator("details.menu[open]")).to_have_count(1)
        page.keyboard.press("Shift+Tab")
        expect(page.locator("details.menu[open]")).to_have_count(0)


def test_it_all_works_without_scripts(browser: Any, guarded: tuple[Server, str]) -> None:
    server, _ = guarded
    password = _said("user", "add", "plain", "--role", "administrator", data=server.data)
    with opened(browser, server, javascript=False, size=NARROW) as page:
        page.goto("/login")
        log_in(page, "plain", password)
        page.wait_for_url("**/profile")
        page.get_by_label("Present password").fill(password)
        page.get_by_label("New password").fill(OWN)
        page.get_by_label("The same again").fill(OWN)
        page.get_by_role("button", name="Change the password").click()
        page.wait_for_url("**/studies")
        administer(page, "Roles")
        page.get_by_role("link", name="New role").click()
        page.get_by_label("Name").fill("night")
        page.get_by_label("store").check()
        page.get_by_role("button", name="Make the role").click()
        page.wait_for_url("**/roles")
        expect(page.locator("table")).to_contain_text("night")
