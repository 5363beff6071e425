"""What is told to somebody who may see the archive, but not who the patients are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from dicomweb_box.accounts import tokens
from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
from dicomweb_box.app import assemble
from dicomweb_box.archive import corrections, ingest, labelling, selections
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.dicom.unidentifying import TAGS
from tests.builders import make_instance, new_uid, pieces
from tests.web.pages import Page, assert_well_made

SECRETS = {
    "PatientName": "Zweistein^Alberta",
    "PatientID": "ZW-4711",
    "PatientBirthDate": "19520229",
    "StudyDate": "20210317",
    "StudyTime": "111213",
    "AccessionNumber": "ACC99871",
    "StudyDescription": "Zweistein follow-up",
    "SeriesDescription": "T1 of Zweistein",
    "InstitutionName": "Spital Hinterwald",
    "ReferringPhysicianName": "Dreistein^Hugo",
    "StudyID": "SID5566",
    "ImageComments": "seen by Zweistein",
    "PerformedProcedureStepStartDate": "20210317",
    "OperatorsName": "Vierstein^Ada",
}
OPEN = {"Modality": "CT", "BodyPartExamined": "KNEE", "PatientSex": "F", "SeriesNumber": 7}
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def study(guarded: Box) -> tuple[str, str, str]:
    """UIDs of one instance that is full of what tells whose it is."""
    uids = (new_uid(), new_uid(), new_uid())
    made = make_instance(study=uids[0], series=uids[1], instance=uids[2], **SECRETS, **OPEN)
    stored = await ingest.store(
        guarded, await ingest.receive(guarded, pieces(made)), source="test", actor=SYSTEM
    )
    assert isinstance(stored, Stored)
    await labelling.change(guarded, [uids[:2]], add=["Trial"], scope=EVERYTHING, actor=SYSTEM)
    return uids


@pytest.fixture
async def ask(guarded: Box) -> AsyncIterator[Ask]:
    """Asks as a program that may see, label and store, but not know who the patients are."""
    rights = ["see", "label", "store"]
    _, secret = await tokens.create(guarded, "researcher", rights=rights, actor=SYSTEM, expires=None)
    transport = httpx.ASGITransport(assemble(guarded), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

        async def asked(address: str, accept: str = "application/dicom+json") -> httpx.Response:
            return await client.get(address, headers={"Authorization": f"Bearer {secret}", "Accept": accept})

        yield asked


def assert_nothing_told(answer: httpx.Response) -> None:
    for name, value in SECRETS.items():
        for form in (value, value.split("^")[0], f"{value[:4]}-{value[4:6]}-{value[6:]}"):
            assert form not in answer.text, f"{name} in {answer.request.url}"


@pytest.mark.parametrize(
    "accept", ["application/dicom+json", "multipart/related; type=application/dicom+xml", "text/csv"]
)
@pytest.mark.parametrize(
    "more", ["", "?includefield=all", "?includefield=PatientName,StudyDate,InstitutionName,Labels"]
)
async def test_searches_tell_what_is_open_alone(
    study: tuple[str, str, str], ask: Ask, more: str, accept: str
) -> None:
    paths = [
        "/studies", "/series", "/instances", f"/studies/{study[0]}/series", f"/studies/{study[0]}/instances",
        f"/studies/{study[0]}/series/{study[1]}/instances",
    ]  # fmt: skip
    for path in paths:
        answer = await ask(f"/dicom-web{path}{more}", accept)
        assert answer.status_code == 200
        assert_nothing_told(answer)
        assert study[0] in answer.text
        if accept == "application/dicom+json":
            (row,) = answer.json()
            assert set(row) - {"4D530010", "4D531001"} <= TAGS
            assert row["0020000D"] == {"vr": "UI", "Value": [study[0]]}
            assert ("4D531001" in row) == bool(more)


async def test_what_a_dataset_says_in_our_private_block_is_not_taken_for_labels(
    guarded: Box, ask: Ask
) -> None:
    made = make_instance(**{"4D530010": ("LO", "DICOMWEB_BOX"), "4D531001": ("LO", "Zweistein")})
    await ingest.store(guarded, await ingest.receive(guarded, pieces(made)), source="test", actor=SYSTEM)

    assert "Zweistein" not in (await ask("/dicom-web/instances?includefield=all")).text


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/dicom-web/studies?PatientName=Zwei*", "PatientName"),
        ("/dicom-web/studies?00100020=ZW-4711", "00100020"),
        ("/dicom-web/studies?StudyDate=20210317", "StudyDate"),
        ("/dicom-web/studies?StudyDate=20210317&StudyTime=10-12", "StudyDate"),
        ("/dicom-web/studies?orderby=StudyDate", "StudyDate"),
        ("/dicom-web/studies/count?PatientID=Z*", "PatientID"),
        ("/dicom-web/instances?SeriesInstanceUID=1.2&ImageComments=seen*", "ImageComments"),
        (
            "/dicom-web/series?RequestAttributesSequence.ScheduledProcedureStepID=1",
            "ScheduledProcedureStepID",
        ),
        ("/dicom-web/studies?00091001=x", "00091001"),
        ("/studies?q=zweistein", "words"),
        ("/studies?PatientName=z*", "PatientName"),
        ("/studies?orderby=PatientName", "PatientName"),
        ("/studies?orderby=changed", "changed"),
        ("/studies.json?StudyDate=last-7-days", "StudyDate"),
        ("/series.json?SeriesDescription=*z*", "SeriesDescription"),
        ("/series?orderby=-StudyDate", "StudyDate"),
    ],
)
async def test_what_would_tell_by_matching_or_sorting_is_refused(
    study: tuple[str, str, str], ask: Ask, address: str, name: str
) -> None:
    answer = await ask(address)

    assert answer.status_code == 403, answer.text
    assert name in answer.text
    assert "identities" in answer.text


async def test_what_is_open_is_found(study: tuple[str, str, str], ask: Ask) -> None:
    for query in ("PatientSex=F", "ModalitiesInStudy=CT", "Labels=trial", f"StudyInstanceUID={study[0]}"):
        assert len((await ask(f"/dicom-web/studies?{query}&PatientName=")).json()) == 1
        assert (await ask(f"/dicom-web/studies/count?{query}")).json() == {"count": 1}
    for query in ("Labels=trial", "BodyPartExamined=KNEE", "orderby=size", "source=test"):
        assert len((await ask(f"/studies.json?{query}")).json()["studies"]) == 1
    assert (await ask("/dicom-web/studies?PatientSex=M")).json() == []


async def test_pages_say_once_that_it_is_hidden_and_tell_nothing(
    guarded: Box, study: tuple[str, str, str], ask: Ask
) -> None:
    name = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zweistein^Corrected"}]}}
    everybody: dict[str, Any] = {"scope": EVERYTHING, "actor": SYSTEM}
    await corrections.correct(guarded, [study[0]], name, reason="Zweistein said so", **everybody)
    for address in ("/studies", "/series", f"/studies/{study[0]}", f"/studies/{study[0]}/series/{study[1]}"):
        answer = await ask(address, "text/html")
        page = Page(answer.text)

        assert_well_made(page)
        assert answer.text.count("is hidden") == 1, answer.text
        assert_nothing_told(answer)
        assert page.elements["img"][1:] == []  # but for the program's own picture
        for to in page.addresses():
            assert not any(part in to for part in ("/viewer", "metadata", "thumbnail", "/patients", "zip"))
        assert_nothing_told(await ask(f"{address}.json"))


async def test_a_selection_tells_nothing_either(study: tuple[str, str, str], guarded: Box, ask: Ask) -> None:
    members = selections.Members(studies=(study[0],), series=((study[0], study[1]),))
    key = await selections.make(guarded, members, scope=EVERYTHING, actor=SYSTEM)

    page = await ask(f"/selections/{key}", "text/html")
    assert_well_made(Page(page.text))
    assert_nothing_told(page)
    assert "patient," not in page.text
    assert_nothing_told(await ask(f"/selections/{key}.json"))


async def test_objects_and_patients_are_refused(study: tuple[str, str, str], ask: Ask) -> None:
    path = f"/studies/{study[0]}/series/{study[1]}"
    for address in (
        f"/dicom-web{path}", f"/dicom-web{path}/metadata", f"/dicom-web{path}/thumbnail", "/patients",
        "/rules", f"{path}/instances/{study[2]}",
    ):  # fmt: skip
        answer = await ask(address)
        assert answer.status_code == 403, address
        assert_nothing_told(answer)
