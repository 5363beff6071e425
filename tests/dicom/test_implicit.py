"""Rewriting to Implicit VR Little Endian: pydicom must read the same values from it."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomweb_box.dicom import explicit, implicit
from dicomweb_box.dicom.file_meta import file_meta
from dicomweb_box.dicom.pieces import Encoded, Stretch, length, swapped
from dicomweb_box.dicom.uids import DEFLATED_LITTLE, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dicom.vr_lookup import LONG_VRS
from dicomweb_box.errors import Damaged, UnreadableInstance
from tests.builders import make_dataset, part10
from tests.dicom.test_explicit import dataset_offset, read, rendered, rewritten, same, shipped


def without_vrs(data: bytes) -> bytes:
    """A Part 10 object in Implicit VR Little Endian."""
    offset = dataset_offset(data)
    syntax = str(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta.TransferSyntaxUID)
    meta = file_meta(data, offset, IMPLICIT_LITTLE)
    if syntax == DEFLATED_LITTLE:
        data, offset = zlib.decompress(data[offset:], -zlib.MAX_WBITS), 0
    pieces = implicit.without_vrs(explicit.rewrite(memoryview(data), offset, syntax))
    body = rendered(pieces, data)
    assert len(body) == length(pieces)
    return meta + body


def value_of(ds: Dataset, tag: pydicom.tag.BaseTag) -> object:
    """A value as it can be compared; that it is refused is one, too."""
    try:
        value = ds[tag].value
    except Exception as error:  # noqa: BLE001
        return type(error)
    return bytes(value) if isinstance(value, bytes | bytearray) else value


def differences(before: Dataset, after: Dataset, path: str = "") -> list[str]:
    """Where two data sets differ; an element whose VR nobody knows any more is compared by its bytes."""
    found = []
    if set(before.keys()) != set(after.keys()):
        found.append(f"{path}: {sorted(map(str, set(before.keys()) ^ set(after.keys())))}")
    for tag in sorted(set(before.keys()) & set(after.keys())):
        one, other = value_of(before, tag), value_of(after, tag)
        if isinstance(one, Sequence) and isinstance(other, Sequence):
            assert len(one) == len(other)
            for number, items in enumerate(zip(one, other, strict=True), 1):
                found += differences(*items, f"{path}/{tag}/{number}")
        elif implied(after, tag) == before.get_item(tag).VR and not same(one, other):
            found.append(f"{path}/{tag}: another value")
    return found


def implied(ds: Dataset, tag: pydicom.tag.BaseTag) -> str | None:
    """The VR that a reader finds without being told."""
    try:
        return str(ds[tag].VR)
    except Exception:  # noqa: BLE001
        return None


def check(path: Path) -> None:
    """The file reads the same without VRs, its pixels included; skips what cannot be rewritten."""
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            private = read(data).file_meta.TransferSyntaxUID.is_private
        except Exception:  # noqa: BLE001
            pytest.skip("pydicom does not read it as a Part 10 object")
        if private or data[128:132] != b"DICM":
            pytest.skip("no transfer syntax to rewrite from")
        try:
            before = read(rewritten(data))
        except (Damaged, UnreadableInstance):
            pytest.skip("it cannot be made explicit either")
        after = read(without_vrs(data))
        assert after.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        assert differences(before, after) == []
        try:
            wanted = before.pixel_array
        except Exception:  # noqa: BLE001 - no pixels, or none that pydicom alone takes
            return
        assert np.array_equal(wanted, after.pixel_array)


@pytest.mark.dicom("PS3.5 A.1")
@pytest.mark.parametrize("path", shipped(), ids=lambda path: Path(path).name)
def test_pydicom_reads_the_same_from_its_own_files(path: str) -> None:
    check(Path(path))


def test_pydicom_reads_the_same_from_every_shared_file(shared_data: Path) -> None:
    seen = 0
    for path in sorted(shared_data.rglob("*.dcm")):
        if path.stat().st_size > 4_000_000 or "bad" in path.parts:
            continue
        try:
            check(path)
        except pytest.skip.Exception:
            continue
        seen += 1
    assert seen > 50


@pytest.mark.dicom("PS3.5 7.1.3")
def test_a_known_sequence_is_read_item_by_item() -> None:
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "one"
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, Dataset()])
    ds = make_dataset(ReferencedSeriesSequence=Sequence([outer]))

    found = read(without_vrs(part10(ds)))

    items = found.ReferencedSeriesSequence[0].PurposeOfReferenceCodeSequence
    assert [len(item) for item in items] == [2, 0]
    assert items[0].CodeMeaning == "one"


def test_values_that_are_implicit_already_come_out_as_they_went_in() -> None:
    data = part10(
        make_dataset(PixelData=bytes(10_000), Rows=50, Columns=100), transfer_syntax=IMPLICIT_LITTLE
    )

    found = without_vrs(data)

    assert found[dataset_offset(found) :] == data[dataset_offset(data) :]


def test_bytes_of_big_endian_cells_are_turned() -> None:
    ds = make_dataset(PixelData=bytes(range(32)))

    found = read(without_vrs(part10(ds, transfer_syntax=ExplicitVRBigEndian)))

    assert found.PixelData == swapped(bytes(range(32)), 2)


def test_large_values_are_only_named() -> None:
    data = part10(make_dataset(PixelData=bytes(100_000), Rows=250, Columns=200))

    pieces = implicit.without_vrs(explicit.rewrite(data, dataset_offset(data), EXPLICIT_LITTLE))

    assert any(isinstance(piece, Stretch) and piece.length == 100_000 for piece in pieces)
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 2000


def test_encapsulated_frames_are_refused() -> None:
    with pytest.raises(TypeError):
        implicit.without_vrs([Encoded(1)])


@pytest.mark.parametrize(("said", "given"), [(5000, 4999), (5000, 5001)])
def test_a_value_of_another_length_than_said_is_refused(said: int, given: int) -> None:
    assert b"OB" in LONG_VRS
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, said)

    with pytest.raises(UnreadableInstance):
        implicit.without_vrs([head, Stretch(0, given)])
