"""The page of the archive's state, alive."""

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.checks import overflows, violations
from tests.builders import make_instance


def test_it_is_accessible_and_hears_of_changes(page: Any, store: Callable[..., None]) -> None:
    page.goto("/status")
    assert violations(page) == []
    assert not overflows(page)

    with page.expect_response("**/status"):
        store(make_instance())

    expect(page.get_by_role("heading", level=1)).to_have_text("Status")
    expect(page.get_by_role("heading", name="What it holds")).to_be_visible()


def test_it_hears_of_changes_though_the_script_for_it_comes_late(page: Any) -> None:
    def late(route: Any) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route("**/hx-sse-*.js", late)
    with page.expect_request("**/events?after=*"):
        page.goto("/status")


def test_it_is_there_without_scripts(plain_page: Any) -> None:
    plain_page.goto("/status")

    expect(plain_page.get_by_role("heading", name="Whether it is whole")).to_be_visible()
