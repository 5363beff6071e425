"""Where each frame's bytes lie, against what pydicom's encapsulation writes."""

import struct
import zlib
from array import array

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended

from dicomweb_box.dicom.frames import FrameTable
from dicomweb_box.dicom.header import Header, locate, read_header
from dicomweb_box.errors import Damaged, NotFound
from tests.dicom.test_header_bad_input import ITEM, SEQUENCE_END, UNDEFINED, element, part10, whole

JPEG, JPEG_2000, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
MPEG4 = "1.2.840.10008.1.2.4.102"
FRAMES = [
    b"\xff\xd8\xff" + bytes([number]) * (20 + 2 * number + number % 2) + b"\xff\xd9" for number in range(7)
]


def instance(pixels: bytes, *, syntax: str, count: int | bytes, before: bytes = b"") -> bytes:
    frames = count if isinstance(count, bytes) else str(count).encode()
    described = element(0x00280002, "US", b"\1\0") + element(
        0x00280008, "IS", frames + b" " * (len(frames) % 2)
    )
    described += element(0x00280010, "US", b"\2\0") + element(0x00280011, "US", b"\3\0")
    described += element(0x00280100, "US", b"\x08\0")
    return part10(whole(described + before + pixels), syntax)


def encapsulated(value: bytes) -> bytes:
    return element(0x7FE00010, "OB", value + SEQUENCE_END + bytes(4), UNDEFINED)


def items(*pieces: bytes) -> bytes:
    return b"".join(ITEM + struct.pack("<I", len(piece)) + piece for piece in pieces)


def even(frame: bytes) -> bytes:
    return frame + b"\0" * (len(frame) % 2)


def frames(data: bytes, header: Header) -> list[bytes]:
    table = header.frames
    assert table is not None
    assert FrameTable.unpack(table.pack()).pack() == table.pack()
    table = FrameTable.unpack(table.pack())
    return [
        b"".join(data[offset : offset + length] for offset, length in table.fragments(number))
        for number in range(1, table.count + 1)
    ]


@pytest.mark.row(74)
@pytest.mark.dicom("PS3.5 A.4")
@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", [True, False])
def test_encapsulated_frames_with_and_without_offset_table(fragments, table):
    data = instance(
        encapsulated(encapsulate(FRAMES, fragments_per_frame=fragments, has_bot=table)), syntax=JPEG, count=7
    )

    assert frames(data, read_header(data)) == [even(frame) for frame in FRAMES]


@pytest.mark.dicom("PS3.3 C.7.6.3.1.8")
def test_an_extended_offset_table_gives_exact_lengths():
    value, offsets, _ = encapsulate_extended(FRAMES)
    lengths = struct.pack("<7Q", *map(len, FRAMES))  # pydicom tells the padded ones
    tables = element(0x7FE00001, "OV", offsets) + element(0x7FE00002, "OV", lengths)

    data = instance(encapsulated(value), syntax=JPEG, count=7, before=tables)

    assert frames(data, read_header(data)) == FRAMES


@pytest.mark.parametrize("told", [b"\1\0\0\0" * 7, struct.pack("<7I", *range(0, 70, 10)), b"\0\0\0"])
def test_a_wrong_offset_table_is_passed_over(told):
    value = items(told, *[piece for frame in FRAMES for piece in (even(frame)[:10], even(frame)[10:])])
    data = instance(encapsulated(value), syntax=JPEG, count=7)

    assert frames(data, read_header(data)) == [even(frame) for frame in FRAMES]


def test_wrong_extended_tables_are_passed_over():
    tables = element(0x7FE00001, "OV", bytes(56)) + element(0x7FE00002, "OV", bytes(56))
    data = instance(encapsulated(encapsulate(FRAMES)), syntax=JPEG, count=7, before=tables)

    assert frames(data, read_header(data)) == [even(frame) for frame in FRAMES]


def test_a_single_frame_is_all_fragments():
    data = instance(encapsulated(items(b"", b"ab", b"cd", b"ef")), syntax=JPEG_2000, count=1)

    assert frames(data, read_header(data)) == [b"abcdef"]


@pytest.mark.dicom("PS3.5 A.4.2")
def test_rle_frames_are_one_fragment_each_whatever_number_is_told():
    data = instance(encapsulated(items(b"", b"abcd", b"efgh", b"ijkl")), syntax=RLE, count=b"")

    assert frames(data, read_header(data)) == [b"abcd", b"efgh", b"ijkl"]


@pytest.mark.row(76)
def test_a_video_is_one_stream():
    data = instance(encapsulated(items(b"", b"abcd", b"efgh")), syntax=MPEG4, count=250)

    header = read_header(data)

    assert header.frames is not None
    assert (header.frames.kind, header.frames.count, header.number_of_frames) == ("video", 1, 250)
    assert frames(data, header) == [b"abcdefgh"]


def test_native_frames_are_byte_ranges():
    value = bytes(range(18))
    data = instance(element(0x7FE00010, "OW", value), syntax="1.2.840.10008.1.2.1", count=3)

    assert frames(data, read_header(data)) == [value[:6], value[6:12], value[12:]]


@pytest.mark.parametrize("count", [b"0", b"", b"x", b"-3", b"1\\2"])
def test_a_number_of_frames_that_is_none_means_one(count):
    data = instance(element(0x7FE00010, "OW", bytes(18)), syntax="1.2.840.10008.1.2.1", count=count)

    header = read_header(data)

    assert header.frames is not None
    assert (header.frames.count, header.number_of_frames) == (1, None)


def test_frames_that_are_not_there_are_not_promised():
    data = instance(element(0x7FE00010, "OW", bytes(14)), syntax="1.2.840.10008.1.2.1", count=5)

    header = read_header(data)

    assert header.frames is not None
    assert header.frames.count == 2
    with pytest.raises(NotFound, match="there is no frame 3: the instance has 2"):
        header.frames.fragments(3)
    with pytest.raises(NotFound):
        header.frames.fragments(0)


@pytest.mark.dicom("PS3.5 8.1.1")
def test_one_bit_frames_tell_their_first_bit():
    table = FrameTable(count=3, kind="bits", offset=100, frame_bits=9, length=4)

    assert [table.fragments(number) for number in (1, 2, 3)] == [((100, 2),), ((101, 2),), ((102, 2),)]
    assert [table.bits(number) for number in (1, 2, 3)] == [(0, 9), (1, 9), (2, 9)]


def test_float_pixel_data_are_frames_of_32_bits():
    described = element(0x00280010, "US", b"\2\0") + element(0x00280011, "US", b"\3\0")
    value = struct.pack("<12f", *range(12))
    data = part10(whole(described + element(0x00280008, "IS", b"2 ") + element(0x7FE00008, "OF", value)))

    assert frames(data, read_header(data)) == [value[:24], value[24:]]


@pytest.mark.dicom("PS3.5 A.5")
def test_deflated_frames_lie_in_the_inflated_data_set():
    data = instance(element(0x7FE00010, "OW", b"abcdefghijkl"), syntax="1.2.840.10008.1.2.1", count=2)
    start = read_header(data).dataset_offset
    squeezed = zlib.compressobj(9, wbits=-15)
    stored = part10(squeezed.compress(data[start:]) + squeezed.flush(), "1.2.840.10008.1.2.1.99")

    header = read_header(stored)

    assert header.frames is not None
    assert header.frames.kind == "deflated"
    assert frames(data[start:], header) == [b"abcdef", b"ghijkl"]
    place = locate(stored, "7FE00010")
    assert data[start:][place.offset : place.offset + place.length] == b"abcdefghijkl"


@pytest.mark.row(74)
def test_a_table_is_small_and_opens_fast():
    native = FrameTable(count=200, kind="native", offset=1 << 33, frame_bits=8 << 19, length=200 << 19)
    assert len(native.pack()) < 24
    assert FrameTable.unpack(native.pack()) == native

    lengths = array("Q", [4000 + number * 7919 % 3000 * 2 for number in range(100_000)])
    offsets = array("Q", [1000])
    for length in lengths[:-1]:
        offsets.append(offsets[-1] + length + 8)
    many = FrameTable(count=100_000, kind="encapsulated", offsets=offsets, lengths=lengths)
    packed = many.pack()

    assert len(packed) < 200_000
    assert FrameTable.unpack(packed) == many
    assert FrameTable.unpack(packed).fragments(100_000) == ((offsets[-1], lengths[-1]),)


def test_a_damaged_table_is_said_to_be_so():
    packed = FrameTable(
        count=2, kind="encapsulated", offsets=array("Q", [8, 80]), lengths=array("Q", [4, 4])
    ).pack()

    for broken in (b"", packed[:3], packed[:-3], b"\xff" * 20):
        with pytest.raises(Damaged):
            FrameTable.unpack(broken)


def test_every_tile_of_a_one_bit_segmentation_is_a_frame(shared_data):
    header = read_header(
        (shared_data / "highdicom/data/test_files/seg_image_sm_dots_tiled_full.dcm").read_bytes()
    )

    assert header.frames is not None
    assert header.frames.count == header.number_of_frames
