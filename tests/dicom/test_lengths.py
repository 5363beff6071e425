"""Lengths of values, as pydicom reads them from the same bytes."""

import contextlib
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.filereader import dcmread

from dicomweb_box.dicom.lengths import value_lengths
from dicomweb_box.errors import UnreadableInstance

FILES = sorted(Path(pydicom.__file__).parent.glob("data/test_files/**/*.dcm"))
PLAIN = ("CT_small", "MR_small", "MR_small_bigendian", "rtplan", "JPEG2000", "image_dfl", "nested_priv_SQ")


@pytest.mark.dicom("PS3.5 7.1")
@pytest.mark.parametrize("path", [path for path in FILES if path.stem in PLAIN], ids=lambda path: path.stem)
def test_they_are_those_that_pydicom_finds(path: Path) -> None:
    found = value_lengths(path.read_bytes())

    dataset = dcmread(path, force=True)
    expected = {
        f"{int(element.tag):08X}": element.length
        for element in dataset._dict.values()
        if isinstance(element, RawDataElement) and element.length != 0xFFFFFFFF
    }
    assert len(dataset) >= 2
    assert {path: length for path, length in found.items() if path in expected} == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_makes_it_fail(path: Path) -> None:
    data = path.read_bytes()
    for end in (len(data), len(data) * 2 // 3):
        if b"DICM" in data[128:132]:
            with contextlib.suppress(UnreadableInstance):  # cut off before its data set
                assert all(length is None or length >= 0 for length in value_lengths(data[:end]).values())


def test_it_stops_at_the_number_of_elements_asked_for() -> None:
    path = next(path for path in FILES if path.stem == "CT_small")

    assert len(value_lengths(path.read_bytes(), most=7)) == 7
