"""Labels on pages, by people's forms and by programs."""

import httpx
import pytest

from dicomweb_box.box import Box
from tests.builders import new_uid
from tests.web.test_studies_page import keep, read

PROGRAM = {"Accept": "application/json"}


async def apply(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    return await client.post("/labels/apply", json=fields, headers=PROGRAM)


async def test_an_empty_list_says_how_to_begin(client: httpx.AsyncClient) -> None:
    page = await read(client, "/labels")

    assert "There is no label yet" in page.one("main").text


async def test_a_label_is_made_renamed_and_deleted(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)
    made = await client.post("/labels", data={"name": "Reserch"})
    address = made.headers["location"]
    await apply(client, study=study, add="reserch")

    renamed = await client.post(address, data={"name": "Research"})
    page = await read(client, address)
    listed = await read(client, "/labels")
    asked = await read(client, f"{address}/delete")

    assert (made.status_code, renamed.status_code) == (303, 303)
    assert page.one("h1").text == "Research"
    assert "/studies?Labels=Research" in listed.addresses()
    assert "“Research” will be taken from 1 study" in " ".join(asked.one("main").text.split())
    assert (await client.post(f"{address}/delete")).headers["location"] == "/labels"
    await read(client, address, 404)


async def test_a_name_that_cannot_be_is_said_beside_its_field(client: httpx.AsyncClient) -> None:
    taken = (await client.post("/labels", json={"name": "a"}, headers=PROGRAM)).json()
    other = (await client.post("/labels", json={"name": "b"}, headers=PROGRAM)).json()

    for address, name in (("/labels", "a\\b"), (f"/labels/{other['id']}", "A")):
        answer = await client.post(address, data={"name": name})
        assert answer.status_code == 422
        assert 'aria-invalid="true" aria-describedby="name-message"' in answer.text
        assert (await client.post(address, json={"name": name}, headers=PROGRAM)).status_code in (400, 409)
    assert taken["name"] == "a"


async def test_a_study_page_shows_labels_and_gives_and_takes_them(
    box: Box, client: httpx.AsyncClient
) -> None:
    series = new_uid()
    study = await keep(box, series=series)
    await apply(client, series=f"{study}/{series}", add="of series")

    given = await client.post("/labels/apply", data={"study": study, "add": "<b>", "back": "//elsewhere"})
    page = await read(client, given.headers["location"])
    chips = [item.text.split("\n")[0] for item in page.elements["li"]]
    taken = await client.post("/labels/apply", data={"study": study, "remove": "<b>"})
    after = await read(client, taken.headers["location"])

    assert given.headers["location"] == taken.headers["location"] == f"/studies/{study}"
    assert chips == ["<b>", "of series"]
    assert [item.text.split("\n")[0] for item in after.elements["li"]] == ["of series"]
    assert f"/labels/apply?series={study}/{series}" in page.addresses()
    assert [option.attributes["value"] for option in page.elements["option"]] == ["<b>", "of series"]


async def test_htmx_gets_the_labels_alone(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    answer = await client.post(
        "/labels/apply",
        data={"study": study, "add": "new", "chips": "1"},
        headers={"HX-Request": "true", "HX-Request-Type": "partial"},
    )

    assert answer.status_code == 200
    assert answer.text.strip().startswith(f'<div class="labels" id="labels-{study}">')
    assert ">new</a>" in answer.text


async def test_many_are_labelled_at_once_and_the_form_says_what_they_have(
    box: Box, client: httpx.AsyncClient
) -> None:
    studies = [await keep(box) for _ in range(3)]
    await apply(client, study=studies[:2], add="two")
    made = await client.post("/selections", json={"study": studies}, headers=PROGRAM)
    selection = made.json()["id"]

    page = await read(client, f"/labels/apply?selection={selection}")
    held = (await client.get(f"/labels/apply.json?selection={selection}")).json()
    changed = await apply(client, selection=selection, add=["a", "b"], remove="two")
    led = await client.post("/labels/apply", data={"selection": selection, "add": "c"})

    assert "3 studies" in page.one("main").text
    assert held == [{"name": "two", "by_hand": 2, "by_rule": 0}]
    assert changed.json() == {"added": 6, "removed": 2, "kept": 0}
    assert led.headers["location"] == f"/selections/{selection}"
    assert "/labels/apply?selection=" in " ".join(
        (await read(client, f"/selections/{selection}")).addresses()
    )


async def test_what_cannot_be_labelled_is_said(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    nothing = await client.post("/labels/apply", data={"study": study})
    assert nothing.status_code == 422
    assert "Name a label to add" in nothing.text
    assert (await apply(client, study=study)).status_code == 400
    assert (await apply(client, add="x")).status_code == 400
    assert (await apply(client, study="1.2.3", add="x")).status_code == 404
    assert (await client.get("/labels/apply")).status_code == 400


async def test_the_list_of_studies_is_narrowed_by_label(box: Box, client: httpx.AsyncClient) -> None:
    study, _ = await keep(box, PatientName="Doe^Jane"), await keep(box, PatientName="Roe^Rita")
    await apply(client, study=study, add="Research")

    page = await read(client, "/studies?Labels=research")

    assert [one.text.strip() for one in page.elements["th"] if "tbody" in one.inside] == ["Doe, Jane"]


@pytest.mark.parametrize("path", ["/labels/nothing", "/labels/nothing/delete", "/labels/nothing.json"])
async def test_what_is_not_there_is_404(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_programs_delete_and_list(client: httpx.AsyncClient) -> None:
    made = await client.post("/labels", json={"name": "x"}, headers=PROGRAM)
    assert made.status_code == 201
    assert (await client.get("/labels.json")).json() == [
        {"id": made.json()["id"], "name": "x", "studies": 0, "series": 0, "rules": []}
    ]
    assert (await client.delete(made.headers["location"], headers=PROGRAM)).status_code == 200
    assert (await client.get("/labels.json")).json() == []
