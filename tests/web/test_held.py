"""Deciding about versions that are held, and about instances that disagree."""

import httpx
import pytest

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.archive import reindex
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.remove import drain_removals
from dicomweb_box.box import Box
from tests.builders import make_instance, new_uid, pieces
from tests.web.pages import Page, assert_well_made

JSON = {"Accept": "application/json"}


async def keep(box: Box, source: str = "scanner", **attributes: object) -> None:
    await store(box, await receive(box, pieces(make_instance(**attributes))), source=source, actor=SYSTEM)


async def conflict(box: Box) -> dict[str, str]:
    """An instance that is served, and one with other bytes that is held."""
    uids = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    await keep(box, **uids, PatientName="First^Came")
    await keep(box, source="intruder", **uids, PatientName="Second^Came")
    return uids


async def read(client: httpx.AsyncClient, path: str) -> Page:
    answer = await client.get(path)
    assert answer.status_code == 200
    page = Page(answer.text)
    assert_well_made(page)
    return page


async def held(client: httpx.AsyncClient, state: str = "held") -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await client.get(f"/held.json?state={state}")).json()["versions"]
    return found


async def served_name(client: httpx.AsyncClient, uids: dict[str, str]) -> str:
    found = (
        await client.get(f"/dicom-web/studies?StudyInstanceUID={uids['StudyInstanceUID']}", headers=JSON)
    ).json()
    name: str = found[0]["00100010"]["Value"][0]["Alphabetic"]
    return name


async def test_a_held_version_is_listed_beside_what_is_served(box: Box, client: httpx.AsyncClient) -> None:
    uids = await conflict(box)

    [one] = await held(client)
    listed = await read(client, "/held")
    shown = await read(client, f"/held/{one['instance_uid']}/{one['sha256']}")

    assert (one["instance_uid"], one["source"], one["served_source"]) == (
        uids["SOPInstanceUID"], "intruder", "scanner",
    )  # fmt: skip
    assert uids["SOPInstanceUID"] in listed.one("main").text
    [row] = [row.text.split() for row in shown.elements["tr"] if "tbody" in row.inside]
    assert row[:4] == ["(0010,0010)", "Patient's", "Name", "Served:"]
    assert row[4:] == ["First,", "Came", "This:", "Second,", "Came"]


async def test_a_held_version_is_served_and_the_other_one_kept(box: Box, client: httpx.AsyncClient) -> None:
    uids = await conflict(box)
    [one] = await held(client)

    answer = await client.post(f"/held/{one['instance_uid']}/{one['sha256']}/serve", headers=JSON)

    assert (answer.status_code, answer.json()["state"]) == (200, "current")
    assert await served_name(client, uids) == "Second^Came"
    assert await held(client) == []
    [before] = await held(client, "earlier")
    assert before["source"] == "scanner"

    back = await client.post(f"/held/{before['instance_uid']}/{before['sha256']}/serve")
    assert (back.status_code, back.headers["location"]) == (303, "/held")
    assert await served_name(client, uids) == "First^Came"


async def test_a_decision_survives_a_rebuilt_index(box: Box, client: httpx.AsyncClient) -> None:
    uids = await conflict(box)
    [one] = await held(client)
    await client.post(f"/held/{one['instance_uid']}/{one['sha256']}/serve")

    await reindex.reindex(box)

    assert await served_name(client, uids) == "Second^Came"
    assert [version["source"] for version in await held(client, "earlier")] == ["scanner"]


async def test_a_held_version_is_deleted_for_good(box: Box, client: httpx.AsyncClient) -> None:
    uids = await conflict(box)
    [one] = await held(client)
    here = f"/held/{one['instance_uid']}/{one['sha256']}"

    assert (await client.post(f"{here}/discard", headers=JSON)).json()["state"] == "discarded"

    assert await drain_removals(box) == 1
    assert await held(client) == []
    assert (await client.get(here)).status_code == 404
    assert (await client.post(f"{here}/serve")).status_code == 404
    assert await served_name(client, uids) == "First^Came"


@pytest.mark.parametrize("path", ["/held/1.2.3/00", "/held/1.2.3/" + "0" * 64, "/held?state=current"])
async def test_what_is_not_kept_is_404(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_versions_come_in_pages(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await conflict(box)
    monkeypatch.setattr("dicomweb_box.archive.versions.PAGE", 2)
    from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
    from dicomweb_box.archive import versions

    first = await versions.waiting(box, "held", scope=EVERYTHING, actor=ANONYMOUS, limit=2)
    second = await versions.waiting(
        box, "held", before=first.older, scope=EVERYTHING, actor=ANONYMOUS, limit=2
    )

    assert (len(first.found), len(second.found), second.older) == (2, 1, None)
    assert len({one.instance_uid for one in (*first.found, *second.found)}) == 3


async def test_a_disagreement_is_listed_until_somebody_accepts_it(
    box: Box, client: httpx.AsyncClient
) -> None:
    uids = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    await keep(box, **uids, PatientID="ONE")
    await keep(box, **uids, PatientID="ONE")
    await keep(box, **uids, PatientID="TWO")

    page = await read(client, "/disagreements")
    [study] = (await client.get("/disagreements.json")).json()["studies"]
    assert [(vote["element"]["Value"], vote["instances"]) for vote in study["study"]["00100020"]] == [
        (["ONE"], 2), (["TWO"], 1),
    ]  # fmt: skip
    assert "Patient ID" in page.one("main").text

    answer = await client.post("/disagreements/accept", data={"study": uids["StudyInstanceUID"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/disagreements")
    assert (await client.get("/disagreements.json")).json()["studies"] == []

    await keep(box, **uids, PatientID="TWO", StudyDescription="Another")
    assert len((await client.get("/disagreements.json")).json()["studies"]) == 1


async def test_nothing_to_accept_is_said(box: Box, client: httpx.AsyncClient) -> None:
    uid = new_uid()
    await keep(box, StudyInstanceUID=uid)

    for given, status in (({"study": uid}, 409), ({"study": "1.2.3"}, 404), ({}, 400)):
        answer = await client.post("/disagreements/accept", data=given, headers=JSON)
        assert answer.status_code == status
        assert answer.json()["error"]


async def test_a_version_of_what_was_rejected_waits_until_that_is_restored(
    box: Box, client: httpx.AsyncClient
) -> None:
    uids = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    await keep(box, **uids)
    why = {"study": uids["StudyInstanceUID"], "reason": "113001"}
    rejected = await client.post("/reject", json=why, headers=JSON)
    await keep(box, **uids, PatientName="Other^Olga")
    (version,) = await held(client)
    serve = f"/held/{version['instance_uid']}/{version['sha256']}/serve"

    page = await client.get(serve.removesuffix("/serve"))
    early = await client.post(serve, headers=JSON)
    await client.post(f"/rejected/{rejected.json()['rejected'][0]['id']}/restore")
    offered = await client.get(serve.removesuffix("/serve"))
    late = await client.post(serve)

    assert version["rejected"] is True
    assert "Serve this version" not in page.text
    assert "restore or erase the other first" in page.text
    assert "Serve this version" in offered.text
    assert early.status_code == 409
    assert "restore" in early.json()["error"]
    assert late.status_code == 303
    assert await served_name(client, uids) == "Other^Olga"
