"""Places where an identity hides although its attribute, by its tag, holds none."""

import struct

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.walker import writer_of
from dicomweb_box.dicom.header_tables import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.deid.planted import deid, instance, read, written

EXPLICIT, IMPLICIT = writer_of(EXPLICIT_LITTLE), writer_of(IMPLICIT_LITTLE)
JPEG, JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
HIDDEN = b"QZX HIDDEN"


def with_element(tag: int, vr: str, value: bytes, **more: object) -> bytes:
    """An instance with an element that pydicom would not write so."""
    ds = instance(**more)
    pixels = ds.PixelData
    del ds.PixelData
    source = written(ds)
    element = EXPLICIT.element(tag, vr, value)
    last = EXPLICIT.element(0x7FE00010, "OB", pixels)
    place = next((source.find(head) for head in following(ds, tag) if head in source), len(source))
    return source[:place] + element + source[place:] + last


def following(ds: Dataset, tag: int) -> list[bytes]:
    """The heads of the elements behind a tag."""
    return [
        struct.pack("<HH", int(one.tag) >> 16, int(one.tag) & 0xFFFF) + str(one.VR).encode()
        for one in ds
        if int(one.tag) > tag
    ]


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x0008001A, "UI"),  # Related General SOP Class UID
        (0x0008010C, "UI"),  # Coding Scheme UID
        (0x0016002B, "OB"),  # Maker Note
        (0x0016008C, "OB"),  # GPS Area Information
        (0x00181040, "OB"),  # Contrast/Bolus Route, of VR LO
        (0x00181160, "CS"),  # Filter Type, of VR SH
        (0x7FE00001, "OV"),  # Extended Offset Table beside native pixels
    ],
)
def test_what_is_not_of_its_own_kind_does_not_stay(tag: int, vr: str):
    assert HIDDEN not in deid(with_element(tag, vr, HIDDEN))


@pytest.mark.parametrize(("tag", "vr"), [(0x00080018, "UI"), (0x00181000, "OB"), (0x00080080, "IS")])
def test_an_option_keeps_values_of_the_attributes_own_vr_alone(tag: int, vr: str):
    policy = Policy(
        name="test",
        options=frozenset(("retain-uids", "retain-device-identity", "retain-institution-identity")),
    )
    if tag == 0x00080018:
        tag = 0x00200052  # Frame of Reference UID
    value = b"19500523" if vr == "IS" else HIDDEN
    assert value not in deid(with_element(tag, vr, value), policy)


def test_a_structural_uid_that_holds_the_patients_number_is_another_one():
    source = instance(PatientID="47110815")
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.826.47110815.1"
    source.ReferencedStudySequence = Sequence([item])
    out = deid(written(source))
    assert b"47110815" not in out
    assert read(out).StudyInstanceUID


@pytest.mark.parametrize("value", ["Y", "YES\\NO", "true"])
def test_burned_in_annotation_that_is_not_no_holds_back(value: str):
    with pytest.raises(Doubt, match="Burned In"):
        deid(with_element(0x00280301, "CS", value.encode() + b" " * (len(value) % 2)))


def encapsulated(frame: bytes, syntax: str, *more: bytes) -> bytes:
    ds = instance()
    items = EXPLICIT.item[:4] + bytes(4)
    for one in (frame, *more):
        items += EXPLICIT.item[:4] + struct.pack("<I", len(one) + len(one) % 2) + one + bytes(len(one) % 2)
    del ds.PixelData
    return written(ds, syntax) + EXPLICIT.open_sequence(0x7FE00010, "OB") + items + EXPLICIT.sequence_end


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", marker, len(content) + 2) + content


@pytest.mark.parametrize("marker", [0xFFF0, 0xFFFD, 0xFFC8, 0xFF02])
def test_a_segment_that_jpeg_reserves_holds_back(marker: int):
    scan = segment(0xFFDA, b"\1\1\0\0\x3f\0") + b"\1\2\3\xff\xd9"
    assert deid(encapsulated(b"\xff\xd8" + segment(0xFFDB, bytes(65)) + scan, JPEG))
    with pytest.raises(Doubt):
        deid(encapsulated(b"\xff\xd8" + segment(marker, HIDDEN) + scan, JPEG))


def test_a_segment_that_jpeg_2000_does_not_know_holds_back():
    tile = struct.pack(">HHHIBBH", 0xFF90, 10, 0, 0, 0, 1, 0xFF93) + b"\1\2" + b"\xff\xd9"
    assert deid(encapsulated(b"\xff\x4f" + segment(0xFF51, bytes(40)) + tile, JPEG_2000))
    with pytest.raises(Doubt):
        deid(encapsulated(b"\xff\x4f" + segment(0xFF33, HIDDEN) + tile, JPEG_2000))


def test_extended_offset_tables_of_unlike_length_hold_back():
    ds = instance()
    ds.ExtendedOffsetTable = bytes(8)
    ds.ExtendedOffsetTableLengths = bytes(16)
    del ds.PixelData
    source = written(ds, JPEG_2000)
    tile = struct.pack(">HHHIBBH", 0xFF90, 10, 0, 0, 0, 1, 0xFF93) + b"\1\2" + b"\xff\xd9"
    frame = b"\xff\x4f" + segment(0xFF51, bytes(40)) + tile
    items = EXPLICIT.item[:4] + bytes(4) + EXPLICIT.item[:4] + struct.pack("<I", len(frame)) + frame
    source += EXPLICIT.open_sequence(0x7FE00010, "OB") + items + EXPLICIT.sequence_end
    with pytest.raises(Doubt, match="offset tables"):
        deid(source)


@pytest.mark.parametrize("tag", [0x00120064, 0x0018A001])
def test_markers_join_those_of_a_sequence_written_as_un(tag: int):
    name = IMPLICIT.element(0x00080104, "LO", b"TEST")
    value = IMPLICIT.whole_item(name)
    ds = read(deid(with_element(tag, "UN", value)))
    assert len(ds[tag].value) == 2
    assert [one.CodeValue for one in ds.DeidentificationMethodCodeSequence if "CodeValue" in one] == [
        "113100"
    ]
    with pytest.raises(Doubt, match="sequence"):
        deid(with_element(tag, "LO", b"TEST"))


def test_an_item_in_an_item_without_a_sequence_holds_back():
    for first in (b"\xfe\xff\x00\xe0\2\0\0\0AB", b"\xfe\xff\xdd\xe0\0\0\0\0"):
        item = EXPLICIT.item[:4] + struct.pack("<I", len(first)) + first
        with pytest.raises(Doubt, match="does not belong"):
            deid(with_element(0x00081115, "SQ", item))


def test_a_registered_instance_keeps_its_uid_in_the_meta_information_too():
    ds = read(deid(written(instance(SOPInstanceUID="1.2.840.10008.1.5.1"))))
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == "1.2.840.10008.1.5.1"


RLE_FRAME = struct.pack("<16I", 1, 64, *[0] * 14) + b"\3\1\2\3\4\0"
JPEG_FRAME = b"\xff\xd8" + segment(0xFFDA, b"\1\1\0\0\x3f\0") + b"\1\2\3\xff\xd9"


@pytest.mark.parametrize(
    ("frame", "syntax", "more"),
    [
        (RLE_FRAME, "1.2.840.10008.1.2.5", [HIDDEN]),
        (RLE_FRAME + HIDDEN, "1.2.840.10008.1.2.5", []),
        (JPEG_FRAME, JPEG, [HIDDEN]),
        (b"\1\2\3\4", "1.2.840.10008.1.2.1.98", [HIDDEN]),
        (b"\1\2\3\4" + HIDDEN, "1.2.840.10008.1.2.1.98", []),
    ],
)
def test_what_lies_beside_the_frames_holds_back(frame: bytes, syntax: str, more: list[bytes]):
    assert deid(encapsulated(frame.removesuffix(HIDDEN), syntax))
    with pytest.raises(Doubt):
        deid(encapsulated(frame, syntax, *more))
