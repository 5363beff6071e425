"""Pixels made black where a rule says so (A12)."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.engine import deidentify
from dicomweb_box.deid.policy import Policy
from tests.deid.drawn import COLUMNS, FRAMES, ROWS, RULES, blanked, capture, drawn, redacted, rules
from tests.deid.planted import KEY, deid, instance, read, written

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
    ],
)
@pytest.mark.parametrize(
    ("dtype", "photometric", "black"),
    [
        ("u1", "MONOCHROME2", 0),
        ("u1", "MONOCHROME1", 255),
        ("u2", "MONOCHROME2", 0),
        ("i2", "MONOCHROME2", -(1 << 15)),
        ("i2", "MONOCHROME1", (1 << 15) - 1),
        ("u4", "MONOCHROME1", (1 << 32) - 1),
    ],
)
def test_a12_native_grey_is_blanked_and_all_else_stays(
    policy: Policy, syntax: str, dtype: str, photometric: str, black: int
):
    cells = drawn(dtype)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    stored = cells.astype(np.dtype(dtype).newbyteorder(order))
    out = redacted(capture(stored, PhotometricInterpretation=photometric), policy, syntax)
    found = np.frombuffer(out.PixelData, stored.dtype)[: cells.size].reshape(cells.shape)
    np.testing.assert_array_equal(found, blanked(cells, black))
    assert out.file_meta.TransferSyntaxUID == syntax
    assert len(out.PixelData) == cells.nbytes + cells.nbytes % 2


@pytest.mark.parametrize(
    ("photometric", "planar", "black"),
    [
        ("RGB", 0, (0, 0, 0)),
        ("RGB", 1, (0, 0, 0)),
        ("YBR_FULL", 0, (0, 128, 128)),
        ("YBR_FULL", 1, (0, 128, 128)),
    ],
)
def test_a12_native_colour_is_blanked_in_all_its_planes(
    policy: Policy, photometric: str, planar: int, black: tuple[int, ...]
):
    cells = drawn(samples=3)
    stored = cells.transpose(0, 3, 1, 2) if planar else cells
    ds = capture(cells, PhotometricInterpretation=photometric, PlanarConfiguration=planar)
    ds.PixelData = stored.tobytes()
    out = redacted(ds, policy)
    found = np.frombuffer(out.PixelData, "u1").reshape(stored.shape)
    found = found.transpose(0, 2, 3, 1) if planar else found
    np.testing.assert_array_equal(found, blanked(cells, black))
    assert (out.PhotometricInterpretation, out.PlanarConfiguration) == (photometric, planar)


def test_a12_pixels_that_share_their_chrominance_are_blanked_in_pairs(policy: Policy):
    pairs = np.random.default_rng(3).integers(1, 255, (FRAMES, ROWS, COLUMNS // 2, 4), dtype="u1")
    ds = capture(drawn(samples=3), PhotometricInterpretation="YBR_FULL_422", PixelData=pairs.tobytes())
    out = redacted(ds, policy)
    wanted = pairs.copy()
    wanted[:, 2:14, 1:30] = (0, 0, 128, 128)  # columns 3 to 59 are widened to 2 to 59
    found = np.frombuffer(out.PixelData, "u1").reshape(pairs.shape)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_a12_single_bits_are_blanked_over_frames_that_begin_within_a_byte(
    policy: Policy, tmp_path: Path, syntax: str, vr: str
):
    rows = ROWS - 1
    assert rows * COLUMNS % 8
    policy = replace(policy, pixel_rules=rules(tmp_path, RULES.replace("rows = 40", "rows = 39")))
    cells = np.random.default_rng(5).integers(0, 2, (FRAMES, rows, COLUMNS), dtype="u1")
    ds = capture(drawn(), Rows=rows)
    packed = np.packbits(cells.reshape(-1), bitorder="little").tobytes()
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = 0
    packed += b"\0" * (len(packed) % 2)
    swapped = vr == "OW" and syntax == ExplicitVRBigEndian
    ds.PixelData = np.frombuffer(packed, "u2").byteswap().tobytes() if swapped else packed
    ds["PixelData"].VR = vr
    found = np.frombuffer(redacted(ds, policy, syntax).PixelData, "u2")
    found = found.byteswap() if swapped else found
    bits = np.unpackbits(found.view("u1"), bitorder="little")
    np.testing.assert_array_equal(bits[: cells.size].reshape(cells.shape), blanked(cells, 0))


def test_a12_a_palette_is_blanked_with_its_darkest_colour(policy: Policy):
    ds = capture(drawn(most=200), PhotometricInterpretation="PALETTE COLOR")
    tables = np.random.default_rng(2).integers(9, 65536, (3, 256), dtype="u2")
    tables[:, 77] = 3
    for table, colour in zip(tables, ("Red", "Green", "Blue"), strict=True):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", table.tobytes())
    out = redacted(ds, policy)
    found = np.frombuffer(out.PixelData, "u1").reshape(FRAMES, ROWS, COLUMNS)
    np.testing.assert_array_equal(found, blanked(drawn(most=200), 77))


def test_a12_what_was_redacted_says_so(policy: Policy):
    ds = capture(drawn(), BurnedInAnnotation="YES", ImageType=["ORIGINAL", "PRIMARY"])
    ds.IconImageSequence = [instance()]
    assert "IconImageSequence" in read(written(ds))
    out = redacted(ds, policy)
    assert out.BurnedInAnnotation == "NO"
    assert out.ImageType == ["DERIVED", "PRIMARY"]
    codes = [item.CodeValue for item in out.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101"]
    assert "IconImageSequence" not in out


def test_a12_what_was_not_redacted_does_not_say_so(policy: Policy):
    out = redacted(instance(ImageType=["ORIGINAL", "PRIMARY"]), policy)
    assert "BurnedInAnnotation" not in out
    assert out.ImageType == ["ORIGINAL", "PRIMARY"]
    assert [item.CodeValue for item in out.DeidentificationMethodCodeSequence] == ["113100"]
    assert out.PixelData == b"\1\2\3\4"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"Manufacturer": "Another"}, "no rule says where"),
        ({"Columns": 71}, "no rule says where"),
        ({"PixelData": bytes(100)}, "shorter than"),
        ({"PhotometricInterpretation": "HSV"}, "not one that is redacted"),
        ({"BitsStored": 17}, "what its pixels are"),
        ({"NumberOfFrames": 0xFFFFFFF}, "shorter than"),
    ],
)
def test_a12_without_certainty_it_is_held_back(policy: Policy, more: dict[str, object], why: str):
    with pytest.raises(Doubt, match=why):
        deid(written(capture(drawn(), **more)), policy)


def test_a12_two_rules_that_mean_one_instance_are_none(policy: Policy, tmp_path: Path):
    both = rules(tmp_path, RULES + RULES.replace("north", "south").replace("width = 57", "width = 9"))
    with pytest.raises(Doubt, match="more than one rule"):
        deid(written(capture(drawn())), replace(policy, pixel_rules=both))


@pytest.mark.parametrize("signed", [False, True])
def test_a12_overlays_in_unused_bits_are_cleared(policy: Policy, signed: bool):
    pixels = np.arange(-2048 if signed else 0, 2048, 16, dtype="i2").reshape(1, -1, 8)
    stored = pixels & 0xFFF | 0x5000
    ds = instance(
        Rows=pixels.shape[1], Columns=8, BitsAllocated=16, BitsStored=12, HighBit=11,
        PixelRepresentation=int(signed), PixelData=stored.astype("u2").tobytes(),
    )  # fmt: skip
    ds["PixelData"].VR = "OW"
    for position, group in ((12, 0x6000), (14, 0x6002)):
        ds.add_new(group << 16 | 0x0100, "US", 16)
        ds.add_new(group << 16 | 0x0102, "US", position)
    with pytest.raises(Doubt, match="unused bits"):
        deid(written(ds))
    out = redacted(ds, policy)
    np.testing.assert_array_equal(np.frombuffer(out.PixelData, "i2"), pixels.reshape(-1))
    assert "BurnedInAnnotation" not in out
    ds[0x60020102].value = 3
    with pytest.raises(Doubt, match="not unused"):
        deid(written(ds), policy)


def ultrasound(*regions: tuple[int, int, int, int], **more: object) -> Dataset:
    """Ultrasound with regions by Min x0, Min y0, Max x1, Max y1."""
    ds = capture(drawn(), SOPClassUID=ULTRASOUND, Manufacturer="Another", **more)
    ds.SequenceOfUltrasoundRegions = []
    for left, top, right, bottom in regions:
        item = Dataset()
        item.RegionDataType = 1
        item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
        ds.SequenceOfUltrasoundRegions.append(item)
    return ds


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.dicom("PS3.3 C.8.5.5")
def test_a12_ultrasound_is_blanked_outside_of_its_regions(policy: Policy, syntax: str):
    cells = drawn()
    ds = ultrasound((0, 14, 29, 39), (20, 20, 70, 45), BurnedInAnnotation="YES")
    ds["SequenceOfUltrasoundRegions"].is_undefined_length = syntax == ExplicitVRBigEndian
    out = redacted(ds, policy, syntax)
    wanted = np.zeros_like(cells)
    wanted[:, 14:40, 0:30] = cells[:, 14:40, 0:30]
    wanted[:, 20:40, 20:70] = cells[:, 20:40, 20:70]
    found = np.frombuffer(out.PixelData, "u1").reshape(cells.shape)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("ds", "why"),
    [
        (ultrasound(), "nothing tells the regions"),
        (ultrasound((0, 0, 69, 39)), "leave nothing"),
        (ultrasound((0, 0, 40, 39), (30, 0, 69, 20), (41, 21, 99, 99)), "leave nothing"),
        (ultrasound((70, 0, 80, 20)), "outside of its frames"),
        (ultrasound((0, 14, 29, 39), ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]), "a screen"),
    ],
)
def test_a12_ultrasound_whose_regions_do_not_help_is_held_back(policy: Policy, ds: Dataset, why: str):
    with pytest.raises(Doubt, match=why):
        deid(written(ds), policy)


def test_a12_pixels_are_redacted_frame_by_frame(policy: Policy):
    cells = np.full((64, 512, 512), 9, "u1")
    ds = ultrasound((0, 14, 511, 511), Rows=512, Columns=512, NumberOfFrames=64, PixelData=cells.tobytes())
    source = written(ds)
    found = deidentify(source, len(source), policy, KEY)
    assert sum(len(piece) for piece in found.pieces if isinstance(piece, bytes)) < 4096
    tracemalloc.start()
    size = sum(map(len, found.chunks()))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > cells.nbytes
    assert most < 6 * 512 * 512
