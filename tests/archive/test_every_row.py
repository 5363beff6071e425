"""Whole answers: every row of a search once, whatever the page, also while instances arrive."""

from dataclasses import replace
from typing import Any

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive import every_row as every_row_module
from dicomweb_box.archive import ingest, patient_rows
from dicomweb_box.archive.every_row import every_row
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.patient_rows import every_patient
from dicomweb_box.box import Box
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import from_parameters
from tests.builders import make_instance, pieces

UIDS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (every_row_module, patient_rows):
        monkeypatch.setattr(module, "_FIRST", 2)
        monkeypatch.setattr(module, "_MOST", 3)


async def store(box: Box, **attributes: Any) -> None:
    received = await ingest.receive(box, pieces(make_instance(**attributes)))
    assert isinstance(await ingest.store(box, received, source="test", actor=ANONYMOUS), Stored)


async def rows(box: Box, level: Level, scope: Scope = EVERYTHING, **keys: str) -> list[str]:
    query, _ = from_parameters(level, list(keys.items()))
    pages = [page async for page in every_row(box, query, scope=scope, actor=ANONYMOUS)]
    return [row[UIDS[level]]["Value"][0] for page in pages for row in page.rows]


async def patients(box: Box, *counted: str, scope: Scope = EVERYTHING, **keys: str) -> list[dict[str, Any]]:
    query, _ = from_parameters("study", list(keys.items()))
    pages = [page async for page in every_patient(box, query, counted, scope=scope, actor=ANONYMOUS)]
    return [row for page in pages for row in page.rows]


async def fill(box: Box) -> None:
    days = ["20260105"] * 5 + ["20260103", "20260101", "20260101", "", ""]
    for number, day in enumerate(days):
        await store(
            box,
            study=f"1.2.{number}",
            series=f"1.2.{number}.1",
            instance=f"1.2.{number}.1.1",
            StudyDate=day,
            StudyTime="10",
            Modality="CT" if number % 2 else "MR",
            PatientID=["A", "B", "A", "", "C"][number % 5],
            PatientName=f"Doe^{number}",
        )


@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_every_row_comes_once_newest_day_first_and_what_has_none_last(box, level):
    await fill(box)

    found = await rows(box, level)

    assert found == [
        f"1.2.{number}" + {"study": "", "series": ".1", "instance": ".1.1"}[level] for number in range(10)
    ]


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        ({"StudyDate": "20260101-20260104"}, [5, 6, 7]),
        ({"StudyDate": "20260105"}, [0, 1, 2, 3, 4]),
        ({"StudyDate": "-20260103,20260105"}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"StudyDate": "20260101-", "StudyTime": "09-11"}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"StudyDate": '""', "emptyvaluematching": "true"}, [8, 9]),
        ({"StudyDate": '"",20260103', "emptyvaluematching": "true"}, [5, 8, 9]),
        ({"ModalitiesInStudy": "CT"}, [1, 3, 5, 7, 9]),
        ({"PatientName": "doe*"}, list(range(10))),
        ({"PatientID": "A"}, [0, 2, 5, 7]),
        ({"PatientID": "none"}, []),
    ],
)
async def test_keys_narrow_the_whole_answer(box, keys, numbers):
    await fill(box)
    assert await rows(box, "study", **keys) == [f"1.2.{number}" for number in numbers]


async def test_a_part_of_the_archive_is_all_that_a_scope_gets(box):
    await fill(box)
    scope = Scope(studies=frozenset({"1.2.1", "1.2.3", "1.2.9", "1.2.5"}))

    assert await rows(box, "study", scope) == ["1.2.1", "1.2.3", "1.2.5", "1.2.9"]
    blind = await rows(box, "study", replace(scope, identities=False))
    assert blind == ["1.2.1", "1.2.3", "1.2.5", "1.2.9"]
    assert [row["00100020"]["Value"][0] for row in await patients(box, scope=scope)] == ["A", "B", "C"]


async def test_what_arrives_during_an_answer_repeats_and_hides_nothing(box):
    await fill(box)
    query, _ = from_parameters("study", [])
    found: list[str] = []

    async for page in every_row(box, query, scope=EVERYTHING, actor=ANONYMOUS):
        found += [row["0020000D"]["Value"][0] for row in page.rows]
        await store(box, study=f"1.3.{len(found)}", StudyDate="20260105", StudyTime="23")

    assert [uid for uid in found if uid.startswith("1.2.")] == [f"1.2.{number}" for number in range(10)]
    assert len(set(found)) == len(found)


@pytest.mark.dicom("PS3.4 C.6.1.1.2")
async def test_a_patient_comes_once_however_many_studies_there_are(box):
    await fill(box)

    found = await patients(box, "00201200", "00201204")

    told = [
        [patient[tag]["Value"][0] for tag in ("00100020", "0020000D", "00201200", "00201204")]
        for patient in found
    ]
    assert told == [["A", "1.2.0", 4, 4], ["B", "1.2.1", 2, 2], ["C", "1.2.4", 2, 2]]


async def test_patients_of_two_issuers_are_two(box):
    for number, issuer in enumerate(["one", "two", "one", "two", "one"]):
        await store(box, study=f"1.2.{number}", PatientID="A", IssuerOfPatientID=issuer)

    found = await patients(box, "00201200", PatientID="A")

    told = [(patient["00100021"]["Value"][0], patient["00201200"]["Value"][0]) for patient in found]
    assert sorted(told) == [("one", 3), ("two", 2)]


async def test_patients_are_found_by_keys_of_their_studies(box):
    await fill(box)

    by_name = await patients(box, PatientName="doe^1")
    by_modality = await patients(box, ModalitiesInStudy="CT")

    assert [patient["00100020"]["Value"] for patient in by_name] == [["B"]]
    assert [patient["00100020"]["Value"] for patient in by_modality] == [["A"], ["B"], ["C"]]


@pytest.mark.dicom("PS3.4 C.2.2.2.8")
async def test_two_keys_of_modality_must_both_match(box):
    for number, modalities in enumerate([("CT", "PT"), ("CT",), ("PT", "MR", "CT")]):
        for place, modality in enumerate(modalities):
            await store(
                box,
                study=f"1.2.{number}",
                series=f"1.2.{number}.{place}",
                Modality=modality,
                StudyTime=f"1{9 - number}",
            )
    (ct,) = from_parameters("study", [("ModalitiesInStudy", "CT")])[0].keys
    (pt,) = from_parameters("study", [("ModalitiesInStudy", "PT")])[0].keys
    query = from_parameters("study", [])[0]

    for keys in ((ct, pt), (pt, ct)):
        pages = every_row(box, replace(query, keys=keys), scope=EVERYTHING, actor=ANONYMOUS)
        found = [row["0020000D"]["Value"][0] async for page in pages for row in page.rows]
        assert found == ["1.2.0", "1.2.2"]
