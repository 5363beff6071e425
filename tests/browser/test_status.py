"""The page of the archive's state, alive."""

import time
from collections.abc import Callable
from typing import Any

from tests.browser.checks import overflows, violations
from tests.builders import make_instance


def test_it_is_accessible_and_hears_of_changes(page: Any, store: Callable[..., None]) -> None:
    page.goto("/status")
    assert violations(page) == []
    assert not overflows(page)

    with page.expect_response("**/status", timeout=15_000):
        store(make_instance())

    assert page.get_by_role("heading", level=1).inner_text() == "Status"
    assert page.get_by_role("heading", name="What it holds").is_visible()


def test_it_hears_of_changes_though_the_script_for_it_comes_late(page: Any) -> None:
    def late(route: Any) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route("**/hx-sse-*.js", late)
    with page.expect_request("**/events?after=*"):
        page.goto("/status")


def test_it_is_there_without_scripts(plain_page: Any) -> None:
    plain_page.goto("/status")

    assert plain_page.get_by_role("heading", name="Whether it is whole").is_visible()
