"""C-FIND as SCP: what is answered to requests of both information models at every level."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomweb_box.accounts.access import ANYBODY, Identity, Scope
from dicomweb_box.archive import every_row, ingest
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dimse.find_scp import PATIENT_ROOT, STUDY_ROOT, find
from tests.builders import make_instance, pieces
from tests.dimse.associations import Asking, FakeAssociation, call_of, decoded, encoded

ALL_OPTIONS = {STUDY_ROOT: b"\1\1\1\0\0\1\1", PATIENT_ROOT: b"\1\1\1\0\0\1\1"}


async def store(box: Box, **attributes: Any) -> None:
    received = await ingest.receive(box, pieces(make_instance(**attributes)))
    assert isinstance(await ingest.store(box, received, source="test", actor=ANYBODY.actor), Stored)


def request(level: str | None, **attributes: Any) -> Dataset:
    ds = Dataset()
    if level:
        ds.QueryRetrieveLevel = level
    for keyword, value in attributes.items():
        tag = pydicom.datadict.tag_for_keyword(keyword)
        vr = pydicom.datadict.dictionary_VR(keyword)
        # Keys may be what values may not, such as wildcards.
        ds[keyword] = pydicom.DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)
    return ds


async def ask(
    box: Box, ds: Dataset, *, root: str = STUDY_ROOT, syntax: str = EXPLICIT_LITTLE, **more: Any
) -> tuple[list[Dataset], FakeAssociation]:
    call, association = call_of(box, **more)
    await find(call, Asking(encoded(ds, syntax), root, syntax))  # type: ignore[arg-type]
    return [decoded(data, syntax) for _, data in association.sent if data is not None], association


@pytest.mark.dicom("PS3.4 C.4.1.1.4")
async def test_each_match_is_a_pending_response_and_success_is_the_last(box):
    for number in range(3):
        await store(box, study=f"1.2.{number}", PatientName=f"Doe^{number}")

    found, association = await ask(box, request("STUDY", PatientName="Doe*", StudyInstanceUID=""))

    assert association.statuses == [0xFF00] * 3 + [0]
    assert sorted(ds.StudyInstanceUID for ds in found) == ["1.2.0", "1.2.1", "1.2.2"]
    for command, _ in association.sent:
        assert command["CommandField"] == 0x8020
        assert command["MessageIDBeingRespondedTo"] == 7
        assert command["AffectedSOPClassUID"] == STUDY_ROOT


@pytest.mark.dicom("PS3.4 C.4.1.1.3.2")
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
async def test_a_response_says_its_level_character_set_and_where_to_retrieve(box, syntax):
    await store(box, study="1.2.0")

    (ds,), _ = await ask(
        box,
        request("STUDY", StudyDate="", ModalitiesInStudy="", NumberOfStudyRelatedInstances=""),
        syntax=syntax,
    )

    assert {element.keyword: element.value for element in ds} == {
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyDate": "20260105",
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "DICOMWEB_BOX",
        "ModalitiesInStudy": "CT",
        "NumberOfStudyRelatedInstances": 1,
    }


async def test_each_level_of_patient_root_is_found_by_the_unique_keys_above(box):
    for series in range(2):
        for instance in range(3):
            await store(
                box,
                study="1.2.1",
                series=f"1.2.1.{series}",
                instance=f"1.2.1.{series}.{instance}",
                InstanceNumber=instance,
                SeriesNumber=series,
            )
    await store(box, study="1.2.2", PatientID="P2", PatientName="Roe^Richard")

    patients, _ = await ask(
        box,
        request("PATIENT", PatientID="", PatientName="", NumberOfPatientRelatedInstances=""),
        root=PATIENT_ROOT,
    )
    studies, _ = await ask(box, request("STUDY", PatientID="P1", StudyInstanceUID=""), root=PATIENT_ROOT)
    series_found, _ = await ask(
        box,
        request(
            "SERIES",
            PatientID="P1",
            StudyInstanceUID="1.2.1",
            SeriesInstanceUID="",
            Modality="CT",
            NumberOfSeriesRelatedInstances="",
        ),
        root=PATIENT_ROOT,
    )
    instances, _ = await ask(
        box,
        request(
            "IMAGE",
            PatientID="P1",
            StudyInstanceUID="1.2.1",
            SeriesInstanceUID="1.2.1.1",
            SOPInstanceUID="",
            InstanceNumber="",
            SOPClassUID="",
        ),
        root=PATIENT_ROOT,
    )
    elsewhere, _ = await ask(
        box,
        request("SERIES", PatientID="P2", StudyInstanceUID="1.2.1", SeriesInstanceUID=""),
        root=PATIENT_ROOT,
    )

    told = [(str(one.PatientName), one.PatientID, one.NumberOfPatientRelatedInstances) for one in patients]
    assert told == [("Doe^Jane", "P1", 6), ("Roe^Richard", "P2", 1)]
    assert [(one.PatientID, one.StudyInstanceUID) for one in studies] == [("P1", "1.2.1")]
    assert [(one.SeriesInstanceUID, one.NumberOfSeriesRelatedInstances) for one in series_found] == [
        ("1.2.1.0", 3),
        ("1.2.1.1", 3),
    ]
    assert all(one.PatientID == "P1" for one in instances)
    assert [one.SOPInstanceUID for one in instances] == ["1.2.1.1.0", "1.2.1.1.1", "1.2.1.1.2"]
    assert elsewhere == []


@pytest.mark.dicom("PS3.4 C.4.1.2.2")
async def test_a_relational_query_needs_no_unique_keys(box):
    await store(box, study="1.2.1", Modality="MR")
    await store(box, study="1.2.2", series="1.2.2.1", Modality="CT", PatientName="Roe^Richard")
    ds = request("SERIES", Modality="CT", SeriesInstanceUID="", PatientName="", NumberOfStudyRelatedSeries="")

    _, refused = await ask(box, ds)
    found, _ = await ask(box, ds, extended=ALL_OPTIONS)

    assert refused.statuses == [0xA900]
    assert [
        (one.SeriesInstanceUID, str(one.PatientName), one.NumberOfStudyRelatedSeries) for one in found
    ] == [("1.2.2.1", "Roe^Richard", 1)]


@pytest.mark.dicom("PS3.4 C.4.1.1.4")
@pytest.mark.parametrize(
    ("ds", "status", "offending"),
    [
        (request(None, PatientID=""), 0xA900, 0x00080052),
        (request("PATIENT", PatientID=""), 0xA900, 0x00080052),
        (request("IMAGE", StudyInstanceUID="1.2"), 0xA900, 0x0020000E),
        (request("STUDY", StudyDate="20261-"), 0xC000, None),
    ],
)
async def test_a_request_that_cannot_be_meant_is_a_failure_that_says_why(box, ds, status, offending):
    found, association = await ask(box, ds)

    ((command, _),) = association.sent
    assert found == []
    assert command["Status"] == status
    assert command.get("OffendingElement") == offending
    assert command["ErrorComment"]


async def test_bytes_that_are_no_identifier_are_a_failure(box):
    call, association = call_of(box)

    await find(call, Asking(b"\x08\x00\x52\x00CS\x99\x99STUDY ", STUDY_ROOT))  # type: ignore[arg-type]

    assert association.statuses == [0xC000]


@pytest.mark.dicom("PS3.4 C.2.2.1.3")
async def test_an_unsupported_key_is_said_with_every_match(box):
    await store(box)

    found, returning = await ask(box, request("STUDY", StudyInstanceUID="", InstitutionName=""))
    _, matching = await ask(box, request("STUDY", StudyInstanceUID="", SeriesDescription="x"))

    assert "InstitutionName" not in found[0]
    assert returning.statuses == matching.statuses == [0xFF01, 0]


@pytest.mark.dicom("PS3.4 C.4.1.2.1")
async def test_a_cancel_stops_the_answer_at_once(box):
    for number in range(5):
        await store(box, study=f"1.2.{number}")

    def cancel_after_two(association: FakeAssociation) -> None:
        if len(association.sent) == 2:
            association.event.set()

    found, association = await ask(box, request("STUDY", StudyInstanceUID=""), on_send=cancel_after_two)

    assert len(found) == 2
    assert association.statuses == [0xFF00, 0xFF00, 0xFE00]


async def test_a_cancel_does_not_wait_for_a_search_under_way(box, monkeypatch):
    async def search(*_: Any, **__: Any) -> None:
        association.event.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(every_row, "search", search)
    call, association = call_of(box)

    await find(call, Asking(encoded(request("STUDY", StudyInstanceUID="")), STUDY_ROOT))  # type: ignore[arg-type]

    assert association.statuses == [0xFE00]


async def test_an_archive_that_fails_is_told_of_without_what_was_asked(box, monkeypatch, caplog):
    async def search(*_: Any, **__: Any) -> None:
        raise OSError("Doe^Jane")

    monkeypatch.setattr(every_row, "search", search)

    with caplog.at_level("INFO"):
        _, association = await ask(box, request("STUDY", PatientName="Doe^Jane"))

    assert association.statuses == [0xC001]
    assert "Doe" not in caplog.text + str(association.sent)


async def test_a_peer_gets_what_its_scope_shows_and_nothing_without_identities(box):
    await store(box, study="1.2.1")
    await store(box, study="1.2.2")
    part = Identity(actor=ANYBODY.actor, scope=Scope(studies=frozenset({"1.2.2"})), rights=ANYBODY.rights)
    blind = replace(part, scope=Scope(identities=False))

    seen, _ = await ask(box, request("STUDY", StudyInstanceUID=""), identity=part)
    patients, _ = await ask(
        box,
        request("PATIENT", PatientID="", NumberOfPatientRelatedStudies=""),
        identity=part,
        root=PATIENT_ROOT,
    )
    _, refused = await ask(box, request("STUDY", PatientName="Doe*"), identity=blind)
    nameless, _ = await ask(box, request("STUDY", PatientName="", StudyInstanceUID=""), identity=blind)

    assert [ds.StudyInstanceUID for ds in seen] == ["1.2.2"]
    assert [ds.NumberOfPatientRelatedStudies for ds in patients] == [1]
    assert refused.statuses == [0x0124]
    assert [str(ds.get("PatientName", "")) for ds in nameless] == ["", ""]


@pytest.mark.parametrize(
    ("charset", "name", "key"),
    [
        ("ISO_IR 126", "Διονυσιος", "Διον*"),
        ("ISO_IR 127", "قباني^لنزار", "قباني*"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "*=山田*"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "홍*"),
        ("GB18030", "Wang^XiaoDong=王^小东", "王^小东"),
        ("GBK", "Wang^XiaoDong=王^小东", "王*"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東", "王^小東"),
        ("ISO_IR 144", "Люкceмбypг", "люк*"),
    ],
)
async def test_a_name_is_found_and_answered_in_the_requests_character_set(box, charset, name, key):
    await store(box, SpecificCharacterSet="ISO_IR 192", PatientName=name)
    await store(box, PatientName="Other^Name")

    (ds,), _ = await ask(box, request("STUDY", SpecificCharacterSet=charset, PatientName=key))
    (plain,), _ = await ask(box, request("STUDY", PatientName=name.encode("ascii", "replace").decode()))

    assert ds.SpecificCharacterSet == charset
    assert str(ds.PatientName) == name
    # What was asked in no character set is answered in one that holds it.
    assert plain.SpecificCharacterSet == "ISO_IR 192"
    assert str(plain.PatientName) == name


async def test_a_peer_that_reads_no_utf_8_is_answered_in_its_own_character_set(box):
    await store(
        box, SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jörg=山田", StudyDescription="Thorax 山"
    )
    peer: Any = SimpleNamespace(charset="ISO_IR 100")

    (ds,), _ = await ask(box, request("STUDY", PatientName="", StudyDescription="", StudyDate=""), peer=peer)

    assert ds.SpecificCharacterSet == "ISO_IR 100"
    assert str(ds.PatientName) == "Müller^Jörg"
    assert (ds.StudyDescription, ds.StudyDate) == ("Thorax ?", "20260105")


@pytest.mark.dicom("PS3.4 C.5.1.1")
async def test_what_was_negotiated_is_done_and_nothing_else(box):
    await store(
        box,
        study="1.2.1",
        PatientName="Meier^Hans",
        StudyDate="20260105",
        StudyTime="08",
        StudyDescription=None,
    )
    await store(box, study="1.2.2", PatientName="Meyer^Hans", StudyDate="20260106", StudyTime="20")
    dates = {"StudyDate": "20260105-20260106", "StudyTime": "1000-2100"}

    async def uids(extended: dict[str, bytes], **keys: str) -> list[str]:
        found, _ = await ask(box, request("STUDY", StudyInstanceUID="", **keys), extended=extended)
        return sorted(ds.StudyInstanceUID for ds in found)

    assert await uids({}, **dates) == ["1.2.2"]
    assert await uids({STUDY_ROOT: b"\0\1"}, **(dates | {"StudyTime": "0700-2100"})) == ["1.2.1", "1.2.2"]
    assert await uids({STUDY_ROOT: b"\0\1"}, StudyDate="20260105-20260106", StudyTime="0900-0700") == []
    assert await uids({}, PatientName="Meier^Hans") == ["1.2.1"]
    assert await uids({STUDY_ROOT: b"\0\0\1"}, PatientName="Meier^Hans") == ["1.2.1", "1.2.2"]
    assert await uids({}, StudyDescription='""') == []
    assert await uids({STUDY_ROOT: b"\0\0\0\0\0\1"}, StudyDescription='""') == ["1.2.1"]


async def test_the_limit_of_searches_over_the_web_cuts_no_answer(make_box, monkeypatch):
    monkeypatch.setattr(every_row, "_MOST", 7)
    async with make_box(query_limit=1) as box:
        for number in range(12):
            await store(box, study=f"1.2.{number}")

        found, association = await ask(box, request("STUDY", StudyInstanceUID=""))

    assert len({ds.StudyInstanceUID for ds in found}) == 12
    assert association.statuses[-1] == 0
