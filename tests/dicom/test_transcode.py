"""Photometric Interpretation × codec × planar × bits: frames encoded, read back by pydicom and by us."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

from dicomweb_box.dicom import pixels, transcode
from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import Damaged
from tests.dicom import lent_codecs

lent_codecs.lend()
EXPLICIT = "1.2.840.10008.1.2.1"
SHAPE = (37, 53)
LOSSLESS = [one for one in transcode.TARGETS if one not in transcode.LOSSY]
NO_REFEREE = frozenset((transcode.JPEG_XL_LOSSLESS,))
"""What pydicom 3.0 has no decoder for."""


def image(
    allocated: int, stored: int, *, signed: bool = False, photometric: str = "MONOCHROME2", **more: Any
) -> Image:
    given: dict[str, Any] = {
        "transfer_syntax_uid": EXPLICIT,
        "rows": SHAPE[0],
        "columns": SHAPE[1],
        "samples": 3 if photometric in ("RGB", "YBR_FULL") else 1,
        "bits_allocated": allocated,
        "bits_stored": stored,
        "signed": signed,
        "photometric": photometric,
        "planar": 0,
        "high_bit": stored - 1,
    }
    return Image(**(given | more))


def cells_of(one: Image) -> np.ndarray[Any, Any]:
    """Smooth and rough parts, with the least and the greatest value."""
    lowest = -(1 << one.bits_stored - 1) if one.signed else 0
    highest = lowest + (1 << one.bits_stored) - 1
    shape = (*SHAPE, 3) if one.samples == 3 else SHAPE
    random = np.random.default_rng(one.bits_stored)
    ramp = np.linspace(lowest, highest, int(np.prod(shape))).reshape(shape)
    ramp[:10] = random.integers(lowest, highest, (10, *shape[1:]), endpoint=True)
    ramp.reshape(-1)[:2] = lowest, highest
    kind = "i" if one.signed else "u"
    return np.clip(ramp, lowest, highest).astype(f"<{kind}{one.bits_allocated // 8}")


def native(one: Image, cells: np.ndarray[Any, Any]) -> bytes:
    return (cells.transpose(2, 0, 1) if one.planar else cells).tobytes()


def images() -> Iterator[Image]:
    for signed in (False, True):
        for allocated, stored in ((8, 8), (8, 6), (16, 16), (16, 12), (16, 10), (16, 8), (32, 32), (32, 20)):
            yield image(allocated, stored, signed=signed)
    yield image(8, 8, photometric="MONOCHROME1")
    yield image(8, 8, photometric="PALETTE COLOR")
    yield image(16, 16, photometric="PALETTE COLOR")
    for planar in (0, 1):
        yield image(8, 8, photometric="RGB", planar=planar)
        yield image(16, 12, photometric="RGB", planar=planar)


def named(one: Image) -> str:
    sign = "signed" if one.signed else "unsigned"
    return f"{one.photometric}-{one.bits_stored}/{one.bits_allocated}-{sign}-planar{one.planar}"


CASES = [
    pytest.param(one, target, id=f"{named(one)}-{target}")
    for one in images()
    for target in transcode.targets(one)
]


def by_pydicom(said: Image, frame: bytes) -> np.ndarray[Any, Any]:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = said.transfer_syntax_uid
    ds.Rows, ds.Columns, ds.SamplesPerPixel = said.rows, said.columns, said.samples
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = said.bits_allocated, said.bits_stored, said.bits_stored - 1
    ds.PixelRepresentation = int(said.signed)
    ds.PhotometricInterpretation = said.photometric
    if said.samples > 1:
        ds.PlanarConfiguration = said.planar
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    return pixel_array(ds)


@pytest.mark.dicom("PS3.5 8.2")
@pytest.mark.parametrize(("one", "target"), CASES)
def test_what_is_encoded_is_read_by_pydicom_and_by_us(one: Image, target: str) -> None:
    cells = cells_of(one)

    frame = transcode.encode(one, native(one, cells), target)
    said = transcode.described(one, target)
    ours = pixels.samples(said, pixels.decode(said, frame))

    assert said.transfer_syntax_uid == target
    readings = [ours] if target in NO_REFEREE else [ours, by_pydicom(said, frame)]
    for found in readings:
        assert found.shape == cells.shape
        if target in transcode.LOSSY:
            assert_near(one, found, cells)
        else:
            assert np.array_equal(found, cells)


def assert_near(one: Image, found: np.ndarray[Any, Any], cells: np.ndarray[Any, Any]) -> None:
    """The peak signal to noise ratio is above 24 dB over noise and 33 dB over the smooth part."""
    most = (1 << one.bits_stored) - 1
    for part, least in ((slice(None), 24), (slice(12, None), 33)):
        error = float(np.mean((found[part].astype(float) - cells[part].astype(float)) ** 2))
        if one.samples == 3 and least == 24:
            continue  # noise in colour is what halved chrominance leaves out
        assert 10 * np.log10(most**2 / max(error, 1e-9)) > least


@pytest.mark.parametrize("one", list(images()), ids=named)
def test_each_integer_image_has_a_lossless_target(one: Image) -> None:
    found = transcode.targets(one)

    assert set(found) & set(LOSSLESS)
    assert (transcode.JPEG_BASELINE in found) == (
        one.bits_stored == one.bits_allocated == 8 and not one.signed and one.photometric != "PALETTE COLOR"
    )


@pytest.mark.parametrize(
    "one",
    [
        image(32, 32, floats=True),
        image(64, 64, floats=True),
        image(1, 1),
        image(16, 12, high_bit=15),
        image(8, 8, photometric="YBR_FULL"),
        image(8, 8, transfer_syntax_uid="1.2.840.10008.1.2.4.102"),
        image(8, 8, transfer_syntax_uid="1.2.3"),
    ],
    ids=["float", "double", "single bits", "high bit", "YBR uncompressed", "video", "unknown"],
)
def test_what_no_codec_would_keep_is_not_offered(one: Image) -> None:
    assert transcode.targets(one) == ()


def test_what_is_stored_so_is_no_target() -> None:
    assert transcode.RLE not in transcode.targets(image(8, 8, transfer_syntax_uid=transcode.RLE))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stored", [8, 12, 16])
@pytest.mark.parametrize("span", [1, 2, 40, 250])
def test_what_lossy_jpeg_2000_loses_is_little_of_what_the_frame_holds(
    stored: int, span: int, signed: bool
) -> None:
    one = image(16 if stored > 8 else 8, stored, signed=signed)
    lowest = -(1 << stored - 1) if signed else 0
    y, x = np.indices(SHAPE)
    values = np.rint((np.sin(x / 5) * np.cos(y / 7) + 1) / 2 * (span - 1)).astype(int) + lowest + 5
    cells = values.astype(f"<{'i' if signed else 'u'}{one.bits_allocated // 8}")
    made = transcode.encode(one, cells.tobytes(), transcode.JPEG_2000)
    again = pixels.samples(one, pixels.decode(replace(one, transfer_syntax_uid=transcode.JPEG_2000), made))
    assert np.abs(again.astype(int) - values).max() <= max(2, span * 0.05)


def test_a_frame_that_is_too_short_is_damaged() -> None:
    with pytest.raises(Damaged):
        transcode.encode(image(16, 16), b"\0" * 10, transcode.JPEG_LS)


@pytest.mark.dicom("PS3.3 C.7.6.1.1.5")
def test_lossy_compression_is_told_after_what_was_told_before() -> None:
    dataset = {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        "00282110": {"vr": "CS", "Value": ["01"]},
        "00282112": {"vr": "DS", "Value": [4]},
        "00282114": {"vr": "CS", "Value": ["ISO_10918_1"]},
    }

    found = transcode.changes(image(8, 8, photometric="RGB"), transcode.JPEG_2000, dataset, 12.345678)

    assert found[0x00280004].endswith(b"YBR_ICT ")
    assert found[0x00280006].endswith(b"\0\0")
    assert found[0x00080008].endswith(b"DERIVED\\PRIMARY\\AXIAL ")
    assert found[0x00282110].endswith(b"01")
    assert found[0x00282112].endswith(b"4\\12.3457 ")
    assert found[0x00282114].endswith(b"ISO_10918_1\\ISO_15444_1 ")


def test_lossless_compression_changes_no_more_than_the_form() -> None:
    found = transcode.changes(image(16, 12), transcode.JPEG_LS, {}, 2.0)

    assert list(found) == [0x00280004]
