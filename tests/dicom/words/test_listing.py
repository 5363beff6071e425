"""Instances without pixels and reports as listings of their attributes."""

from pathlib import Path

import orjson
import pytest

from dicomweb_box.dicom.header import read_header
from dicomweb_box.dicom.words.document import plain
from dicomweb_box.dicom.words.document_html import html
from dicomweb_box.dicom.words.listing import listing
from tests.builders import make_dataset, part10


def listed(data: bytes) -> str:
    return plain(listing(orjson.loads(read_header(data).json))).decode()


@pytest.mark.parametrize("name", ["pydicom/test_files/waveform_ecg.dcm", "pydicom/test_files/rtplan.dcm"])
def test_every_attribute_of_an_object_is_listed(shared_data: Path, name: str) -> None:
    dataset = orjson.loads(read_header((shared_data / name).read_bytes()).json)

    document = listing(dataset)

    top = [entry.place for entry in document.entries if entry.depth == 0]
    assert top == sorted(dataset)
    assert len(document.entries) > len(top)
    assert html(document).startswith(b"<!DOCTYPE html>")


def test_a_listing_names_attributes_and_shows_values_in_words() -> None:
    ds = make_dataset(StudyDate="20240102", ImageType=["ORIGINAL", "PRIMARY"], PatientName="Roe^Richard")
    block = ds.private_block(0x0011, "SOMEONE", create=True)
    block.add_new(0x01, "LO", "private word")
    ds.RedPaletteColorLookupTableData = bytes(16)

    text = listed(part10(ds))

    assert text.startswith("CT Image Storage: Axial\n=")
    assert "\nStudy Date (0008,0020): 2024-01-02\n" in text
    assert "\nImage Type (0008,0008): ORIGINAL, PRIMARY\n" in text
    assert "\nPatient's Name (0010,0010): Roe, Richard\n" in text
    assert "\n(0011,1001) of SOMEONE: private word\n" in text
    assert "(0028,1201): (16 bytes)\n" in text


def test_a_listing_says_how_many_values_it_does_not_show() -> None:
    text = listed(part10(make_dataset(SliceLocationVector=[str(n) for n in range(40)])))

    assert "23, … 40 values in all" in text
