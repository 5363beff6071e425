"""The pages of the worklist: the list, the form, and what programs post."""

from dataclasses import replace

import httpx
import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive import worklist
from dicomweb_box.box import Box
from dicomweb_box.dicom.scheduled_step import Step
from dicomweb_box.errors import Forbidden
from tests.accounts.people import PROGRAM
from tests.web.pages import Page, assert_well_made

STEP = {
    "patient_name": "Doe^Jane",
    "patient_id": "P1",
    "description": "CT chest",
    "modality": "ct",
    "ae_title": "MODALITY1",
    "start_date": "2026-01-05",
    "start_time": "09:30",
}


async def test_a_step_is_made_by_the_form_shown_and_removed(client: httpx.AsyncClient, box: Box) -> None:
    assert "Nothing is to be done" in (await client.get("/worklist")).text
    assert_well_made(Page((await client.get("/worklist/new")).text))

    answer = await client.post("/worklist", data=STEP | {"study_uid": "", "sex": "f"})

    assert answer.status_code == 303
    address = answer.headers["location"]
    listed = await client.get("/worklist")
    assert_well_made(Page(listed.text))
    for shown in ("2026-01-05 09:30", "Doe Jane", "CT chest", "MODALITY1", "scheduled"):
        assert shown in listed.text
    one = await client.get(address)
    assert_well_made(Page(one.text))
    ((kept,),) = [(await worklist.page(box, scope=EVERYTHING, actor=ANONYMOUS)).steps]
    assert (kept.step.start_date, kept.step.start_time) == ("20260105", "0930")
    assert (kept.step.modality, kept.step.sex) == ("CT", "F")
    assert kept.step.study_uid.startswith("2.25.")
    assert kept.step.procedure_id == kept.step.step_id != ""
    assert_well_made(Page((await client.get(f"{address}/remove")).text))

    assert (await client.post(f"{address}/remove")).headers["location"] == "/worklist"
    assert (await client.get(address)).status_code == 404
    assert "Nothing is to be done" in (await client.get("/worklist")).text


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"patient_name": ""}, "patient_name"),
        ({"patient_id": ""}, "patient_id"),
        ({"patient_id": "A\\B"}, "patient_id"),
        ({"patient_name": "a=b=c=d"}, "patient_name"),
        ({"patient_name": "x" * 65}, "patient_name"),
        ({"ae_title": ""}, "ae_title"),
        ({"ae_title": "Müller"}, "ae_title"),
        ({"modality": "C/T"}, "modality"),
        ({"start_date": "20261301"}, "start_date"),
        ({"start_time": "25:00"}, "start_time"),
        ({"birth_date": "yesterday"}, "birth_date"),
        ({"study_uid": "1.2.x"}, "study_uid"),
        ({"accession_number": "A" * 17}, "accession_number"),
    ],
)
async def test_a_form_that_is_wrong_comes_back_with_what_is_beside_the_field(
    client: httpx.AsyncClient, box: Box, wrong: dict[str, str], field: str
) -> None:
    answer = await client.post("/worklist", data=STEP | wrong)

    assert answer.status_code == 422
    page = Page(answer.text)
    assert_well_made(page)
    (marked,) = [one for one in page.all() if "aria-invalid" in one.attributes]
    assert marked.attributes["id"] == field
    program = await client.post("/worklist", json=STEP | wrong, headers=PROGRAM)
    assert program.status_code == 400
    assert not (await worklist.page(box, scope=EVERYTHING, actor=ANONYMOUS)).steps


async def test_a_program_makes_changes_and_removes_one(client: httpx.AsyncClient, box: Box) -> None:
    made = await client.post("/worklist", json=STEP | {"step_id": "S1"}, headers=PROGRAM)
    assert made.status_code == 201
    address = made.headers["location"]
    assert made.json()["start_time"] == "0930"
    assert (await client.post("/worklist", json=STEP | {"step_id": "S1"}, headers=PROGRAM)).status_code == 409
    assert (await client.post("/worklist", data=STEP | {"step_id": "S1"})).status_code == 422

    changed = await client.post(address, json={"start_time": "1000", "status": "completed"}, headers=PROGRAM)

    assert changed.json() == made.json() | {
        "start_time": "1000",
        "status": "COMPLETED",
        "changed_at": changed.json()["changed_at"],
    }
    assert (await client.get(f"{address}.json")).json() == changed.json()
    assert (await client.get("/worklist.json")).json() == {"steps": [], "more": False}
    of_day = (await client.get("/worklist.json", params={"day": "2026-01-05"})).json()
    assert of_day == {"steps": [changed.json()], "more": False}
    assert (await client.get("/worklist.json", params={"day": "soon"})).status_code == 400
    assert (await client.post(address, json={"status": "lost"}, headers=PROGRAM)).status_code == 400
    assert (await client.post(address, data={"status": "lost"})).status_code == 422
    assert (await client.delete(address, headers=PROGRAM)).status_code == 200
    assert (await client.delete(address, headers=PROGRAM)).status_code == 404
    assert (await client.post(address, json={}, headers=PROGRAM)).status_code == 404


async def test_whoever_sees_a_part_sees_nothing_of_it(box: Box) -> None:
    step = Step(**{**STEP, "modality": "CT"})
    made = await worklist.add(box, step, scope=EVERYTHING, actor=ANONYMOUS)
    for scope in (Scope(studies=frozenset({"1.2"})), replace(EVERYTHING, identities=False)):
        with pytest.raises(Forbidden):
            await worklist.page(box, scope=scope, actor=ANONYMOUS)
        with pytest.raises(Forbidden):
            await worklist.by_id(box, made.id, scope=scope, actor=ANONYMOUS)
        with pytest.raises(Forbidden):
            await worklist.remove(box, made.id, scope=scope, actor=ANONYMOUS)


async def test_changes_are_in_the_audit_without_the_patient(client: httpx.AsyncClient, box: Box) -> None:
    made = await client.post("/worklist", json=STEP | {"step_id": "S1"}, headers=PROGRAM)
    await client.delete(made.headers["location"], headers=PROGRAM)

    rows = [
        row for row in (await client.get("/audit.json")).json()["rows"] if row["action"] == "change worklist"
    ]

    assert [row["about"]["what"] for row in rows] == ["removed", "made"]
    assert all(row["about"]["step"] == "S1" for row in rows)
    assert "Doe" not in str(rows)
