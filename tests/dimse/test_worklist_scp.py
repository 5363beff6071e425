"""Modality Worklist as SCP: which steps a modality is told of, and what of them."""

from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomweb_box.accounts.access import ANYBODY, EVERYTHING, Identity, Scope
from dicomweb_box.archive import worklist
from dicomweb_box.archive.worklist import Scheduled
from dicomweb_box.box import Box
from dicomweb_box.dicom.scheduled_step import Step
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dimse.worklist_scp import MODALITY_WORKLIST, find
from tests.dimse.associations import Asking, FakeAssociation, call_of, decoded, encoded

ACTOR = ANYBODY.actor


async def schedule(box: Box, **told: str) -> Scheduled:
    """Put a step on the worklist."""
    step = {
        "patient_name": "Doe^Jane",
        "patient_id": "P1",
        "modality": "CT",
        "ae_title": "MODALITY1",
        "start_date": "20260105",
        "start_time": "0930",
    }
    return await worklist.add(box, Step(**(step | told)), scope=EVERYTHING, actor=ACTOR)


def element(keyword: str, value: Any) -> pydicom.DataElement:
    tag, vr = pydicom.datadict.tag_for_keyword(keyword), pydicom.datadict.dictionary_VR(keyword)
    assert tag is not None
    return pydicom.DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)


def request(step: dict[str, Any], **keys: Any) -> Dataset:
    """An identifier with the keys of the item, and of what is around it."""
    ds, item = Dataset(), Dataset()
    for keyword, value in keys.items():
        ds[keyword] = element(keyword, value)
    for keyword, value in {"ScheduledProcedureStepID": "", **step}.items():
        item[keyword] = element(keyword, value)
    ds.ScheduledProcedureStepSequence = Sequence([item])
    return ds


async def ask(
    box: Box, ds: Dataset, *, syntax: str = EXPLICIT_LITTLE, **more: Any
) -> tuple[list[Dataset], FakeAssociation]:
    call, association = call_of(box, **more)
    await find(call, Asking(encoded(ds, syntax), MODALITY_WORKLIST, syntax))  # type: ignore[arg-type]
    return [decoded(data, syntax) for _, data in association.sent if data is not None], association


async def ids(box: Box, step: dict[str, Any], **keys: Any) -> list[str]:
    found, _ = await ask(box, request(step, **keys))
    return sorted(ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for ds in found)


@pytest.mark.dicom("PS3.4 K.6.1.2.2")
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
async def test_a_step_is_told_with_what_a_modality_needs(box, syntax):
    await schedule(
        box,
        patient_name="Yamada^Tarou=山田^太郎",
        birth_date="1970-01-31",
        sex="M",
        accession_number="A1",
        study_uid="1.2.3",
        step_id="S1",
        procedure_id="R1",
        description="CT chest",
        station="CT 2",
    )
    keys = ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyInstanceUID", "RequestedProcedureID")
    inner = (
        "Modality",
        "ScheduledStationAETitle",
        "ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime",
        "ScheduledProcedureStepDescription",
        "ScheduledStationName",
    )

    (ds,), association = await ask(
        box,
        request(
            dict.fromkeys(inner, ""), PatientName="*", PatientID="", Allergies="", **dict.fromkeys(keys, "")
        ),
        syntax=syntax,
    )

    assert association.statuses == [0xFF00, 0]
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert str(ds.PatientName) == "Yamada^Tarou=山田^太郎"
    assert [ds[keyword].value for keyword in keys] == ["19700131", "M", "A1", "1.2.3", "R1"]
    assert ds["Allergies"].is_empty
    (step,) = ds.ScheduledProcedureStepSequence
    assert [step[keyword].value for keyword in inner] == [
        "CT",
        "MODALITY1",
        "20260105",
        "0930",
        "CT chest",
        "CT 2",
    ]
    assert step.ScheduledProcedureStepID == "S1"
    assert "QueryRetrieveLevel" not in ds


@pytest.mark.dicom("PS3.4 K.6.1.2.2")
async def test_steps_are_matched_by_the_required_keys(box):
    await schedule(box, step_id="S1", start_date="20260105", start_time="0930")
    await schedule(box, step_id="S2", start_date="20260106", start_time="1800", modality="MR", ae_title="MR1")
    await schedule(box, step_id="S3", start_date="20260107", patient_name="Roe^Max", patient_id="P2")

    assert await ids(box, {"ScheduledStationAETitle": "MR1"}) == ["S2"]
    assert await ids(box, {"Modality": "CT"}) == ["S1", "S3"]
    assert await ids(box, {"ScheduledProcedureStepStartDate": "20260105"}) == ["S1"]
    assert await ids(box, {"ScheduledProcedureStepStartDate": "20260106-"}) == ["S2", "S3"]
    assert await ids(box, {}, PatientName="roe*") == ["S3"]
    assert await ids(box, {"Modality": "CT"}, PatientID="P1") == ["S1"]
    moments = {"ScheduledProcedureStepStartDate": "20260105-20260106"}
    # From the one day at ten to the next at six: one range, not ten to six of each day.
    assert await ids(box, moments | {"ScheduledProcedureStepStartTime": "1000-1800"}) == ["S2"]
    assert await ids(box, moments | {"ScheduledProcedureStepStartTime": "0900-0700"}) == ["S1"]


async def test_what_has_ended_is_told_of_no_more(box):
    one = await schedule(box, step_id="S1")
    await schedule(box, step_id="S2")

    await worklist.change(box, one.id, one.step, "COMPLETED", scope=EVERYTHING, actor=ACTOR)

    assert await ids(box, {}) == ["S2"]


async def test_a_key_that_cannot_be_matched_is_said(box):
    await schedule(box)

    found, association = await ask(box, request({}, PatientWeight="70", PatientState="x"))

    assert association.statuses == [0xFF01, 0]
    assert found[0]["PatientWeight"].is_empty


async def test_a_peer_of_a_part_is_told_of_its_own_steps_alone(box):
    await schedule(box, step_id="S1")
    await schedule(box, step_id="S2", ae_title="OTHER")
    part = Identity(actor=ACTOR, scope=Scope(sources=frozenset({"dimse:MODALITY1"})), rights=ANYBODY.rights)

    found, _ = await ask(box, request({}, PatientID=""), identity=part)

    assert [ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for ds in found] == ["S1"]


async def test_a_long_worklist_comes_whole(box, monkeypatch):
    monkeypatch.setattr(worklist, "_PAGE", 3)
    for number in range(8):
        await schedule(box, step_id=f"S{number}", start_time=f"0{number % 3}00")

    assert await ids(box, {}) == [f"S{number}" for number in range(8)]


async def test_names_are_answered_in_the_modalitys_character_set(box):
    await schedule(box, patient_name="Müller^Jörg")

    (ds,), _ = await ask(box, request({}, SpecificCharacterSet="ISO_IR 100", PatientName="mull*"))

    assert (ds.SpecificCharacterSet, str(ds.PatientName)) == ("ISO_IR 100", "Müller^Jörg")
