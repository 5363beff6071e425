"""Compressed pixels made black: decoded, blanked, and encoded without loss (A12)."""

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.policy import Policy
from dicomweb_box.dicom import codecs, pixels, transcode
from dicomweb_box.dicom.image import Image
from tests.deid.drawn import COLUMNS, ROWS, blanked, compressed, drawn, redacted
from tests.deid.planted import deid, written

GREY = {"u1": "MONOCHROME2", "u2": "MONOCHROME2", "i2": "MONOCHROME1"}


def described(cells: Any, syntax: str, photometric: str) -> Image:
    bits = 8 * cells.itemsize
    return Image(
        transfer_syntax_uid=syntax,
        rows=ROWS,
        columns=COLUMNS,
        samples=cells.shape[3] if cells.ndim == 4 else 1,
        bits_allocated=bits,
        bits_stored=bits,
        signed=cells.dtype.kind == "i",
        photometric=photometric,
        planar=0,
        high_bit=bits - 1,
    )


def encoded(cells: Any, syntax: str, photometric: str = "") -> list[bytes]:
    """The frames as this program encodes them; three samples are taken for RGB."""
    said = photometric or ("RGB" if cells.ndim == 4 else GREY[cells.dtype.str[1:]])
    image = described(cells, ExplicitVRLittleEndian, said)
    return [transcode.encode(image, frame.tobytes(), syntax) for frame in cells]


def decoded(out: Dataset, like: Any) -> Any:
    """The frames of what was written, each decoded on its own as it is described."""
    image = described(like, out.file_meta.TransferSyntaxUID, out.PhotometricInterpretation)
    if not image.encapsulated:
        return np.frombuffer(out.PixelData, like.dtype)[: like.size].reshape(like.shape)
    frames = list(generate_frames(out.PixelData, number_of_frames=len(like)))
    assert len(frames) == len(like)
    native = b"".join(pixels.decode(image, one) for one in frames)
    return np.frombuffer(native, like.dtype).reshape(like.shape)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
@pytest.mark.parametrize(
    ("syntax", "target"),
    [
        (RLELossless, RLELossless),
        (JPEGLSLossless, JPEGLSLossless),
        (JPEGLSNearLossless, JPEGLSLossless),
        (JPEG2000Lossless, JPEG2000Lossless),
        (JPEG2000, JPEG2000Lossless),
        (HTJ2KLossless, HTJ2KLossless),
        (JPEGLosslessSV1, JPEGLosslessSV1),
        (JPEGLossless, JPEGLosslessSV1),
    ],
)
def test_a12_lossless_grey_stays_bit_for_bit_outside(policy: Policy, dtype: str, syntax: str, target: str):
    cells = drawn(dtype)
    made = {JPEGLSNearLossless: JPEGLSLossless, JPEG2000: JPEG2000Lossless, JPEGLossless: JPEGLosslessSV1}
    ds = compressed(cells, encoded(cells, made.get(syntax, syntax)), PhotometricInterpretation=GREY[dtype])
    out = redacted(ds, policy, syntax)
    assert out.file_meta.TransferSyntaxUID == target
    black = {"u1": 0, "u2": 0, "i2": (1 << 15) - 1}[dtype]
    np.testing.assert_array_equal(decoded(out, cells), blanked(cells, black))
    assert out.PhotometricInterpretation == GREY[dtype]
    assert out.BurnedInAnnotation == "NO"


@pytest.mark.parametrize(
    ("syntax", "photometric", "described_as", "target", "black"),
    [
        (RLELossless, "RGB", "RGB", RLELossless, (0, 0, 0)),
        (RLELossless, "YBR_FULL", "YBR_FULL", RLELossless, (0, 128, 128)),
        (JPEGLSLossless, "RGB", "RGB", JPEGLSLossless, (0, 0, 0)),
        (JPEGLSLossless, "YBR_FULL", "YBR_FULL", JPEGLSLossless, (0, 128, 128)),
        (JPEGLosslessSV1, "RGB", "RGB", JPEGLosslessSV1, (0, 0, 0)),
        (JPEG2000Lossless, "YBR_RCT", "YBR_RCT", JPEG2000Lossless, (0, 0, 0)),
    ],
)
def test_a12_lossless_colour_stays_bit_for_bit_outside(
    policy: Policy, syntax: str, photometric: str, described_as: str, target: str, black: tuple[int, ...]
):  # fmt: skip
    cells = drawn(samples=3)
    ds = compressed(cells, encoded(cells, syntax), PhotometricInterpretation=photometric)
    out = redacted(ds, policy, syntax)
    assert (out.file_meta.TransferSyntaxUID, out.PhotometricInterpretation) == (target, described_as)
    out.PhotometricInterpretation = "RGB" if described_as == "YBR_FULL" else described_as
    np.testing.assert_array_equal(decoded(out, cells), blanked(cells, black))


def untransformed(cell: Any) -> bytes:
    """A JPEG 2000 frame whose components are left as they are."""
    return bytes(imagecodecs.jpeg2k_encode(cell, codecformat="J2K", reversible=True, mct=False))


def unmarked(cell: Any) -> bytes:
    """A lossless JPEG frame that does not say which colour it has."""
    frame = encoded(cell[None], JPEGLosslessSV1)[0]
    assert frame[2:4] == b"\xff\xee"
    frame = frame[:2] + frame[18:]
    frame = frame.replace(b"R\x11\0G\x11\0B\x11\0", b"\1\x11\0\2\x11\0\3\x11\0", 1)
    return frame.replace(b"\xff\xda\0\x0c\3R\0G\0B\0", b"\xff\xda\0\x0c\3\1\0\2\0\3\0", 1)


@pytest.mark.parametrize(("syntax", "make"), [(JPEG2000Lossless, untransformed), (JPEGLosslessSV1, unmarked)])
def test_a12_colour_that_encoding_would_turn_is_written_uncompressed(
    policy: Policy, syntax: str, make: Callable[[Any], bytes]
):
    cells = drawn(samples=3)
    frames = [make(one) for one in cells]
    ds = compressed(cells, frames, PhotometricInterpretation="YBR_FULL")
    out = redacted(ds, policy, syntax)
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert out.PhotometricInterpretation == "YBR_FULL"
    np.testing.assert_array_equal(decoded(out, cells), blanked(cells, (0, 128, 128)))


@pytest.mark.dicom("PS3.3 C.7.6.1.1.5")
def test_a12_lossy_pixels_are_written_without_further_loss_and_say_that_they_lost(policy: Policy):
    cells = drawn(samples=3)
    how = {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "422"}
    frames = [bytes(imagecodecs.jpeg8_encode(one, **how)) for one in cells]
    ds = compressed(cells, frames, PhotometricInterpretation="YBR_FULL_422")
    image = described(cells, JPEGBaseline8Bit, "YBR_FULL_422")
    before = np.stack([codecs.decoded(image, one) for one in frames])
    out = redacted(ds, policy, JPEGBaseline8Bit)
    assert (out.file_meta.TransferSyntaxUID, out.PhotometricInterpretation) == (JPEGLosslessSV1, "RGB")
    np.testing.assert_array_equal(decoded(out, cells), blanked(before, 0))
    assert (out.LossyImageCompression, out.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


def test_a12_lossy_compression_that_was_told_stays_told(policy: Policy):
    cells = drawn()
    ds = compressed(
        cells, encoded(cells, JPEG2000Lossless), LossyImageCompression="01",
        LossyImageCompressionRatio=["10", "5"], LossyImageCompressionMethod=["ISO_10918_1", "ISO_15444_1"],
    )  # fmt: skip
    out = redacted(ds, policy, JPEG2000)
    assert out.LossyImageCompression == "01"
    assert out.LossyImageCompressionRatio == [10, 5]
    assert out.LossyImageCompressionMethod == ["ISO_10918_1", "ISO_15444_1"]


def test_a12_what_is_encapsulated_without_compression_is_written_native(policy: Policy):
    cells = drawn()
    frames = [one.tobytes() for one in cells]
    out = redacted(compressed(cells, frames), policy, "1.2.840.10008.1.2.1.98")
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    np.testing.assert_array_equal(decoded(out, cells), blanked(cells, 0))


@pytest.mark.parametrize("table", ["none", "basic", "extended"])
@pytest.mark.dicom("PS3.5 A.4")
def test_a12_offset_tables_never_tell_of_frames_that_are_no_more(policy: Policy, table: str):
    cells = drawn()
    frames = encoded(cells, JPEGLSLossless)
    ds = compressed(cells, frames)
    ds.PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=table == "basic")
    if table == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    out = redacted(ds, policy, JPEGLSLossless)
    assert "ExtendedOffsetTable" not in out
    assert out.PixelData[:8] == bytes.fromhex("feff00e000000000")
    np.testing.assert_array_equal(decoded(out, cells), blanked(cells, 0))


@pytest.mark.parametrize(
    ("more", "frames", "why"),
    [
        ({"NumberOfFrames": 2}, 3, "told apart"),
        ({"Rows": ROWS + 1}, 3, "no rule"),
        ({}, 2, "told apart"),
        ({"BitsStored": 16, "BitsAllocated": 16, "HighBit": 15, "SamplesPerPixel": 3}, 3, "Photometric"),
        ({"PhotometricInterpretation": "YBR_FULL_422", "SamplesPerPixel": 3}, 3, "transfer syntax"),
    ],
)
def test_a12_frames_that_are_not_what_is_described_are_held_back(
    policy: Policy, more: dict[str, object], frames: int, why: str
):  # fmt: skip
    cells = drawn()
    ds = compressed(cells, encoded(cells, RLELossless)[:frames], **more)
    with pytest.raises(Doubt, match=why):
        deid(written(ds, RLELossless), policy)


def test_a12_a_lossless_frame_that_says_another_colour_is_held_back(policy: Policy):
    cells = drawn(samples=3)
    frames = encoded(cells, JPEGLosslessSV1)
    ds = compressed(cells, frames, PhotometricInterpretation="YBR_FULL")
    with pytest.raises(Doubt, match="another colour"):
        deid(written(ds, JPEGLosslessSV1), policy)


def test_a12_a_frame_that_cannot_be_decoded_is_held_back_while_it_is_written(policy: Policy):
    cells = drawn()
    frames = encoded(cells, JPEGLSLossless)
    frames[2] = frames[2][:40]
    with pytest.raises(Doubt, match="cannot be decoded"):
        deid(written(compressed(cells, frames), JPEGLSLossless), policy)


IRREVERSIBLE = {"codecformat": "J2K", "reversible": False, "level": 40}


@pytest.mark.dicom("PS3.3 C.7.6.1.1.5")
@pytest.mark.parametrize(
    ("syntax", "make", "method"),
    [
        (JPEGLSNearLossless, lambda cell: imagecodecs.jpegls_encode(cell, level=3), "ISO_14495_1"),
        (JPEG2000, lambda cell: imagecodecs.jpeg2k_encode(cell, **IRREVERSIBLE), "ISO_15444_1"),
        (JPEGLSNearLossless, imagecodecs.jpegls_encode, None),
        (JPEG2000, lambda cell: encoded(cell[None], JPEG2000Lossless)[0], None),
        (HTJ2KLossless, lambda cell: encoded(cell[None], HTJ2KLossless)[0], None),
        (JPEGLosslessSV1, lambda cell: encoded(cell[None], JPEGLosslessSV1)[0], None),
    ],
)
@pytest.mark.parametrize("said", [None, "00"])
def test_a12_what_a_codestream_says_that_it_has_lost_is_said_for_good(
    policy: Policy, syntax: str, make: Callable[[Any], bytes], method: str | None, said: str | None
):  # fmt: skip
    cells = drawn()
    frames = [bytes(make(one)) for one in cells]
    more = {"LossyImageCompression": said} if said else {}
    out = redacted(compressed(cells, frames, **more), policy, syntax)
    assert out.get("LossyImageCompressionMethod") == method
    assert out.get("LossyImageCompression") == ("01" if method else said)


def test_a12_one_frame_that_has_lost_is_enough(policy: Policy):
    cells = drawn()
    frames = [
        bytes(imagecodecs.jpegls_encode(one, level=3 * (number == 2))) for number, one in enumerate(cells)
    ]
    out = redacted(compressed(cells, frames), policy, JPEGLSNearLossless)
    assert (out.LossyImageCompression, out.LossyImageCompressionMethod) == ("01", "ISO_14495_1")


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLosslessSV1])
def test_a12_a_frame_that_breaks_off_is_held_back(policy: Policy, syntax: str):
    cells = drawn()
    frames = encoded(cells, syntax)
    whole = [frame + bytes(2) for frame in frames]  # padding is no damage
    assert redacted(compressed(cells, whole), policy, syntax).BurnedInAnnotation == "NO"
    for cut in (len(frames[1]) // 2, len(frames[1]) - 2):
        ds = compressed(cells, [frames[0], frames[1][:cut], frames[2]])
        with pytest.raises(Doubt, match="ends before its image does"):
            deid(written(ds, syntax), policy)
