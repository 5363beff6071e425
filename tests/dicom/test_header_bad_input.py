"""What is refused, and why; and what is hostile, but neither crashes nor hangs nor fills the memory."""

import contextlib
import resource
import struct
import zlib
from io import BytesIO

import orjson
import pytest
from pydicom import dcmread

from dicomweb_box.dicom.header import locate, read_header
from dicomweb_box.errors import FailureReason, NotFound, UnreadableInstance

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, number) for number in (0xE000, 0xE00D, 0xE0DD))


def element(tag: int, vr: str, value: bytes = b"", length: int | None = None) -> bytes:
    """One element in Explicit VR Little Endian; `length` where it should lie."""
    if vr == "UI" and len(value) % 2:
        value += b"\0"
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<HI", 0, length) if vr in LONG else struct.pack("<H", length)) + value


UIDS = {
    0x00080016: element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7"),
    0x00080018: element(0x00080018, "UI", b"1.2.3.4"),
    0x0020000D: element(0x0020000D, "UI", b"1.2.3"),
    0x0020000E: element(0x0020000E, "UI", b"1.2.3.9"),
}


def part10(dataset: bytes, syntax: str = EXPLICIT) -> bytes:
    meta = element(0x00020010, "UI", syntax.encode())
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta + dataset


def whole(rest: bytes = b"", **changed: bytes) -> bytes:
    """A data set with its UIDs and whatever follows them."""
    found = {**UIDS, **{int(tag[1:], 16): value for tag, value in changed.items()}}
    return b"".join(found.values()) + rest


def nested(depth: int) -> bytes:
    opening = element(0x0040A730, "SQ", b"", UNDEFINED) + ITEM + struct.pack("<I", UNDEFINED)
    closing = ITEM_END + bytes(4) + SEQUENCE_END + bytes(4)
    return opening * depth + closing * depth


REFUSED = {
    "nothing": (b"", "empty", 0xC000),
    "text": (b"Hello, this is no DICOM object at all.\n" * 10, "not DICOM", 0xC000),
    "zeros": (bytes(1000), "not DICOM", 0xC000),
    "a preamble alone": (bytes(128) + b"DICM", "no data set", 0xC000),
    "no study": (part10(whole(x0020000D=b"")), "no Study Instance UID (0020,000D)", 0xA900),
    "an empty series": (part10(whole(x0020000E=element(0x0020000E, "UI"))), "no Series Instance UID", 0xA900),
    "no instance": (part10(whole(x00080018=b"")), "no SOP Instance UID (0008,0018)", 0xA900),
    "no class": (part10(whole(x00080016=b"")), "no SOP Class UID (0008,0016)", 0xA900),
    "a path in a UID": (
        part10(whole(x0020000D=element(0x0020000D, "UI", b"../../etc/passwd"))),
        "Study Instance UID (0020,000D) is not a UID",
        0xC000,
    ),
    "a UID of 65": (
        part10(whole(x00080018=element(0x00080018, "UI", b"1." + b"2" * 63))),
        "SOP Instance UID (0008,0018) is not a UID",
        0xC000,
    ),
    "two UIDs in one": (
        part10(whole(x0020000E=element(0x0020000E, "UI", b"1.2\\1.3 "))),
        "Series Instance UID (0020,000E) is not a UID",
        0xC000,
    ),
    "a value cut off": (
        part10(whole(element(0x00200010, "SH", b"AB", 40))),
        "cut off: Study ID (0020,0010)",
        0xC000,
    ),
    "pixels cut off": (
        part10(whole(element(0x7FE00010, "OW", bytes(10), 1 << 31))),
        "cut off: Pixel Data (7FE0,0010)",
        0xC000,
    ),
    "fragments without an end": (
        part10(whole(element(0x7FE00010, "OB", ITEM + bytes(4), UNDEFINED)), JPEG),
        "cut off: Pixel Data (7FE0,0010)",
        0xC000,
    ),
    "a sequence without an end": (
        part10(whole(element(0x0040A730, "SQ", ITEM + struct.pack("<I", UNDEFINED), UNDEFINED))),
        "cut off: Content Sequence (0040,A730)",
        0xC000,
    ),
    "an item longer than the object": (
        part10(whole(element(0x0040A730, "SQ", ITEM + struct.pack("<I", 1 << 30), UNDEFINED))),
        "cut off: Content Sequence (0040,A730)",
        0xC000,
    ),
    "no deflate stream": (part10(whole(), DEFLATED), "not a deflate stream", 0xC000),
    "half a deflate stream": (
        part10(zlib.compress(whole(bytes(100)), 9, wbits=-15)[:60], DEFLATED),
        "deflated data set does not end",
        0xC000,
    ),
    "a file meta cut off": (part10(b"")[:160], "cut off inside its File Meta Information", 0xC000),
    "compressed without a transfer syntax": (
        whole(element(0x7FE00010, "OB", (ITEM + bytes(4)) * 2 + SEQUENCE_END + bytes(4), UNDEFINED)),
        "nothing tells the transfer syntax",
        0xC000,
    ),
}


@pytest.mark.dicom("PS3.18 Table I.2-2")
@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_what_cannot_be_an_instance_and_names_what_is_wrong(name):
    data, sentence, reason = REFUSED[name]

    with pytest.raises(UnreadableInstance) as caught:
        read_header(data)

    assert sentence in str(caught.value)
    assert caught.value.reason == FailureReason(reason)


def test_no_cut_through_an_instance_crashes_and_none_inside_a_value_is_accepted():
    data = part10(whole(element(0x00280010, "US", b"\4\0") + element(0x7FE00010, "OW", bytes(64))))

    for length in range(len(data)):
        if length < len(data) - 64 - 12:
            continue
        with pytest.raises(UnreadableInstance):
            read_header(data[: max(length, len(data) - 64)])
    for length in range(len(data) - 64):
        with contextlib.suppress(UnreadableInstance):  # anything else would be a crash
            read_header(data[:length])


@pytest.mark.parametrize("depth", [60, 300, 10_000])
def test_no_nesting_is_too_deep(depth):
    header = read_header(part10(whole(nested(depth) + element(0x00460100 + 0x10000, "UN", b""))))

    assert header.json.count(b'"SQ"') == depth
    assert header.json.endswith(b'"00470100":{"vr":"UN"}}')
    assert header.values("0020000D") == ["1.2.3"]


def test_a_nesting_may_have_defined_lengths():
    value = element(0x00080060, "CS", b"CT")
    for _ in range(500):
        value = element(0x0040A730, "SQ", ITEM + struct.pack("<I", len(value)) + value)

    assert read_header(part10(whole(value))).json.count(b"0040A730") == 500


def test_a_million_items_stay_small():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    item = ITEM + struct.pack("<I", 10) + element(0x00080060, "CS", b"CT")

    header = read_header(part10(whole(element(0x0040A730, "SQ", item * 1_000_000))))

    assert header.json.count(b'"CT"') == 1_000_000
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 260_000
    )  # KiB; 80 are the objects themselves


def test_a_bomb_is_refused_before_it_fills_the_memory():
    squeezed = zlib.compressobj(9, wbits=-15)
    bomb = squeezed.compress(whole(element(0x00091001, "OB", b"", 0xF0000000)))
    bomb += b"".join(squeezed.compress(bytes(1 << 24)) for _ in range(20)) + squeezed.flush()

    with pytest.raises(UnreadableInstance, match="inflates to more than"):
        read_header(part10(bomb, DEFLATED))


def test_numbers_that_are_none_are_kept_as_they_came():
    header = read_header(
        part10(
            whole(
                element(0x00200013, "IS", b"12\\x7\\\\9007199254740993")
                + element(0x00201041, "DS", b"NaN\\1e999\\ +1.5\\-.5\\1.")
                + element(0x00280034, "IS", b"1.0 ")
                + element(0x00289001, "FD", struct.pack("<d", float("nan")))
                + element(0x00289002, "FL", struct.pack("<ff", 1, float("inf")))
                + element(0x00289003, "US", b"\1\2\3")
            )
        )
    )

    assert header.values("00200013") == [12, "x7", None, "9007199254740993"]
    assert header.values("00201041") == ["NaN", "1e999", 1.5, -0.5, 1.0]
    assert header.values("00280034") == [1]
    assert header.element("00289001") == {"vr": "FD", "InlineBinary": "AAAAAAAA+H8="}
    assert header.element("00289002") == {"vr": "FL", "InlineBinary": "AACAPwAAgH8="}
    assert header.element("00289003") == {"vr": "UN", "InlineBinary": "AQID"}


def test_no_message_carries_a_value():
    name = b"SECRET^NAME"
    for rest in (
        element(0x00100010, "PN", name, 60),
        element(0x00100010, "PN", name) + b"\x10\0\x20\0??" + name,
        element(0x00100020, "ZZ", name) + element(0x00101010, "AS", name, 99),
    ):
        with pytest.raises(UnreadableInstance) as caught:
            read_header(part10(whole(rest)))
        assert "SECRET" not in str(caught.value)


@pytest.mark.row(113)
def test_it_is_tolerant_of_uids_as_modalities_write_them():
    header = read_header(
        part10(
            whole(
                x0020000D=element(0x0020000D, "UI", b"1.02.003 "),
                x0020000E=element(0x0020000E, "UI", b"1.2\0\0"),
            )
        )
    )

    assert (header.study_uid, header.series_uid) == ("1.02.003", "1.2")


def test_attributes_out_of_order_come_out_in_order_and_each_once():
    data = part10(
        whole(
            element(0x00100020, "LO", b"B ")
            + element(0x00080060, "CS", b"CT")
            + element(0x00080060, "CS", b"MR")
        )
    )

    header = read_header(data)

    assert list(orjson.loads(header.json)) == [
        "00080016",
        "00080018",
        "00080060",
        "00100020",
        "0020000D",
        "0020000E",
    ]
    assert header.values("00080060") == ["MR"]


@pytest.mark.dicom("PS3.10 7.1")
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_a_data_set_without_part_10_header_is_given_one(syntax):
    bare = encoded(syntax)

    header = read_header(bare)
    stored = header.part10_prefix + bare

    again = read_header(stored)
    assert (header.has_part10, again.has_part10, header.dataset_offset) == (False, True, 0)
    assert header.transfer_syntax_uid == again.transfer_syntax_uid == syntax
    assert again.json == header.json
    assert stored[again.dataset_offset :] == bare
    assert header.frames == again.frames
    assert dcmread(BytesIO(stored)).file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"


def encoded(syntax: str) -> bytes:
    """A small native instance as a data set alone."""
    order = ">" if syntax == BIG else "<"
    out = b""
    for tag, vr, value in (
        (0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        (0x00080018, "UI", b"1.2.3.4\0"),
        (0x0020000D, "UI", b"1.2.3\0"),
        (0x0020000E, "UI", b"1.2.3.9\0"),
        (0x00280010, "US", struct.pack(order + "H", 2)),
        (0x00280011, "US", struct.pack(order + "H", 2)),
        (0x00280100, "US", struct.pack(order + "H", 8)),
        (0x7FE00010, "OW", b"abcd"),
    ):
        head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
        if syntax == IMPLICIT:
            head += struct.pack("<I", len(value))
        elif vr in LONG:
            head += vr.encode() + struct.pack(order + "HI", 0, len(value))
        else:
            head += vr.encode() + struct.pack(order + "H", len(value))
        out += head + value
    return out


@pytest.mark.dicom("PS3.5 6.2.2")
def test_un_of_undefined_length_is_read_as_an_implicit_sequence():
    inside = struct.pack("<HHI", 0x0008, 0x0060, 2) + b"CT"
    value = ITEM + struct.pack("<I", len(inside)) + inside + SEQUENCE_END + bytes(4)

    header = read_header(
        part10(whole(element(0x00091001, "UN", value, UNDEFINED) + element(0x00100020, "LO", b"P1")))
    )

    assert header.element("00091001") == {"vr": "SQ", "Value": [{"00080060": {"vr": "CS", "Value": ["CT"]}}]}
    assert header.values("00100020") == ["P1"]


def test_private_un_stays_un_bit_for_bit():
    creator = element(0x00190010, "LO", b"GEMS_ACQU_01")

    header = read_header(part10(whole(creator + element(0x00191002, "UN", b"\1\0\0\0"))))

    assert header.element("00191002") == {"vr": "UN", "InlineBinary": "AQAAAA=="}


@pytest.mark.row(65)
def test_bulk_data_is_found_by_its_path():
    inside = element(0x00091001, "OB", b"x" * 3000)
    value = element(0x00081140, "SQ", ITEM + bytes(4) + ITEM + struct.pack("<I", len(inside)) + inside)
    data = part10(whole(x00080018=UIDS[0x00080018] + value))

    header = read_header(data)
    place = locate(data, "00081140/2/00091001")

    assert header.values("00081140", "00091001") == []
    assert header.element("00081140")["Value"][1]["00091001"] == {
        "vr": "OB",
        "BulkDataURI": "instances/1.2.3.4/bulkdata/00081140/2/00091001",
    }
    assert (place.vr, data[place.offset :][: place.length]) == ("OB", b"x" * 3000)
    with pytest.raises(NotFound):
        locate(data, "00081140/1/00091001")


@pytest.mark.dicom("PS3.5 6.2.2")
def test_un_of_a_standard_attribute_is_known_again():
    header = read_header(
        part10(
            whole(
                element(0x00080000, "UN", b"\4\0\0\0") + element(0x00280010, "UN", b"\4\0"),
                x0020000D=element(0x0020000D, "UN", b"1.2.3\0"),
            )
        )
    )

    assert (header.study_uid, header.rows) == ("1.2.3", 4)
    assert header.element("00280010") == {"vr": "US", "Value": [4]}
    assert header.element("00080000") is None


def test_long_text_is_never_split():
    header = read_header(part10(whole(element(0x00104000, "LT", b"a\\b\\c "))))

    assert header.values("00104000") == ["a\\b\\c"]
