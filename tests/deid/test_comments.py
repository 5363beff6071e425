"""Comments and application segments in compressed frames."""

import struct

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from dicomweb_box.deid.doubt import Doubt
from tests.deid.planted import deid, instance, read, written

RAMP = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
SECRET = b"Qzx^Comment of Jane"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(number: int) -> bytes:
    """A frame with a comment, EXIF and a thumbnail of JFIF; behind its end more of the same."""
    plain = imagecodecs.jpeg_encode(RAMP + number, level=95)
    more = segment(0xFE, SECRET) + segment(0xE1, b"Exif\0\0" + SECRET) + segment(0xFE, SECRET * (number + 1))
    at = plain.index(b"\xff\xda")
    return plain[:2] + more + plain[2:at] + segment(0xFE, SECRET) + plain[at:] + SECRET


def jpeg_ls(number: int) -> bytes:
    plain = imagecodecs.jpegls_encode(RAMP + number)
    return plain[:2] + segment(0xFE, SECRET * (number + 1)) + segment(0xE5, SECRET) + plain[2:]


def jpeg_2000(number: int) -> bytes:
    plain = imagecodecs.jpeg2k_encode(RAMP + number, codecformat="j2k", reversible=True)
    at = plain.index(b"\xff\x90")
    return plain[:at] + segment(0x64, b"\0\1" + SECRET * (number + 1)) + plain[at:]


KINDS = [
    (JPEGBaseline8Bit, jpeg, imagecodecs.jpeg_decode),
    (JPEGLSLossless, jpeg_ls, imagecodecs.jpegls_decode),
    (JPEG2000Lossless, jpeg_2000, imagecodecs.jpeg2k_decode),
]


def compressed(syntax: str, pixels: bytes, **more: object) -> bytes:
    ds = instance(Rows=64, Columns=64, NumberOfFrames=3, PixelData=pixels, **more)
    ds["PixelData"].is_undefined_length = True
    return written(ds, syntax)


@pytest.mark.parametrize(("syntax", "make", "decode"), KINDS, ids=lambda one: getattr(one, "__name__", None))
@pytest.mark.parametrize("table", [True, False])
def test_comments_go_and_pixels_and_offset_tables_stay_right(syntax, make, decode, table: bool):
    frames = [make(number) for number in range(3)]
    source = compressed(syntax, encapsulate(frames, has_bot=table))
    assert SECRET in source

    out = deid(source)

    assert b"Qzx" not in out
    found = list(generate_frames(read(out).PixelData, number_of_frames=3))
    for before, after in zip(frames, found, strict=True):
        assert np.array_equal(decode(before), decode(after))


def test_extended_offset_tables_tell_of_the_frames_as_they_are_now():
    frames = [jpeg(number) for number in range(3)]
    pixels, offsets, lengths = encapsulate_extended(frames)
    source = compressed(
        JPEGBaseline8Bit, pixels, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths
    )
    out = read(deid(source))
    tables = (out.ExtendedOffsetTable, out.ExtendedOffsetTableLengths)
    found = list(generate_frames(out.PixelData, number_of_frames=3, extended_offsets=tables))
    for before, after in zip(frames, found, strict=True):
        assert np.array_equal(imagecodecs.jpeg_decode(before), imagecodecs.jpeg_decode(after))


def test_frames_in_several_fragments_are_followed_or_held_back():
    frame = imagecodecs.jpeg_encode(RAMP, level=95)
    whole = encapsulate([frame], fragments_per_frame=2, has_bot=True)
    out = read(deid(compressed(JPEGBaseline8Bit, whole)))
    found = next(generate_frames(out.PixelData, number_of_frames=1))
    assert np.array_equal(imagecodecs.jpeg_decode(found), imagecodecs.jpeg_decode(frame))


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xd8" + segment(0xFE, SECRET)[:-4],
        b"\xff\xd8" + SECRET + b"\xff\xd9",
        SECRET + b"\xff\xfe\x00\x08",
    ],
)
def test_a_frame_that_cannot_be_followed_is_held_back(frame: bytes):
    with pytest.raises(Doubt):
        deid(compressed(JPEGBaseline8Bit, encapsulate([frame], has_bot=False)))


def test_a_comment_in_the_header_of_a_tile_part_is_held_back():
    plain = jpeg_2000(0)
    at = plain.index(b"\xff\x93")
    with pytest.raises(Doubt, match="tile-part"):
        deid(compressed(JPEG2000Lossless, encapsulate([plain[:at] + segment(0x64, SECRET) + plain[at:]])))


def test_an_overlay_in_unused_bits_of_the_pixels_is_held_back():
    ds = instance()
    ds.add_new(0x60000100, "US", 8)
    ds.add_new(0x60000102, "US", 7)
    with pytest.raises(Doubt, match="unused bits"):
        deid(written(ds))
