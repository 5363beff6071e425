"""Rewriting to Explicit VR Little Endian: pydicom must read the same before and after."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomweb_box.dicom import explicit, pixels
from dicomweb_box.dicom.file_meta import file_meta
from dicomweb_box.dicom.pieces import Decoded, Stretch, length, swapped
from dicomweb_box.dicom.uids import DEFLATED_LITTLE, EXPLICIT_LITTLE
from dicomweb_box.errors import Damaged, UnreadableInstance
from tests.builders import make_dataset, part10

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
COLOUR = (0x7FE00010, 0x00280004, 0x00280006)
DROPPED = (0x7FE00001, 0x7FE00002)


def rendered(pieces: list[Any], source: bytes) -> bytes:
    """What the pieces stand for."""
    out = []
    for piece in pieces:
        if isinstance(piece, Stretch):
            out.append(swapped(source[piece.offset : piece.offset + piece.length], piece.swap))
        elif isinstance(piece, Decoded):
            frames = [b"".join(source[at : at + size] for at, size in frame) for frame in piece.frames]
            native = [pixels.decode(piece.image, frame) for frame in frames]
            out.append(pixels.joined(piece.image, native))
        else:
            out.append(piece)
    return b"".join(out)


def rewritten(data: bytes) -> bytes:
    """A Part 10 object in Explicit VR Little Endian."""
    offset = dataset_offset(data)
    syntax = str(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta.TransferSyntaxUID)
    meta = file_meta(data, offset, EXPLICIT_LITTLE)
    if syntax == DEFLATED_LITTLE:
        data, offset = zlib.decompress(data[offset:], -zlib.MAX_WBITS), 0
    pieces = explicit.rewrite(memoryview(data), offset, syntax)
    body = rendered(pieces, data)
    assert len(body) == length(pieces)
    return meta + body


def dataset_offset(data: bytes) -> int:
    at = 132
    while at + 8 <= len(data) and data[at : at + 2] == b"\x02\x00":
        _, _, vr, size = struct.unpack_from("<HH2sH", data, at)
        long = vr in (b"OB", b"UN", b"UT", b"UC")
        at += 12 + struct.unpack_from("<I", data, at + 8)[0] if long else 8 + size
    return at


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def differences(before: Dataset, after: Dataset, big: bool, path: str = "") -> list[str]:
    """Where two data sets differ; colour and pixels are compared as arrays elsewhere."""
    found = []
    tags = {tag for tag in set(before.keys()) if tag.element and tag not in DROPPED}
    if tags != set(after.keys()):
        found.append(f"{path}: {sorted(map(str, tags ^ set(after.keys())))}")
    for tag in sorted(tags & set(after.keys())):
        try:
            one = before[tag]
        except Exception:  # noqa: BLE001 - pydicom refuses the value: then it must refuse it still
            with pytest.raises(Exception):  # noqa: B017
                after[tag]
            continue
        other = after[tag]
        if tag in COLOUR:
            continue
        if one.VR != other.VR:
            found.append(f"{path}/{tag}: {one.VR} became {other.VR}")
        elif one.VR == "SQ":
            assert len(one.value) == len(other.value)
            for number, items in enumerate(zip(one.value, other.value, strict=True), 1):
                found += differences(*items, big, f"{path}/{tag}/{number}")
        elif not (big and one.VR == "OW") and not same(one.value, other.value):
            found.append(f"{path}/{tag}: another value")
    return found


def same(one: Any, other: Any) -> bool:
    return bool(one == other) or str(one) == str(other) == "nan"


def shipped() -> list[str]:
    return sorted(str(path) for path in SHIPPED.rglob("*.dcm"))


def check(path: Path) -> None:
    """The file reads the same after rewriting, its pixels included; skips what cannot be rewritten."""
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            before = read(data)
            syntax = before.file_meta.TransferSyntaxUID
            private = syntax.is_private
        except Exception:  # noqa: BLE001
            pytest.skip("pydicom does not read it as a Part 10 object")
        if private or data[128:132] != b"DICM":
            pytest.skip("no transfer syntax to rewrite from")
        try:
            after = read(rewritten(data))
        except (Damaged, UnreadableInstance):
            with pytest.raises(Exception):  # noqa: B017
                before.pixel_array  # noqa: B018
            return
        assert after.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
        before = read(data)
        assert differences(before, after, str(syntax) == ExplicitVRBigEndian) == []
        try:
            wanted = before.pixel_array
        except Exception:  # noqa: BLE001 - no pixels, or none that pydicom alone decodes
            return
        assert np.array_equal(wanted, after.pixel_array)


@pytest.mark.dicom("PS3.18 8.7.3.5.2")
@pytest.mark.parametrize("path", shipped(), ids=lambda path: str(Path(path).relative_to(SHIPPED)))
def test_each_file_that_pydicom_ships_reads_the_same_in_explicit_vr_little_endian(path: str) -> None:
    check(Path(path))


@pytest.mark.dicom("PS3.18 8.7.3.5.2")
def test_each_shared_file_reads_the_same_in_explicit_vr_little_endian(shared_data: Path) -> None:
    checked = 0
    for path in sorted(shared_data.rglob("*.dcm")):
        if "bad" in path.parts or "pydicom" in path.parts:
            continue
        try:
            check(path)
        except pytest.skip.Exception:
            continue
        checked += 1
    assert checked > 200


@pytest.mark.dicom("PS3.5 7.5")
def test_sequences_of_any_depth_are_rewritten() -> None:
    innermost = Dataset()
    innermost.CodeValue = "deep"
    for _ in range(60):
        outer = Dataset()
        outer.ConceptCodeSequence = Sequence([innermost])
        innermost = outer
    data = part10(
        make_dataset(ConceptCodeSequence=innermost.ConceptCodeSequence),
        transfer_syntax=ImplicitVRLittleEndian,
    )

    item: Any = read(rewritten(data))
    for _ in range(60):
        item = item.ConceptCodeSequence[0]

    assert item.CodeValue == "deep"


@pytest.mark.dicom("PS3.5 7.5")
def test_nesting_deeper_than_python_may_recurse_is_rewritten() -> None:
    depth = 20_000
    head = struct.pack("<HHI", 0x0040, 0xA730, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    tail = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    source = head * depth + tail * depth

    body = rendered(explicit.rewrite(source, 0, str(ImplicitVRLittleEndian)), source)

    assert body.count(b"SQ") == depth
    assert len(body) == depth * (12 + 8 + 8 + 8)


@pytest.mark.dicom("PS3.5 6.2.2")
def test_a_value_too_long_for_its_own_vr_becomes_un_and_reads_as_before() -> None:
    values = [f"{number:015d}" for number in range(5000)]
    data = part10(make_dataset(StudyDescription="x"), transfer_syntax=ImplicitVRLittleEndian)
    text = "\\".join(values).encode()
    long = struct.pack("<HHI", 0x3006, 0x0050, len(text) + len(text) % 2) + text + b" " * (len(text) % 2)
    offset = dataset_offset(data)
    pieces = explicit.rewrite(long, 0, str(ImplicitVRLittleEndian))

    body = rendered(pieces, long)

    assert offset > 132
    assert body[4:6] == b"UN"
    assert body[12:] == long[8:]


@pytest.mark.dicom("PS3.5 7.2")
def test_group_lengths_are_left_out() -> None:
    source = struct.pack("<HHII", 0x0008, 0x0000, 4, 99) + struct.pack("<HHI4s", 0x0008, 0x0060, 4, b"CT  ")

    body = rendered(explicit.rewrite(source, 0, str(ImplicitVRLittleEndian)), source)

    assert body == b"\x08\x00\x60\x00CS\x04\x00CT  "


def test_large_values_stay_where_they_are() -> None:
    data = part10(
        make_dataset(Rows=1024, Columns=1024, PixelData=bytes(2 << 20)),
        transfer_syntax=ImplicitVRLittleEndian,
    )

    pieces = explicit.rewrite(data, dataset_offset(data), str(ImplicitVRLittleEndian))

    assert [piece.length for piece in pieces if isinstance(piece, Stretch)] == [2 << 20]
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 2000


def rle_image(photometric: bytes) -> bytes:
    """Four pixels, compressed, with a Photometric Interpretation of twelve bytes."""
    rle = struct.pack("<16I", 1, 64, *([0] * 14)) + bytes([3, 10, 20, 30, 40]) + b"\0"

    def short(tag: int, value: int) -> bytes:
        return struct.pack("<HH2sHH", tag >> 16, tag & 0xFFFF, b"US", 2, value)

    return b"".join(
        (
            short(0x00280002, 1),
            struct.pack("<HH2sH12s", 0x28, 4, b"CS", 12, photometric),
            short(0x00280010, 2),
            short(0x00280011, 2),
            short(0x00280100, 8),
            short(0x00280101, 8),
            short(0x00280103, 0),
            struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF),
            struct.pack("<HHI", 0xFFFE, 0xE000, 0),
            struct.pack("<HHI", 0xFFFE, 0xE000, len(rle)) + rle,
            struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        )
    )


@pytest.mark.dicom("PS3.5 A.4")
def test_a_small_compressed_icon_inside_a_sequence_is_decoded_too() -> None:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    source = struct.pack("<HH2sHI", 0x88, 0x200, b"SQ", 0, 0xFFFFFFFF) + item + rle_image(b"MONOCHROME2 ")
    source += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)

    body = rendered(explicit.rewrite(source, 0, "1.2.840.10008.1.2.5"), source)

    assert b"\xe0\x7f\x10\x00OB\0\0\x04\0\0\0" + bytes([10, 20, 30, 40]) in body


def test_a_photometric_interpretation_that_is_no_ascii_is_kept_as_it_is() -> None:
    source = rle_image(b"MONOCHROM\xfd2 ")

    body = rendered(explicit.rewrite(source, 0, "1.2.840.10008.1.2.5"), source)

    assert b"\x28\0\4\0CS\x0c\0MONOCHROM\xfd2 " in body
    assert body.endswith(bytes([10, 20, 30, 40]))


@pytest.mark.parametrize(("representation", "vr"), [(0, b"US"), (1, b"SS")])
def test_numbers_of_either_sign_follow_the_nearest_pixel_representation(
    representation: int, vr: bytes
) -> None:
    depth = 5_000
    padding = struct.pack("<HHIH", 0x0028, 0x0120, 2, 7)
    head = struct.pack("<HHI", 0x0040, 0xA730, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    tail = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    after = struct.pack("<HHIH", 0x0028, 0x0103, 2, representation)
    source = (padding + head) * depth + tail * depth + after

    body = rendered(explicit.rewrite(source, 0, str(ImplicitVRLittleEndian)), source)

    assert body.count(b"\x28\x00\x20\x01" + vr) == depth
