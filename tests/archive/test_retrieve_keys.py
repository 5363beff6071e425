"""Which instances unique keys mean, and in which order."""

from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Scope
from dicomweb_box.archive import corrections, retrieve_keys
from dicomweb_box.archive.reject import Target, Why, reject
from dicomweb_box.archive.retrieve_keys import Found, Keys, Kind, find
from dicomweb_box.box import Box
from dicomweb_box.dicom.correctable import BY_KEYWORD, element_of
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.errors import BadRequest
from tests.archive.test_corrections import keep
from tests.builders import make_dataset, make_instance, new_uid, part10

CT = "1.2.840.10008.5.1.4.1.1.2"


async def found(box: Box, scope: Scope = EVERYTHING, **keys: Any) -> Found:
    return await find(box, Keys(**keys), scope=scope, actor=ANONYMOUS)


async def uids(of: Found) -> list[str]:
    return [one.instance_uid async for one in of.instances()]


async def fill(box: Box) -> None:
    """Two patients: A with two studies of two series, B with one."""
    for study, patient, date in (
        ("1.1", "A", "20260102"),
        ("1.2", "A", "20250101"),
        ("1.3", "B", "20240101"),
    ):
        for series in (2, 1):
            for number in (3, 1, 2):
                await keep(
                    box,
                    make_instance(
                        study=study,
                        series=f"{study}.{series}",
                        instance=f"{study}.{series}.{number}",
                        PatientID=patient,
                        StudyDate=date,
                        SeriesNumber=series,
                        InstanceNumber=number,
                    ),
                    f"dimse:{patient}",
                )


@pytest.mark.dicom("PS3.4 C.4.2.1.4.1")
async def test_each_level_means_what_is_below_its_keys(box: Box) -> None:
    await fill(box)

    patient = await found(box, level="patient", patient_id="A")
    studies = await found(box, level="study", study_uids=("1.1", "1.3"))
    series = await found(box, level="series", study_uids=("1.1",), series_uids=("1.1.1", "1.3.1"))
    instances = await found(box, level="instance", instance_uids=("1.1.1.1", "1.3.2.2", "9.9"))
    wrong_patient = await found(box, level="study", patient_id="B", study_uids=("1.1",))

    assert (patient.total, studies.total, series.total) == (12, 12, 3)
    assert wrong_patient.total == 0
    assert await uids(instances) == ["1.3.2.2", "1.1.1.1"]
    assert await uids(series) == ["1.1.1.1", "1.1.1.2", "1.1.1.3"]


async def test_studies_come_oldest_first_series_and_instances_by_number(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieve_keys, "PAGE", 5)
    await fill(box)

    patient = await found(box, level="patient", patient_id="A")

    assert await uids(patient) == [
        f"{study}.{series}.{number}" for study in ("1.2", "1.1") for series in (1, 2) for number in (1, 2, 3)
    ]


async def test_more_keys_than_one_statement_names_are_all_looked_for(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieve_keys, "MOST_NAMED", 2)
    await fill(box)
    wanted = ("1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.2.1", "1.1.2.1")

    instances = await found(box, level="instance", instance_uids=wanted)

    assert sorted(await uids(instances)) == sorted(set(wanted))
    with pytest.raises(BadRequest, match=r"Study Instance UID \(0020,000D\) has more than 2"):
        await found(box, level="instance", study_uids=("1", "2", "3"), instance_uids=wanted)


async def test_nothing_outside_the_scope_is_found_whatever_the_keys(box: Box) -> None:
    await fill(box)
    scope = Scope(sources=frozenset({"dimse:B"}))

    for keys in (
        {"level": "patient", "patient_id": "A"},
        {"level": "study", "study_uids": ("1.1",)},
        {"level": "series", "series_uids": ("1.1.1",)},
        {"level": "instance", "instance_uids": ("1.1.1.1",)},
    ):
        assert (await found(box, scope, **keys)).total == 0
    assert (await found(box, scope, level="study", study_uids=("1.1", "1.3"))).total == 6


async def test_what_is_rejected_is_not_found_and_what_is_rejected_meanwhile_is_left_out(box: Box) -> None:
    await fill(box)
    before = await found(box, level="study", study_uids=("1.1",))
    gone = Target(study_uid="1.1", series_uid="1.1.1", instance_uid="1.1.1.2")
    await reject(box, gone, Why(reason="113001"), scope=EVERYTHING, actor=SYSTEM)

    after = await found(box, level="study", study_uids=("1.1",))

    assert (before.total, after.total) == (6, 5)
    assert "1.1.1.2" not in await uids(before)


async def test_keys_that_name_nothing_of_their_level_are_refused_or_find_nothing(box: Box) -> None:
    with pytest.raises(BadRequest, match="Patient ID"):
        await found(box, level="patient")
    assert (await found(box, level="study")).total == 0


async def test_kinds_are_those_that_instances_are_given_in(box: Box) -> None:
    study, other = new_uid(), new_uid()
    await keep(box, make_instance(study=study))
    await keep(
        box, part10(make_dataset(study=study, SOPClassUID=MRImageStorage), transfer_syntax=IMPLICIT_LITTLE)
    )
    await keep(box, part10(make_dataset(study=other), transfer_syntax=ImplicitVRLittleEndian))
    meant = {BY_KEYWORD["PatientID"].tag: element_of(BY_KEYWORD["PatientID"], "P9")}
    await corrections.correct(box, [other], meant, reason="wrong", scope=EVERYTHING, actor=ANONYMOUS)

    both = await found(box, level="study", study_uids=(study, other))
    corrected = await found(box, level="study", study_uids=(other,))

    assert both.kinds == {
        Kind(CT, EXPLICIT_LITTLE),
        Kind(str(MRImageStorage), IMPLICIT_LITTLE),
    }
    assert corrected.kinds == {Kind(CT, EXPLICIT_LITTLE)}
    assert (await found(box, level="patient", patient_id="P9")).total == 1
