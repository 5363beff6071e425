"""Setting up a second factor in a browser, and logging in with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import expect

from conformance.server import Server, started
from tests.browser.conftest import NARROW, WIDE, look, opened
from tests.browser.test_accounts import OWN, _said, fine, log_in


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an account for each size of window."""
    data = tmp_path_factory.mktemp("factor") / "data"
    for name in ("wide", "narrow"):
        (data.parent / name).write_text(_said("user", "add", name, "--role", "viewer", data=data))
    with started(data, accounts=True, settings={"DICOMWEB_BOX_SECOND_FACTOR": "everybody"}) as running:
        yield running


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_a_factor_is_set_up_by_its_picture_and_asked_for_from_then_on(
    browser: Any, guarded: Server, tmp_path: Path, size: str
) -> None:
    password = (guarded.data.parent / size).read_text()
    with opened(browser, guarded, size=WIDE if size == "wide" else NARROW) as page:
        page.goto("/login")
        log_in(page, size, password)
        page.wait_for_url("**/profile")
        page.get_by_label("Present password").fill(password)
        page.get_by_label("New password").fill(OWN)
        page.get_by_label("The same again").fill(OWN)
        page.get_by_role("button", name="Change the password").click()

        page.wait_for_url("**/profile/second-factor")
        picture = page.get_by_role("img", name="QR code")
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("one => one.naturalWidth > 100")
        look(page, f"offer-{size}", tmp_path)
        page.emulate_media(color_scheme="dark")
        look(page, f"offer-dark-{size}", tmp_path)
        page.emulate_media(color_scheme="light")
        page.get_by_text("Or type the secret").click()
        fine(page)
        device = pyotp.TOTP(page.locator("code.secret").inner_text().replace(" ", ""))
        page.get_by_label("The code that the app shows now").fill(device.now())
        page.get_by_label("Your password").fill(OWN)
        page.get_by_role("button", name="Set it up").click()

        page.get_by_role("heading", name="Recovery codes").wait_for()
        fine(page)
        look(page, f"codes-{size}", tmp_path)
        expect(page.locator("code.secret")).to_have_count(10)
        codes = page.locator("code.secret").all_inner_texts()
        page.get_by_role("link", name="I have kept them").click()
        page.wait_for_url("**/studies")

        page.goto("/profile/second-factor")
        fine(page)
        look(page, f"present-{size}", tmp_path)
        page.context.clear_cookies()
        page.goto("/labels")
        log_in(page, size, OWN)
        page.wait_for_url("**/login/code?next=**")
        fine(page)
        look(page, f"code-{size}", tmp_path)
        page.get_by_label("Code of your device").fill(codes[0])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/labels")
