"""Instances in, de-identified instances out."""

import io
import random
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import element_at, skipped
from dicomweb_box.deid.engine import deidentify
from dicomweb_box.deid.policy import BASIC, BUILT_IN, Policy
from dicomweb_box.deid.stand_ins import stand_in
from dicomweb_box.deid.table import table
from dicomweb_box.deid.walker import writer_of
from dicomweb_box.dicom.explicit import Stretch
from dicomweb_box.dicom.header_tables import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from tests.deid.planted import (
    KEY,
    NUMERIC,
    OTHER,
    Planted,
    deid,
    instance,
    plant,
    read,
    sentinel,
    vr_of,
    written,
)

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
RESEARCH = BUILT_IN["research"]
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def inflated(source: bytes) -> bytes:
    """The bytes to search: with a deflated data set inflated."""
    import zlib

    ds = dcmread(io.BytesIO(source), stop_before_pixels=True)
    if ds.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        return source
    start = 132 + 12 + ds.file_meta.FileMetaInformationGroupLength
    return source[:start] + zlib.decompress(source[start:], -15)


def everywhere() -> Planted:
    """A sentinel in every attribute of the table, at the top, nested, private, and where nobody looks."""
    planted = Planted(instance())
    item, deep = Dataset(), Dataset()
    for row in table().rows:
        vr = vr_of(row)
        if vr is None or vr == "UN" or int(row.mask, 16) >> 16 in {0, 2, 4, 0xFFFA, 0xFFFC}:
            continue
        tag = int(row.mask, 16)
        if tag in {0x00420011, 0x0040A730}:
            continue
        for where, ds in (("top", planted.ds), ("item", item), ("deep", deep)):
            if vr == "SQ" and row.basic == "X/Z/U*":
                continue
            if tag not in ds:
                plant(ds, tag, vr, planted, f"{where} {row.mask} {vr}")
    item.ReferencedSeriesSequence = Sequence([deep])
    item.add_new(0x00091001, "LO", planted_text(planted, "private in item"))
    planted.ds.SharedFunctionalGroupsSequence = Sequence([item])
    for tag, vr in (
        (0x00081195, "UI"),
        (0x00080082, "SQ"),
        (0x00281090, "LO"),
        (0x00182010, "PN"),
        (0x0040050A, "LO"),
    ):
        if tag not in planted.ds:
            plant(planted.ds, tag, vr, planted, f"beyond {tag:08X}")
    block = planted.ds.private_block(0x0009, "QZX CREATOR", create=True)
    planted.sentinels["private creator"] = b"QZX CREATOR"
    for element, vr in ((1, "LO"), (2, "UN"), (3, "SQ"), (4, "OB"), (5, "PN")):
        plant(planted.ds, block.get_tag(element), vr, planted, f"private {vr}")
    for tag, vr in ((0x50000010, "LO"), (0x60000022, "LO"), (0x60023000, "OB"), (0x60024000, "LT")):
        plant(planted.ds, tag, vr, planted, f"plane {tag:08X}")
    return planted


def planted_text(planted: Planted, where: str) -> str:
    text = sentinel("LO")
    planted.sentinels[where] = text.encode()
    return text


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_nothing_planted_is_found_in_any_byte_of_the_output(syntax: str):
    planted = everywhere()
    source = written(planted.ds, syntax)
    plain = inflated(source)
    missing = [where for where, value in planted.sentinels.items() if value not in plain]
    assert not missing

    out = inflated(deid(source))

    assert not {where for where, value in planted.sentinels.items() if value in out}


@pytest.mark.parametrize(
    "encoding", [EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE], ids=["explicit", "big", "implicit"]
)
def test_items_that_say_nothing_have_their_attributes_in_order(encoding: Encoding):
    sequences = [int(row.mask, 16) for row in table().rows if vr_of(row) == "SQ" and "D" in row.basic]
    assert len(sequences) > 8
    for tag in sequences:
        item = stand_in(tag, writer_of(encoding), "1.2.3")
        tags, pos = [], 8
        while pos < len(item) - 8:
            element = element_at(item, pos, len(item), encoding)
            tags.append(element.tag)
            pos = element.stop
            if element.undefined:
                pos = skipped(item, pos, len(item), encoding, element.vr)
        assert tags == sorted(set(tags))


def test_research_keeps_what_it_says_and_nothing_else():
    planted = everywhere()
    out = deid(written(planted.ds), RESEARCH)
    found = {where for where, value in planted.sentinels.items() if value in out}
    # A moved date may be what another one was.
    found = {where for where in found if where.rpartition(" ")[2] not in {"DA", "DT", "0040A121"}}
    allowed = {
        row.mask
        for row in table().rows
        if row.options.get("retain-patient-characteristics") == "K" or vr_of(row) == "TM"
    } | {"00080201"}
    assert {where.split(" ")[1] for where in found} <= allowed
    assert any("00101010" in where for where in found)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a2_no_nesting_hides_anything(data: st.DataObject):
    planted = Planted(instance())
    rows = [row for row in table().rows if (vr := vr_of(row)) and vr not in {"SQ", "UN", *NUMERIC}]
    rows = [row for row in rows if 8 <= int(row.mask, 16) >> 16 < 0x7FE0 and row.mask != "00420011"]
    open_sequences = (0x00081115, 0x52009229, 0x00400275, 0x00400260, 0x0008114A, 0x00540016)
    ds, depth = planted.ds, data.draw(st.integers(1, 8))
    for level in range(depth):
        row = data.draw(st.sampled_from(rows))
        if int(row.mask, 16) not in ds:
            plant(ds, int(row.mask, 16), vr_of(row) or "", planted, f"{level} {row.mask}")
        below = Dataset()
        below.is_undefined_length_sequence_item = data.draw(st.booleans())
        tag = data.draw(st.sampled_from(open_sequences))
        ds.add_new(tag, "SQ", [below])
        ds[tag].is_undefined_length = data.draw(st.booleans())
        ds = below
    plant(ds, 0x00100010, "PN", planted, "deepest")
    out = inflated(deid(written(planted.ds, data.draw(st.sampled_from(SYNTAXES)))))
    assert not {where for where, value in planted.sentinels.items() if value in out}


def test_a2_ten_thousand_levels_are_followed():
    depth = 10_000
    head = bytes.fromhex("0800151153510000ffffffff") + bytes.fromhex("feff00e0ffffffff")
    tail = bytes.fromhex("feff0de000000000") + bytes.fromhex("feffdde000000000")
    name = struct.pack("<HH2sH", 0x10, 0x10, b"PN", 8) + b"Qzx^Deep"
    source = written(instance())
    at = source.index(b"\x10\x00\x10\x00PN")
    source = source[:at] + head * depth + name + tail * depth + source[at:]
    out = deid(source)
    assert b"Qzx^Deep" not in out
    assert out.count(bytes.fromhex("08001511")) == depth


def test_a2_sequences_of_unknown_vr_are_treated_as_what_they_are():
    inner = (
        struct.pack("<HHI", 0x10, 0x10, 8)
        + b"Qzx^Name"
        + struct.pack("<HHI", 0x20, 0x52, 12)
        + b"1.2.3.4.5.6\0"
    )
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    for length, tail in ((len(item), b""), (0xFFFFFFFF, struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))):
        head = struct.pack("<HH2sHI", 0x08, 0x1115, b"UN", 0, length)
        source = written(instance())
        at = source.index(b"\x10\x00\x10\x00PN")
        out = deid(source[:at] + head + item + tail + source[at:])
        assert b"Qzx" not in out
        assert b"1.2.3.4.5.6\0" not in out
        assert read(out)[0x00081115].value[0].FrameOfReferenceUID == KEY.uid("1.2.3.4.5.6")


def test_a3_processes_in_any_order_give_the_same_bytes(tmp_path: Path):
    sources = [
        written(instance(SOPInstanceUID=f"1.2.3.{number}", PatientID=f"P{number % 3}000"))
        for number in range(9)
    ]
    here = [deid(source, RESEARCH) for source in sources]
    order = random.Random(7).sample(range(9), 9)
    for number, source in enumerate(sources):
        (tmp_path / str(number)).write_bytes(source)
    script = """
import pathlib, sys
from tests.deid.planted import deid
from dicomweb_box.deid.policy import RESEARCH
for path in map(pathlib.Path, sys.argv[1:]):
    path.with_suffix(".out").write_bytes(deid(path.read_bytes(), RESEARCH))
"""
    command = [sys.executable, "-c", script, *(str(tmp_path / str(number)) for number in order)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], timeout=300)
    assert [(tmp_path / f"{number}.out").read_bytes() for number in range(9)] == here


def test_a4_another_key_has_nothing_in_common():
    source = written(instance(AccessionNumber="A1234", StudyID="S1"))
    one, other = read(deid(source, RESEARCH)), read(deid(source, RESEARCH, OTHER))
    for keyword in (
        "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName",
        "AccessionNumber", "StudyID", "StudyDate",
    ):  # fmt: skip
        assert one[keyword].value != other[keyword].value


def test_uids_are_uuids_of_version_8_and_the_same_wherever_they_stand():
    reference = Dataset()
    reference.ReferencedSOPClassUID = instance().SOPClassUID
    reference.ReferencedSOPInstanceUID = instance().SOPInstanceUID
    out = read(deid(written(instance(ReferencedImageSequence=Sequence([reference])))))
    number = int(out.SOPInstanceUID.removeprefix("2.25."))
    assert (number >> 76 & 0xF, number >> 62 & 0x3) == (8, 2)
    assert out.ReferencedImageSequence[0].ReferencedSOPInstanceUID == out.SOPInstanceUID
    assert out.file_meta.MediaStorageSOPInstanceUID == out.SOPInstanceUID


def test_registered_uids_stay_and_lists_of_uids_are_mapped_one_by_one():
    ds = instance(FrameOfReferenceUID="1.2.840.10008.1.4.1.1", FailedSOPInstanceUIDList=["1.2.3", "1.2.4"])
    out = read(deid(written(ds)))
    assert out.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"
    assert list(out.FailedSOPInstanceUIDList) == [KEY.uid("1.2.3"), KEY.uid("1.2.4")]


def test_a5_all_dates_of_a_patient_move_by_the_same_days():
    first = instance(SeriesDate="20240301", AcquisitionDateTime="20240229101112.5", StudyTime="101112")
    other = instance(StudyDate="20240310", SOPInstanceUID="1.2.9", StudyInstanceUID="1.2.10")
    one, two = read(deid(written(first), RESEARCH)), read(deid(written(other), RESEARCH))
    from datetime import date

    def day(text: str) -> int:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])).toordinal()

    assert one.StudyDate != "20240229"
    assert day(one.SeriesDate) - day(one.StudyDate) == 1
    assert day(two.StudyDate) - day(one.StudyDate) == 10
    assert one.AcquisitionDateTime == one.StudyDate + "101112.5"
    assert one.StudyTime == "101112"


@pytest.mark.dicom("PS3.15 E.1.1")
def test_a6_preamble_file_meta_and_trailing_bytes_are_not_those_of_the_source():
    ds = instance(PatientBirthDate="19310203")
    source = bytearray(written(ds, preamble=b"Qzx preamble".ljust(128, b"q")))
    meta = struct.pack("<HH2sH", 2, 0x16, b"AE", 8) + b"QZXTITLE"
    private = struct.pack("<HH2sHI", 2, 0x102, b"OB", 0, 8) + b"QzxBytes"
    length = struct.unpack_from("<I", source, 140)[0]
    struct.pack_into("<I", source, 140, length + len(meta) + len(private))
    source[144 + length : 144 + length] = meta + private
    padding = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 8) + b"QzxTrail"
    out = deid(bytes(source) + padding + b"Qzx after everything")
    assert out[:132] == bytes(128) + b"DICM"
    assert b"Qzx" not in out
    assert b"QZX" not in out
    assert out.endswith(b"\1\2\3\4")


def test_a6_pixel_data_is_cut_to_what_its_description_says():
    out = deid(written(instance(PixelData=b"\1\2\3\4QzxQzxQz")))
    assert b"Qzx" not in out
    assert read(out).PixelData == b"\1\2\3\4"


@pytest.mark.dicom("PS3.15 E.3")
@pytest.mark.parametrize(
    "policy", [BASIC, RESEARCH, Policy(name="dates", options=frozenset(("retain-full-dates",)))]
)
def test_a9_what_was_done_is_written_beside_what_was_there(policy: Policy):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113110", "DCM", "Retain UIDs Option"
    ds = instance(
        DeidentificationMethod="another program",
        DeidentificationMethodCodeSequence=Sequence([code]),
        PatientIdentityRemoved="NO",
        LongitudinalTemporalInformationModified="UNMODIFIED",
    )
    out = read(deid(written(ds), policy))
    assert out.PatientIdentityRemoved == "YES"
    assert out.DeidentificationMethod[0] == "another program"
    assert "2026d" in out.DeidentificationMethod[1]
    codes = [item.CodeValue for item in out.DeidentificationMethodCodeSequence]
    assert codes == ["113110", *(value for value, _ in policy.codes)]
    wanted = {"basic": "REMOVED", "research": "MODIFIED", "dates": "UNMODIFIED"}[policy.name]
    assert out.LongitudinalTemporalInformationModified == wanted
    assert out.ContributingEquipmentSequence[-1].PurposeOfReferenceCodeSequence[0].CodeValue == "109104"
    assert "BurnedInAnnotation" not in out


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("policy", [BASIC, RESEARCH])
def test_a18_twice_is_once_up_to_pseudonyms(syntax: str, policy: Policy):
    once = deid(written(instance(AccessionNumber="A1234"), syntax), policy)
    one, two = read(once), read(deid(once, policy))
    moving = {"PatientID", "PatientName", "AccessionNumber", "StudyDate"}
    for element in one:
        if element.VR != "UI" and element.keyword not in moving:
            assert two[element.tag].value == element.value
    assert one.keys() == two.keys()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"BurnedInAnnotation": "YES"}, "Burned In Annotation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "secondary capture"),
        ({"ConversionType": "WSD"}, "captured"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "ultrasound"),
        ({"SOPClassUID": SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, "label"),
        ({"SOPClassUID": SLIDE, "SpecimenLabelInImage": "YES"}, "label"),
    ],
)
def test_a12_pixels_that_may_show_who_it_is_are_refused_unless_there_is_a_reason(
    more: dict[str, object], why: str
):
    source = written(instance(**more))
    with pytest.raises(Doubt, match=why):
        deid(source)
    allowed = Policy(name="basic", pixels="allow", reason="phantoms alone")
    assert read(deid(source, allowed)).PatientIdentityRemoved == "YES"


@pytest.mark.parametrize(
    ("sop_class", "what"),
    [
        ("1.2.840.10008.5.1.4.1.1.104.1", "document"),
        ("1.2.840.10008.5.1.4.1.1.88.22", "report"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "key object"),
        ("1.2.840.10008.5.1.4.1.1.77.1.4.1", "video"),
        ("1.2.840.10008.1.3.10", "DICOMDIR"),
        ("1.2.826.0.1.3680043.9.9.1", "private"),
    ],
)
def test_a12_kinds_that_cannot_be_cleaned_are_refused_whatever_is_allowed(sop_class: str, what: str):
    allowed = Policy(name="basic", pixels="allow", reason="phantoms alone")
    with pytest.raises(Doubt, match=what):
        deid(written(instance(SOPClassUID=sop_class)), allowed)


def test_a_name_repeated_in_a_kept_attribute_takes_its_value_with_it():
    out = read(deid(written(instance(ManufacturerModelName="Scanner of JANE", SoftwareVersions="VB19A"))))
    assert out.ManufacturerModelName == "REMOVED"
    assert out.SoftwareVersions == "VB19A"


def test_values_that_their_vr_does_not_allow_are_emptied():
    source = written(instance(SliceThickness="1.25"))
    out = read(deid(source.replace(b"1.25", b"Jane", 1).replace(b"CS\x02\0CT", b"CS\x02\0ct", 1)))
    assert out.SliceThickness is None
    assert out.Modality == ""


def test_an_instance_that_is_cut_off_or_out_of_order_is_held_back():
    source = written(instance())
    at = source.index(b"\x10\x00\x10\x00PN")
    element = struct.pack("<HH2sH", 8, 5, b"CS", 0)
    for broken in (
        source[:-2],
        source[:at] + element + source[at:],
        source[: at + 6] + b"\xff\xff" + source[at + 8 :],
    ):
        with pytest.raises(Doubt):
            deid(broken)
    with pytest.raises(Doubt):
        deid(b"nothing of DICOM")


def test_a16_reasons_hold_no_value():
    source = written(instance())
    reasons = set()
    for at in range(300, len(source), 7):
        try:
            deid(source[:at] + b"\xff" + source[at + 1 :])
        except Doubt as doubt:
            reasons.add(str(doubt))
    assert len(reasons) > 3
    assert not [reason for reason in reasons if "Jane" in reason or "4711" in reason]


def test_a17_pixels_are_named_and_never_held():
    ds = instance(Rows=1024, Columns=1024, NumberOfFrames=16, PixelData=bytes(16 << 20))
    source = written(ds)
    tracemalloc.start()
    found = deidentify(source, len(source), BASIC, KEY)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20
    held = sum(len(piece) for piece in found.pieces if not isinstance(piece, Stretch))
    assert held < 4096
    assert sum(piece.length for piece in found.pieces if isinstance(piece, Stretch)) == 16 << 20
    assert max(map(len, found.chunks())) <= 1 << 20
