"""The directory of a file-set; pydicom reads what is written here."""

import io
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
from pydicom import Dataset

from dicomweb_box.dicom.dicomdir import Directory, Filed
from dicomweb_box.dicom.directory_records import record_type


def filed(number: int, series: str, **elements: Any) -> Filed:
    return Filed(
        elements={"00100020": {"vr": "LO", "Value": ["P1"]}, **elements},
        file_id=("DICOM", f"IM{number:06d}"),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        instance_uid=f"1.2.{number}",
        series_uid=series,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )


def read(*files: Filed) -> Dataset:
    directory = Directory()
    for one in files:
        directory.add(one)
    return pydicom.dcmread(io.BytesIO(directory.written("2.25.1")))


def walked(directory: Dataset) -> list[str]:
    """The records in the order of their links: the first below, then the next beside."""
    by_place = {record.seq_item_tell: record for record in directory.DirectoryRecordSequence}

    def walk(offset: int, depth: int) -> Iterator[str]:
        while offset:
            record = by_place[offset]
            file = "/".join(record.get("ReferencedFileID", []))
            yield f"{depth} {record.DirectoryRecordType} {file}".strip()
            yield from walk(record.OffsetOfReferencedLowerLevelDirectoryEntity, depth + 1)
            offset = record.OffsetOfTheNextDirectoryRecord

    first = directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    assert first == directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity
    return list(walk(first, 0))


@pytest.mark.dicom("PS3.3 F.3.2.2")
def test_every_record_is_reached_by_links() -> None:
    directory = read(filed(1, "1.1"), filed(2, "1.1"), filed(3, "1.2"))

    assert walked(directory) == [
        "0 PATIENT",
        "1 STUDY",
        "2 SERIES",
        "3 IMAGE DICOM/IM000001",
        "3 IMAGE DICOM/IM000002",
        "2 SERIES",
        "3 IMAGE DICOM/IM000003",
    ]
    assert {record.RecordInUseFlag for record in directory.DirectoryRecordSequence} == {0xFFFF}


def test_numbers_that_no_instance_says_are_counted_and_other_keys_stay_empty() -> None:
    said = {"00200013": {"vr": "IS", "Value": [7]}, "00200011": {"vr": "IS", "Value": [4]}}
    directory = read(filed(1, "1.1", **said), filed(2, "1.1"), filed(3, "1.2"))

    records = list(directory.DirectoryRecordSequence)
    assert [one.InstanceNumber for one in records if "InstanceNumber" in one] == [7, 2, 1]
    assert [one.SeriesNumber for one in records if "SeriesNumber" in one] == [4, 2]
    assert (records[1].StudyDate, records[1].StudyID) == ("", "")


def test_names_come_in_utf8_and_say_so() -> None:
    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
    directory = read(filed(1, "1.1", **{"00100010": {"vr": "PN", "Value": [name]}}))

    assert directory.DirectoryRecordSequence[0].PatientName == "Yamada^Tarou=山田^太郎"


@pytest.mark.parametrize(
    "element",
    [
        {"vr": "DA", "Value": [["no", "date"]]},
        {"vr": "XX", "Value": ["1"]},
        {"vr": "UN", "InlineBinary": "AAAA"},
        {"vr": "LT", "BulkDataURI": "bulkdata/00080020"},
    ],
)
def test_a_value_that_cannot_be_written_leaves_the_file_to_be_found(element: dict[str, Any]) -> None:
    directory = read(filed(1, "1.1", **{"00080020": element}))

    assert walked(directory)[-1] == "3 IMAGE DICOM/IM000001"
    assert not directory.DirectoryRecordSequence[1].StudyDate


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        ("1.2.840.10008.5.1.4.1.1.7", "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "WAVEFORM"),
        ("1.2.840.10008.5.1.4.1.1.481.5", "RT PLAN"),
        ("1.2.840.10008.5.1.4.1.1.481.2", "RT DOSE"),
        ("1.2.840.10008.5.1.4.1.1.66", "RAW DATA"),
        ("1.2.840.10008.5.1.4.1.1.67", "VALUE MAP"),
        ("1.2.840.10008.5.1.4.1.1.104.3", "ENCAP DOC"),
        ("1.2.840.10008.5.1.4.1.1.77.1.6", "IMAGE"),
        ("1.2.3", "IMAGE"),
    ],
)
def test_a_class_has_its_record(sop_class: str, kind: str) -> None:
    assert record_type(sop_class) == kind
