"""The page that asks another archive and brings studies here."""

import httpx
import pytest

from dicomweb_box.accounts.access import ANONYMOUS, SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.particulars import Particulars
from tests.outbound.pacs import TITLE, Pacs, pacs
from tests.outbound.test_dimse_scu import brought, dataset, held, study
from tests.web.pages import Page, assert_well_made

PROGRAM = {"Accept": "application/json"}


async def north(box: Box, there: Pacs) -> None:
    told = Particulars(name="north", ae_title=TITLE, host="127.0.0.1", port=there.port)
    await peers.add(box, told, actor=SYSTEM)


async def test_without_peers_it_says_so_and_with_one_it_leads_there(
    box: Box, client: httpx.AsyncClient
) -> None:
    none = await client.get("/query")
    with pacs() as there:
        await north(box, there)
        one = await client.get("/query")

    assert_well_made(Page(none.text))
    assert "No peer listens" in none.text
    assert (one.status_code, one.headers["location"]) == (303, "/peers/north/query")


async def test_it_shows_what_the_peer_answers(box: Box, client: httpx.AsyncClient) -> None:
    with pacs(dataset(PatientName="Doe^Jane"), dataset(PatientName="Roe^<b>")) as there:
        await north(box, there)
        form = await client.get("/peers/north/query")
        answer = await client.get("/peers/north/query", params={"PatientName": "doe^J".title()})
        every = await client.get("/peers/north/query", params={"PatientName": "*"})
        twin = await client.get("/peers/north/query.json", params={"PatientName": "Doe*"})

    for page in (form, answer, every):
        assert page.status_code == 200
        assert_well_made(Page(page.text))
    assert "Doe, Jane" in answer.text
    assert "Roe" not in answer.text
    assert "&lt;b&gt;" in every.text
    assert [one["00100010"]["Value"][0]["Alphabetic"] for one in twin.json()["studies"]] == ["Doe^Jane"]


async def test_names_are_found_as_people_write_them(box: Box, client: httpx.AsyncClient) -> None:
    with pacs(dataset(PatientName="Doe^Jane")) as there:
        await north(box, there)
        answer = await client.get("/peers/north/query", params={"PatientName": "Doe, Ja"})

    assert "Doe, Jane" in answer.text
    ((_, asked),) = there.asked
    assert str(asked.PatientName) == "Doe^Ja*"


async def test_days_are_asked_for_as_a_range(box: Box, client: httpx.AsyncClient) -> None:
    with pacs() as there:
        await north(box, there)
        await client.get("/peers/north/query", params={"from": "2026-01-01", "to": ""})
        wrong = await client.get("/peers/north/query", params={"from": "yesterday"})

    assert [asked.StudyDate for _, asked in there.asked] == ["20260101-"]
    assert "from is a day" in wrong.text


async def test_an_empty_form_asks_nobody(box: Box, client: httpx.AsyncClient) -> None:
    with pacs() as there:
        await north(box, there)
        answer = await client.get("/peers/north/query", params={"PatientName": " "})
        twin = await client.get("/peers/north/query.json")

    assert (answer.status_code, twin.status_code) == (422, 400)
    assert there.asked == []


@pytest.mark.parametrize("status", [0xC001, 0xA700])
async def test_a_peer_that_cannot_answer_is_told_on_the_page(
    box: Box, client: httpx.AsyncClient, status: int
) -> None:
    with pacs(find_status=status) as there:
        await north(box, there)
        answer = await client.get("/peers/north/query", params={"PatientID": "P1"})
        twin = await client.get("/peers/north/query.json", params={"PatientID": "P1"})

    assert f"{status:04X}" in answer.text
    assert_well_made(Page(answer.text))
    assert twin.status_code == 502


async def test_ticked_studies_are_brought_here(box: Box, client: httpx.AsyncClient) -> None:
    theirs = study(3)
    with pacs(*theirs) as there:
        await north(box, there)
        made = await client.post(
            "/peers/north/retrieve", json={"study": [theirs[0].StudyInstanceUID]}, headers=PROGRAM
        )
        await brought(box, made.json()["id"], ANONYMOUS)
        again = await client.get("/peers/north/query", params={"PatientID": "P1"})
        nothing = await client.post("/peers/north/retrieve", data={})
        wrong = await client.post("/peers/north/retrieve", data={"study": "x'--"})

    assert (made.status_code, made.json()["kind"]) == (201, "retrieve")
    assert len(await held(box)) == 3
    assert f"/studies/{theirs[0].StudyInstanceUID}" in Page(again.text).addresses()
    assert (nothing.status_code, wrong.status_code) == (400, 400)
