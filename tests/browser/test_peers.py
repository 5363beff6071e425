"""Peers in a browser: who was refused is accepted, called, changed and removed, with and without scripts."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from pynetdicom.ae import ApplicationEntity

from conformance.server import Server
from dicomweb_box import setting_sources
from dicomweb_box.box import open_box
from dicomweb_box.outbound.admission import caller
from tests.browser.checks import overflows, violations
from tests.databases import run_apart
from tests.upper_layer.peers import VERIFICATION, pynetdicom_acceptor


def sound(page: Any) -> None:
    assert not page.scripts or violations(page) == []
    assert not overflows(page)


@pytest.fixture
def title(server: Server) -> str:
    """An AE title of which somebody has just called, for another archive than this."""
    found = f"CT<&'{secrets.token_hex(4)}"

    async def call() -> None:
        async with open_box(setting_sources.load({"data": str(server.data)}, {})) as box:
            await caller(box, called="OTHER", calling=found, address="192.0.2.77", certificate=None)

    run_apart(call())
    return found


@pytest.fixture
def port() -> Iterator[int]:
    """Where a peer listens."""
    ae = ApplicationEntity("CT")
    ae.add_supported_context(VERIFICATION)
    with pynetdicom_acceptor(ae) as found:
        yield found


def accept_call_change_and_remove(page: Any, title: str, port: int) -> None:
    name = f"CT {secrets.token_hex(3)}"
    page.goto("/peers")
    sound(page)
    page.get_by_role("link", name=f"Accept {title} as a peer").click()
    page.wait_for_url("**/peers/new?**")
    expect(page.get_by_label("AE title")).to_have_value(title)
    expect(page.get_by_label("Calls from")).to_have_value("192.0.2.77")
    sound(page)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Port").fill("99999")
    page.get_by_label("find").check()
    page.get_by_role("button", name="Make the peer").click()
    page.get_by_text("A port is a number from 1 to 65535").wait_for()
    page.excused.append("status of 422")
    expect(page.get_by_label("find")).to_be_checked()
    sound(page)
    page.get_by_label("Port").fill(str(port))
    page.get_by_role("button", name="Make the peer").click()
    page.get_by_role("heading", level=1, name=name).wait_for()
    sound(page)

    page.get_by_role("button", name="Call it by C-ECHO").click()
    page.get_by_text("It answers, after").wait_for()
    page.get_by_text("✓ Verification").wait_for()
    page.get_by_text("✗ not Study Root C-FIND").wait_for()
    sound(page)

    page.get_by_text("How it is talked to").click()
    page.get_by_label("Transfer syntaxes").select_option("uncompressed")
    page.get_by_label("find").uncheck()
    sound(page)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Transfer syntaxes")).to_be_hidden()  # folded again: this is the page anew
    expect(page.get_by_label("find")).not_to_be_checked()
    expect(page.get_by_label("store")).to_be_checked()

    page.get_by_role("link", name="Remove the peer").click()
    page.get_by_role("heading", level=1, name="Remove this peer?").wait_for()
    sound(page)
    page.get_by_role("button", name="Remove the peer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Peers")
    page.wait_for_load_state()
    expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)


def test_who_was_refused_is_accepted_called_changed_and_removed(page: Any, title: str, port: int) -> None:
    accept_call_change_and_remove(page, title, port)


def test_it_all_works_without_scripts(plain_page: Any, title: str, port: int) -> None:
    accept_call_change_and_remove(plain_page, title, port)


def test_a_call_leaves_the_page_where_it_is(page: Any, port: int) -> None:
    name = f"CT {secrets.token_hex(3)}"
    page.goto("/peers/new")
    page.get_by_label("Name").fill(name)
    page.get_by_label("AE title").fill(secrets.token_hex(6))
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Port").fill(str(port))
    page.get_by_role("button", name="Make the peer").click()
    page.get_by_role("heading", level=1, name=name).wait_for()
    page.wait_for_load_state()
    page.evaluate("window.stayed = true")
    page.get_by_role("button", name="Call it by C-ECHO").click()
    page.get_by_text("It answers, after").wait_for()
    assert page.evaluate("window.stayed")
