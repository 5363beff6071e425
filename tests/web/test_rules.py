"""The pages of rules, by people's forms and by programs."""

import httpx
import pytest

from dicomweb_box.archive import rule_runs
from dicomweb_box.box import Box
from tests.web.test_studies_page import keep, read

PROGRAM = {"Accept": "application/json"}
RULE = {
    "name": "CT of hips",
    "label": "hip CT",
    "level": "series",
    "attribute": ["Modality", "", "StudyDescription"],
    "value": ["CT", "", "*hip*"],
}


async def make(client: httpx.AsyncClient, **changed: object) -> httpx.Response:
    return await client.post("/rules", json=RULE | changed, headers=PROGRAM)


async def catch_up(box: Box) -> None:
    while await rule_runs.step(box):
        pass


async def test_an_empty_list_says_what_a_rule_is_good_for(client: httpx.AsyncClient) -> None:
    page = await read(client, "/rules")

    assert "There is no rule yet" in page.one("main").text
    assert "/rules/new" in page.addresses()


async def test_a_rule_is_made_by_the_form_runs_and_labels(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box, StudyDescription="Left hip")
    await keep(box, StudyDescription="Knee")

    made = await client.post("/rules", data=RULE)
    waiting = await read(client, made.headers["location"])
    await catch_up(box)
    done = await read(client, made.headers["location"])
    listed = await read(client, "/rules")

    assert made.status_code == 303
    assert waiting.one("progress").attributes["value"] == "0"
    assert done.elements["progress"] == []
    assert "1 series have the label" in " ".join(done.one("main").text.split())
    typed = [one.attributes["value"] for one in done.elements["input"] if one.attributes["name"] == "value"]
    assert typed == ["CT", "*hip*", ""]
    assert "hip CT" in listed.one("tbody").text
    assert "hip CT" in (await read(client, f"/studies/{study}")).one("main").text


async def test_the_form_grows_and_says_what_would_match_without_keeping_anything(
    box: Box, client: httpx.AsyncClient
) -> None:
    await keep(box, Modality="CT")
    asked = "name=n&label=l&level=study&attribute=Modality&value=CT&attribute=&value="

    wider = await read(client, f"/rules/new?{asked}&do=row")
    preview = await read(client, f"/rules/new?{asked}&do=preview")
    wrong = await read(client, "/rules/new?attribute=Nonsense&value=x&do=preview")
    part = await client.get(
        f"/rules/new?{asked}&do=preview",
        headers={"HX-Request": "true", "HX-Request-Type": "partial"},
    )

    assert len([one for one in wider.elements["input"] if one.attributes["name"] == "attribute"]) == 3
    assert "Matches 1 studies of all 1 studies now." in " ".join(preview.one("main").text.split())
    assert "No attribute has this keyword." in wrong.one("main").text
    assert part.text.strip().startswith("<form")
    assert (await client.get("/rules.json")).json() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": ""}, "A rule's name"),
        ({"label": ""}, "A label has a name"),
        ({"attribute": ["Nonsense"], "value": ["x"]}, "No attribute has this keyword"),
        ({"attribute": ["StudyDate"], "value": ["today"]}, "StudyDate is not a date"),
        ({"attribute": [], "value": []}, "Name at least one condition"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_lost(
    client: httpx.AsyncClient, changed: dict[str, object], said: str
) -> None:
    answer = await client.post("/rules", data=RULE | changed)

    assert answer.status_code == 422
    assert said in answer.text.replace("&#39;", "'")
    assert 'aria-invalid="true"' in answer.text
    assert (await make(client, **changed)).status_code == 400


async def test_unequal_lists_and_other_levels_are_refused(client: httpx.AsyncClient) -> None:
    assert (await make(client, attribute=["Modality"], value=[])).status_code == 400
    assert (await make(client, level="patient")).status_code == 400


async def test_programs_change_switch_run_and_delete(box: Box, client: httpx.AsyncClient) -> None:
    made = await make(client)
    address = made.headers["location"]
    assert made.status_code == 201
    assert (await make(client)).status_code == 409

    changed = await client.post(address, json=RULE | {"label": "other"}, headers=PROGRAM)
    off = await client.post(f"{address}/enabled", json={"enabled": False}, headers=PROGRAM)
    on = await client.post(f"{address}/enabled", json={"enabled": True}, headers=PROGRAM)
    await catch_up(box)
    run = await client.post(f"{address}/run", headers=PROGRAM)

    assert changed.json()["label"] == "other"
    assert (changed.json()["attribute"], changed.json()["value"]) == (
        ["Modality", "StudyDescription"],
        ["CT", "*hip*"],
    )
    assert (off.json()["enabled"], on.json()["enabled"]) == (False, True)
    assert run.json()["run"] == "waiting"
    assert (await client.get(f"{address}.json")).json() == run.json()
    assert (await client.delete(address, headers=PROGRAM)).status_code == 200
    await catch_up(box)
    assert (await client.get(f"{address}.json")).status_code == 404


async def test_deleting_says_what_it_takes_away(box: Box, client: httpx.AsyncClient) -> None:
    await keep(box, StudyDescription="hip")
    address = (await make(client)).headers["location"]
    await catch_up(box)

    page = await read(client, f"{address}/delete")
    gone = await client.post(f"{address}/delete")

    assert "gave the label “hip CT” to 1 series" in " ".join(page.one("main").text.split())
    assert gone.headers["location"] == "/rules"
    assert "being deleted" in (await read(client, "/rules")).one("main").text
    await read(client, address)
    await catch_up(box)
    await read(client, address, 404)
    await read(client, "/rules/nothing/delete", 404)


async def test_a_label_that_a_rule_gives_names_the_rule(box: Box, client: httpx.AsyncClient) -> None:
    await make(client)
    (label,) = (await client.get("/labels.json")).json()

    shown = await read(client, f"/labels/{label['id']}/delete")

    assert label["rules"] == ["CT of hips"]
    assert "delete the rule" in shown.one("main").text
    assert (await client.delete(f"/labels/{label['id']}", headers=PROGRAM)).status_code == 409


async def test_a_new_rule_that_is_refused_comes_back_to_htmx_as_the_form(client: httpx.AsyncClient) -> None:
    partial = {"HX-Request": "true", "HX-Request-Type": "partial"}

    refused = await client.post("/rules", data={"name": ""}, headers=partial)
    blank = await client.get("/rules/new", headers=partial)

    assert (refused.status_code, blank.status_code) == (422, 200)
    assert all("<form" in answer.text and "<html" not in answer.text for answer in (refused, blank))
