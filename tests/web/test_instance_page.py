"""The page of an instance: its attributes; and of two."""

import httpx
import pytest

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from tests.builders import make_instance, pieces
from tests.web.pages import Page, assert_well_made


async def keep(box: Box, **attributes: object) -> str:
    """Store one instance; the address of its page."""
    outcome = await store(
        box, await receive(box, pieces(make_instance(**attributes))), source="test", actor=SYSTEM
    )
    assert isinstance(outcome, Stored)
    return f"/studies/{outcome.study_uid}/series/{outcome.series_uid}/instances/{outcome.instance_uid}"


async def test_it_shows_every_attribute_and_where_the_instance_came_from(
    box: Box, client: httpx.AsyncClient
) -> None:
    here = await keep(box, PatientName="Doe^Jane", SeriesDescription="<b>bold</b>")

    answer = await client.get(here)

    page = Page(answer.text)
    assert_well_made(page)
    said = page.one("main").text
    assert "Doe, Jane" in said
    assert "<b>bold</b>" in said
    assert "test" in said
    assert "Doe" not in page.one("title").text


async def test_its_twin_gives_the_same_rows_to_programs(box: Box, client: httpx.AsyncClient) -> None:
    here = await keep(box, PatientName="Doe^Jane")

    body = (await client.get(f"{here}.json")).json()

    (name,) = [row for row in body["attributes"] if row["path"] == "00100010"]
    assert (name["keyword"], name["vr"], name["length"], name["value"]) == (
        "PatientName",
        "PN",
        8,
        "Doe, Jane",
    )
    assert len(body["sha256"]) == 64
    assert (await client.get(here, headers={"Accept": "application/json"})).json() == body


async def test_htmx_gets_the_rows_alone(box: Box, client: httpx.AsyncClient) -> None:
    here = await keep(box, PatientName="Doe^Jane")

    answer = await client.get(f"{here}?find=patient+name", headers={"HX-Request": "true"})

    assert answer.text.count("<li>") == 1
    assert "<html" not in answer.text


async def test_what_is_not_there_is_404(box: Box, client: httpx.AsyncClient) -> None:
    here = await keep(box)

    for path in (here + "9", here.replace("/instances/", "9/instances/"), f"{here}/compare?with=1.2.3"):
        assert (await client.get(path)).status_code == 404


async def test_a_comparison_says_what_differs(box: Box, client: httpx.AsyncClient) -> None:
    left, right = await keep(box, InstanceNumber=1), await keep(box, InstanceNumber=2)
    uid = right.rpartition("/")[2]

    page = Page((await client.get(f"{left}/compare?with={uid}")).text)
    body = (await client.get(f"{left}/compare.json?with={uid}")).json()

    assert_well_made(page)
    differing = {pair["name"]: (pair["left"]["value"], pair["right"]["value"]) for pair in body["attributes"]}
    assert differing["Instance Number"] == ("1", "2")
    assert "Patient ID" not in differing
    assert "Instance Number" in page.one("tbody").text


@pytest.mark.parametrize(("given", "status"), [("with=<x>", 400), ("with=", 303), ("", 303)])
async def test_a_comparison_with_nothing_leads_back(
    box: Box, client: httpx.AsyncClient, given: str, status: int
) -> None:
    here = await keep(box)

    assert (await client.get(f"{here}/compare?{given}")).status_code == status
