"""Another archive is asked, a study ticked and brought here, as people do it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from conformance.server import Server
from tests.browser.checks import overflows, violations
from tests.builders import new_uid
from tests.outbound.pacs import TITLE, Pacs, pacs
from tests.outbound.test_dimse_scu import dataset
from tests.waiting import until

PAGE = {"Accept": "text/html"}


def sound(page: Any) -> None:
    assert violations(page) == []
    assert not overflows(page)


@pytest.fixture
def there(server: Server) -> Iterator[Pacs]:
    """A PACS with two studies that the server knows as `north`."""
    series, names = [new_uid(), new_uid()], ("Query^Quinn", "Quarry^Quest")
    held = [
        dataset(
            study=f"{series[place]}.1", series=series[place], PatientName=names[place], InstanceNumber=number
        )
        for place in (0, 1)
        for number in range(4)
    ]  # fmt: skip
    with pacs(*held) as running, httpx.Client(base_url=server.url, timeout=60) as client:
        peer = {"name": "north", "ae_title": TITLE, "host": "127.0.0.1", "port": running.port}
        made = client.post("/peers", json=peer, headers={"Accept": "application/json"})
        assert made.status_code == 201, made.text
        yield running
        assert client.delete("/peers/north", headers={"Accept": "application/json"}).status_code == 200


def test_a_study_is_looked_for_and_brought_here_while_one_watches(page: Any, there: Pacs) -> None:
    page.goto("/peers/north/query")
    page.evaluate("window.stayed = true")
    sound(page)

    page.get_by_label("Patient name").fill("Q")
    page.get_by_role("button", name="Query").click()
    page.get_by_role("rowheader", name="Quarry, Quest").wait_for()
    assert page.evaluate("window.stayed")
    sound(page)
    page.get_by_label("Bring the study of Query, Quinn here").check()
    page.get_by_role("button", name="Bring here").click()

    page.get_by_text("1 of 1 delivered").wait_for()
    page.get_by_text("4 of 4").wait_for()
    sound(page)
    page.get_by_role("link", name="Transfers").first.click()
    page.get_by_role("link", name="Bring here").first.wait_for()
    sound(page)


def test_a_page_hears_by_the_stream_that_its_transfer_goes_on(page: Any, there: Pacs, server: Server) -> None:
    there.pause = 60
    made = httpx.post(
        f"{server.url}/peers/north/retrieve",
        json={"study": there.held[0].StudyInstanceUID},
        headers={"Accept": "application/json"},
        timeout=60,
    ).json()
    with page.expect_response("**/transfers/events"):
        page.goto(f"/transfers/{made['id']}")
    page.evaluate(
        "name => { window.heard = new Promise((told, not) => {"
        " document.body.addEventListener(name, () => told(true)); setTimeout(not, 60_000); }); }",
        f"transfer-{made['id']}",
    )
    there.lock.set()

    assert page.evaluate("window.heard")
    page.get_by_text("1 of 1 delivered").wait_for()
    sound(page)


def test_it_works_without_scripts(plain_page: Any, there: Pacs) -> None:
    page = plain_page
    page.goto("/peers/north/query")
    page.get_by_label("Patient name").fill("Quarry")
    page.get_by_role("button", name="Query").click()
    page.get_by_label("Bring the study of Quarry, Quest here").check()
    page.get_by_role("button", name="Bring here").click()
    page.wait_for_url("**/transfers/*")
    until(lambda: "1 of 1 delivered" in httpx.get(page.url, headers=PAGE, timeout=60).text)
    page.reload()

    expect(page.get_by_text("1 of 1 delivered")).to_be_visible()


def test_a_peer_that_is_away_is_told_beside_the_form(page: Any, there: Pacs) -> None:
    there.find_status = 0xA700
    page.goto("/peers/north/query")
    page.get_by_label("Patient ID").fill("P1")
    page.get_by_role("button", name="Query").click()

    expect(page.get_by_role("alert")).to_contain_text("A700")
    expect(page.get_by_label("Patient ID")).to_have_value("P1")
    sound(page)
