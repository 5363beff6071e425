"""What each door leaves in the audit: who, what, of which study, and never whose."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from dicomweb_box.accounts import audit_reads
from dicomweb_box.accounts.audit_check import verify
from dicomweb_box.app import assemble
from dicomweb_box.box import Box, open_box
from tests.builders import make_instance, new_uid
from tests.conftest import MakeBox
from tests.dicomweb.doors import RELATED, body_of
from tests.web.test_studies_page import keep
from tests.web.uploading import begun, sent

PROGRAM = {"Accept": "application/json"}
SENTINEL = "Sentinelius"
PLANTED = {
    "PatientName": f"{SENTINEL}^Quirina",
    "PatientID": f"ID-{SENTINEL}",
    "AccessionNumber": f"A{SENTINEL}",
    "StudyDescription": f"Of {SENTINEL}",
    "SeriesDescription": f"Of {SENTINEL}",
    "ReferringPhysicianName": f"{SENTINEL}^Doctor",
}


@pytest.fixture
async def box(make_box: MakeBox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    """An open, empty box whose minute does not end, and which writes reads when it is told to."""
    monkeypatch.setattr(audit_reads, "WRITE_EVERY", 3600.0)
    async with make_box(clock=lambda: datetime(2026, 5, 4, 12, 0, 20, tzinfo=UTC)) as opened:
        yield opened


async def told(box: Box, *but: str) -> list[dict[str, Any]]:
    """Every row but the chain's first, once the reads are written."""
    await audit_reads.reads(box).write(all_of_it=True)
    rows = await box.database.fetch_all("select * from audit where action <> 'start' order by id")
    names = ("actor", "kind", "address", "action", "outcome", "study_uid", "about", "count")
    return [{name: row[name] for name in names} for row in rows if row["action"] not in but]


async def acts(box: Box, *but: str) -> list[tuple[str, str, str, int]]:
    return [(row["action"], row["outcome"], row["study_uid"], row["count"]) for row in await told(box, *but)]


async def stow(client: httpx.AsyncClient, *parts: bytes) -> httpx.Response:
    return await client.post(
        "/dicom-web/studies", content=body_of(parts), headers={"Content-Type": RELATED, "Accept": "*/*"}
    )


async def test_what_is_stored_is_one_row_a_group_and_study(box: Box, client: httpx.AsyncClient) -> None:
    one, other = new_uid(), new_uid()
    parts = [make_instance(study=one, series="1.2.9", instance=new_uid()) for _ in range(4)]

    await stow(client, *parts, make_instance(study=other))

    rows = await told(box)
    assert {(row["actor"], row["kind"], row["address"]) for row in rows} == {
        ("anonymous", "anonymous", "127.0.0.1")
    }
    assert {row["action"] for row in rows} == {"store"}
    assert sum(row["count"] for row in rows if row["study_uid"] == one) == 4
    assert sum(row["count"] for row in rows if row["study_uid"] == other) == 1
    assert len(rows) < 5


async def test_many_looks_in_a_minute_are_two_rows(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box, series="1.2.9", instance="1.2.9.1")
    await told(box)
    frame = f"/dicom-web/studies/{study}/series/1.2.9/instances/1.2.9.1/metadata"

    for _ in range(3):
        assert (await client.get(frame, headers=PROGRAM)).status_code == 200
    await audit_reads.reads(box).write()
    for _ in range(40):
        await client.get(frame, headers=PROGRAM)
    await audit_reads.reads(box).write()

    rows = await box.database.fetch_all(
        "select action, count, study_uid from audit where action = 'retrieve'"
    )
    assert [tuple(row) for row in rows] == [("retrieve", 3, study)]
    assert await acts(box, "store") == [
        ("retrieve", "success", study, 3),
        ("retrieve", "success", study, 40),
    ]


async def test_looks_are_told_apart_by_what_and_of_which_study_and_how_it_ended(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = await keep(box)

    await client.get("/studies")
    await client.get("/dicom-web/studies", headers=PROGRAM)
    await client.get(f"/studies/{study}")
    await client.get(f"/dicom-web/studies/{study}/metadata", headers={"Accept": "application/dicom+json"})
    await client.get("/dicom-web/studies/1.2.3.4.5/metadata", headers={"Accept": "application/dicom+json"})
    await client.get(f"/wado?requestType=WADO&studyUID={study}&seriesUID=1.2&objectUID=1.3")
    await client.get("/static/x/app.css")
    await client.get("/healthz")

    assert sorted(await acts(box, "store")) == sorted([
        ("search", "success", "", 2),
        ("view", "success", study, 1),
        ("retrieve", "success", study, 1),
        ("retrieve", "not found", "1.2.3.4.5", 1),
        ("retrieve", "not found", study, 1),
    ])  # fmt: skip


async def test_the_rest_is_written_when_the_box_closes(make_box: MakeBox) -> None:
    async with make_box() as box:
        study = await keep(box)
        transport = httpx.ASGITransport(assemble(box))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.get(f"/studies/{study}")
        settings = box.settings
    async with open_box(settings) as again:
        assert await again.database.fetch_value("select study_uid from audit where action = 'view'") == study
        assert await verify(again) == []


async def test_care_labels_and_decisions_are_recorded_with_their_keys(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = await keep(box, **PLANTED)

    async def post(path: str, **body: Any) -> dict[str, Any]:
        answer = await client.post(path, json=body, headers=PROGRAM)
        assert answer.status_code < 300, answer.text
        return dict(answer.json())

    await post("/labels/apply", study=study, add="interesting")
    await post(f"/studies/{study}/correct", PatientName="Other^Name", reason=f"was {SENTINEL}")
    rejection = (await post("/reject", study=study, reason="113001"))["rejected"][0]["id"]
    await post(f"/rejected/{rejection}/restore")
    await client.get(f"/download?study={study}")
    await client.delete(f"/dicom-web/studies/{study}", headers=PROGRAM)

    rows = await told(box, "store", "view", "search")
    assert [(row["action"], row["outcome"], row["study_uid"]) for row in rows] == [
        (action, "success", study) for action in ("label", "correct", "reject", "restore", "export", "erase")
    ]
    assert json.loads(rows[1]["about"])["attributes"] == ["00100010"]
    assert json.loads(rows[2]["about"]) == {"rejection": rejection, "reason": "113001"}


async def test_no_attribute_of_a_patient_is_in_it_whichever_door_it_came_through(
    box: Box, client: httpx.AsyncClient
) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    uids = {"study": study, "series": series, "instance": instance}
    dicom = {"Accept": "application/dicom+json"}
    await stow(client, make_instance(**uids, **PLANTED))
    await stow(client, make_instance(**uids, **PLANTED, StationName="other bytes"))
    await stow(client, make_instance(study=study, series=series, **{**PLANTED, "PatientID": "another"}))
    deep = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"

    for path in (
        f"/dicom-web/studies?PatientName={SENTINEL}*", f"/dicom-web/studies/{SENTINEL}/metadata",
        f"/dicom-web/studies/{study}/series?SeriesDescription={SENTINEL}",
        f"/dicom-web/studies/{study}/metadata",
        deep, f"{deep}/rendered", f"{deep}/frames/1", f"{deep}/bulkdata/{SENTINEL}", f"/dicom-web/{SENTINEL}",
        f"/wado?requestType=WADO&studyUID={SENTINEL}&seriesUID={SENTINEL}&objectUID={instance}",
        f"/studies?q={SENTINEL}", f"/studies/{SENTINEL}", f"/studies/{study}", f"/patients?q={SENTINEL}",
        f"/patients/{SENTINEL}", f"/series?q={SENTINEL}", f"/studies/{study}/viewer", "/held",
        "/disagreements",
        f"/selections/{SENTINEL}", f"/labels/{SENTINEL}", f"/upload/{SENTINEL}", f"/rules/{SENTINEL}",
        f"/ohif/{SENTINEL}", f"/{SENTINEL}", f"/download?study={study}", f"/download?study={SENTINEL}",
    ):  # fmt: skip
        await client.get(path)
        await client.get(path, headers=dicom)
    session = await begun(client, name=f"For {SENTINEL}")
    await sent(client, session, f"{SENTINEL}/one.dcm", make_instance(study=study, **PLANTED))
    rule = {
        "name": SENTINEL,
        "label": SENTINEL,
        "level": "study",
        "attribute": "PatientName",
        "value": SENTINEL,
    }
    for path, body in (
        ("/labels", {"name": SENTINEL}), ("/labels/apply", {"study": study, "add": SENTINEL}),
        ("/rules", rule),
        ("/selections", {"study": study}), ("/reject", {"study": SENTINEL, "reason": "113001"}),
        (f"/studies/{study}/correct", {"PatientName": f"{SENTINEL}^New", "reason": SENTINEL}),
        ("/reject", {"study": study, "reason": "113001", "note": SENTINEL}),
        ("/disagreements/accept", {"study": SENTINEL}), ("/login", {"name": SENTINEL, "password": SENTINEL}),
    ):  # fmt: skip
        await client.post(path, json=body, headers=PROGRAM)
    await client.delete(f"/dicom-web/studies/{SENTINEL}", headers=PROGRAM)

    await audit_reads.reads(box).write(all_of_it=True)
    rows = await box.database.fetch_all("select * from audit")
    text = "\n".join(" ".join(str(value) for value in row) for row in rows)
    assert SENTINEL.casefold() not in text.casefold()
    assert {row["action"] for row in rows} >= {
        "store", "search", "view", "retrieve", "label", "change rule", "correct", "reject", "upload",
        "export",
    }  # fmt: skip
    assert await verify(box) == []
