"""Rejecting, restoring and erasing by people's forms and by programs; what DICOMweb says meanwhile."""

import httpx
import pytest

from dicomweb_box.box import Box
from tests.builders import make_instance, new_uid
from tests.dicomweb.doors import body_of, client_of, post
from tests.web.test_studies_page import keep, read

PROGRAM = {"Accept": "application/json"}


async def test_people_reject_a_study_and_restore_it(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box, PatientName="Doe^Jane", SeriesDescription="Axial")

    form = await read(client, f"/reject?study={study}")
    said = await client.post("/reject", data={"study": study, "reason": "113001", "note": "motion"})
    listed = await read(client, said.headers["location"])
    gone = await read(client, f"/studies/{study}", status=410)
    action = next(f.attributes["action"] for f in listed.elements["form"])
    back = await client.post(action)

    assert "Axial" in form.one("main").text
    assert said.status_code == 303
    assert "Doe, Jane" in listed.one("main").text
    assert "Rejected for Quality Reasons" in listed.one("main").text
    assert "/rejected" in gone.addresses()
    assert back.headers["location"] == f"/studies/{study}"
    await read(client, f"/studies/{study}")


@pytest.mark.parametrize("given", [{}, {"reason": "42"}])
async def test_without_a_reason_the_form_comes_back(
    box: Box, client: httpx.AsyncClient, given: dict[str, str]
) -> None:
    study = await keep(box)

    again = await client.post("/reject", data={"study": study, "note": "kept", **given})
    program = await client.post("/reject", json={"study": study, **given}, headers=PROGRAM)

    assert again.status_code == program.status_code == 422
    assert "kept" in again.text
    assert "reason" in program.json()["error"]
    await read(client, f"/studies/{study}")


@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_programs_reject_at_each_level_and_erase(
    box: Box, client: httpx.AsyncClient, level: str
) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    await keep(box, study=study, series=series, instance=instance)
    parts = {"study": 1, "series": 2, "instance": 3}[level]
    pairs = list(zip(("studies", "series", "instances"), (study, series, instance), strict=True))[:parts]
    address = "".join(f"/{name}/{uid}" for name, uid in pairs)

    asked = await client.get(f"{address}/reject.json")
    made = await client.post(f"{address}/reject", json={"reason": "113037"}, headers=PROGRAM)
    key = made.json()["rejected"][0]["id"]
    wrong = await client.post(f"/rejected/{key}/erase", json={"confirm": 2}, headers=PROGRAM)
    erased = await client.post(f"/rejected/{key}/erase", json={"confirm": 1}, headers=PROGRAM)

    assert asked.json()["going"]["instances"] == 1
    assert made.json()["rejected"][0]["instances"] == 1
    assert wrong.status_code == 422
    assert erased.json() == {"erased": 1}
    assert (await client.get("/rejected.json")).json()["rejected"] == []
    assert (await client.get(f"/studies/{study}")).status_code == 404


@pytest.mark.dicom("PS3.18 10.4.3.1")
async def test_every_resource_of_what_is_rejected_is_gone(box: Box, client: httpx.AsyncClient) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    data = make_instance(study=study, series=series, instance=instance)
    await post(box, body_of([data]))
    made = await client.post("/reject", json={"study": study, "reason": "113001"}, headers=PROGRAM)
    whole, below = f"/studies/{study}", f"/studies/{study}/series/{series}"
    one = f"{below}/instances/{instance}"
    wado = f"/../wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"

    async with client_of(box) as dicomweb:
        for path in (
            *(
                f"{at}{kind}"
                for at in (whole, below, one)
                for kind in ("", "/metadata", "/rendered", "/thumbnail")
            ),
            *(f"{at}/{kind}" for at in (whole, below, one) for kind in ("bulkdata", "pixeldata")),
            f"{one}/frames/1",
            f"{one}/frames/1/rendered",
            f"/series/{series}",
            f"/instances/{instance}",
            wado,
        ):
            assert (await dicomweb.get(path)).status_code == 410, path
        assert (await dicomweb.delete(whole)).status_code == 410
        assert (await dicomweb.get("/studies", params={"StudyInstanceUID": study})).json() == []

        key = made.json()["rejected"][0]["id"]
        assert (await client.post(f"/rejected/{key}/restore", headers=PROGRAM)).json() == {"restored": 1}
        given = await dicomweb.get(one, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert given.content == data


async def test_erasing_needs_the_number_typed(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    page = await read(client, f"/erase?study={study}")
    bare = await client.post("/erase", data={"study": study})
    wrong = await client.post("/erase", data={"study": study, "confirm": "7"})
    there = (await client.get(f"/studies/{study}")).status_code
    done = await client.post("/erase", data={"study": study, "confirm": "1"})

    assert "cannot be undone" in page.one("main").text
    assert (bare.status_code, wrong.status_code, there) == (422, 422, 200)
    assert (done.status_code, done.headers["location"]) == (303, "/studies")
    assert (await client.get(f"/studies/{study}")).status_code == 404


async def test_a_selection_and_single_instances_are_rejected_together(
    box: Box, client: httpx.AsyncClient
) -> None:
    one, two = await keep(box), await keep(box)
    study, series, instance = new_uid(), new_uid(), new_uid()
    await keep(box, study=study, series=series, instance=instance)
    made = await client.post("/selections", json={"study": [one, two]}, headers=PROGRAM)

    said = await client.post(
        "/reject",
        json={
            "selection": made.json()["id"],
            "instance": f"{study}/{series}/{instance}",
            "reason": "113039",
        },
        headers=PROGRAM,
    )

    assert len(said.json()["rejected"]) == 3
    assert (await client.get("/studies.json")).json()["studies"] == []
    assert len((await client.get("/rejected.json")).json()["rejected"]) == 3
    assert len((await client.get(f"/rejected.json?study={two}")).json()["rejected"]) == 1


async def test_what_names_nothing_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/reject.json")).status_code == 400
    assert (await client.get("/erase.json?instance=1.2.3")).status_code == 400
    assert (await client.get("/erase.json?study=1.2.3")).status_code == 404
    assert (await client.get("/rejected/none/erase.json")).status_code == 404
    assert (await client.post("/rejected/none/restore", headers=PROGRAM)).status_code == 404


async def test_the_empty_list_says_what_it_is_for(client: httpx.AsyncClient) -> None:
    page = await read(client, "/rejected")

    assert "Nothing is rejected" in page.one("main").text
