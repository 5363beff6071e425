"""Corrections by people's forms and by programs."""

from typing import Any

import httpx
import pytest

from dicomweb_box.box import Box
from tests.web.pages import Page
from tests.web.test_studies_page import keep, read

PROGRAM = {"Accept": "application/json"}


def filled(page: Page) -> dict[str, str]:
    """What a browser would post of the form as it came."""
    found = {}
    for control in page.elements["input"]:
        said = control.attributes
        if said.get("type") != "radio" or "checked" in said:
            found[said["name"]] = said.get("value", "")
    return found | {one.attributes["name"]: one.text for one in page.elements["textarea"]}


async def test_people_correct_a_name_and_undo_it(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box, PatientName="Doe^Jane", PatientComments="one\r\ntwo")
    form = await read(client, f"/studies/{study}/correct")

    posted = filled(form) | {"PatientName": "Roe^Rita=山田", "reason": "mixed up"}
    said = await client.post(f"/studies/{study}/correct", data=posted)
    shown = await read(client, said.headers["location"])
    listed = await read(client, "/corrections")
    action = next(
        one.attributes["action"]
        for one in shown.elements["form"]
        if one.attributes["action"].endswith("/undo")
    )
    undone = await client.post(action, data={"study": study})
    after = await read(client, undone.headers["location"])

    assert (said.status_code, said.headers["location"]) == (303, f"/studies/{study}")
    assert "Roe, Rita (山田)" in shown.one("h1").text
    assert "mixed up" in shown.one("main").text
    assert "Doe^Jane" in listed.one("main").text
    assert len(shown.elements["ins"]) == 1
    assert "Doe, Jane" in after.one("h1").text
    assert "undone" in after.one("main").text


async def test_what_is_wrong_is_said_beside_the_field_and_nothing_is_lost(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = await keep(box)
    form = await read(client, f"/studies/{study}/correct")

    posted = filled(form) | {"PatientBirthDate": "19800230", "PatientID": "NEW"}
    again = await client.post(f"/studies/{study}/correct", data=posted)
    page = Page(again.text)

    assert again.status_code == 422
    invalid = {one.attributes["name"] for one in page.elements["input"] if "aria-invalid" in one.attributes}
    assert invalid == {"PatientBirthDate", "reason"}
    assert filled(page)["PatientID"] == "NEW"
    assert (await client.get("/corrections.json")).json()["corrections"] == []


async def test_programs_correct_all_studies_of_a_patient(box: Box, client: httpx.AsyncClient) -> None:
    one, two = await keep(box, PatientID="P1"), await keep(box, PatientID="P1")

    told = await client.get(f"/studies/{one}/correct.json")
    made = await client.post(
        f"/studies/{one}/correct",
        json={"PatientID": "P2", "reason": "merged", "kind": "COERCE", "patient": True},
        headers=PROGRAM,
    )
    found = await client.get("/studies.json?PatientID=P2")
    (act,) = (await client.get("/corrections.json")).json()["corrections"]
    undone = await client.post(f"/corrections/{made.json()['id']}/undo", headers=PROGRAM)
    twice = await client.post(f"/corrections/{made.json()['id']}/undo", headers=PROGRAM)

    assert told.json()["values"]["PatientID"] == "P1"
    assert set(told.json()["of_patient"]) == {one, two}
    assert made.status_code == 201
    assert len(found.json()["studies"]) == 2
    assert (act["kind"], act["reason"], len(act["values"])) == ("COERCE", "merged", 2)
    assert undone.json()["undone_by"] == "anonymous"
    assert twice.status_code == 409
    assert (await client.get("/studies.json?PatientID=P2")).json()["studies"] == []


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"PatientID": "P9"}, 422, "reason"),
        ({"reason": "why"}, 422, "Nothing is changed"),
        ({"PatientID": "P1", "reason": "why"}, 422, "Nothing is changed"),
        ({"PatientID": "P9", "reason": "x" * 1001}, 422, "longer"),
        ({"PatientID": "P9", "reason": "why", "kind": "WHIM"}, 422, "kind"),
        ({"PatientID": "P9", "reason": "why", "seen": "other"}, 422, "meanwhile"),
        ({"StudyInstanceUID": "1.2", "reason": "why"}, 400, "StudyInstanceUID"),
        ({"PatientSex": "X", "reason": "why"}, 422, "PatientSex"),
    ],
)
async def test_what_a_program_cannot_mean_is_said(
    box: Box, client: httpx.AsyncClient, given: dict[str, Any], status: int, said: str
) -> None:
    study = await keep(box, PatientID="P1")

    answer = await client.post(f"/studies/{study}/correct", json=given, headers=PROGRAM)

    assert answer.status_code == status
    assert said in answer.json()["error"]


async def test_what_is_not_there_is_not_corrected(client: httpx.AsyncClient) -> None:
    assert (await client.get("/studies/1.2.3/correct.json")).status_code == 404
    assert (await client.post("/corrections/none/undo", headers=PROGRAM)).status_code == 404
    assert (await client.get("/correct?study=1.2.3")).status_code == 404
    assert (await client.get("/correct", headers=PROGRAM)).status_code == 400
    assert "Nothing was corrected" in (await read(client, "/corrections")).one("main").text
