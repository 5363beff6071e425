"""What codestreams say that they have lost."""

import struct

import imagecodecs
import numpy as np
import pytest

from dicomweb_box.dicom import losses, transcode

CELLS = np.arange(64, dtype="u1").reshape(8, 8)
JPEG_LS_NEAR, JPEG_EXTENDED = "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.51"


def lossless_jpeg() -> bytes:
    return bytes(imagecodecs.jpeg8_encode(CELLS, lossless=True, predictor=1))


def with_own_style(transformation: int) -> bytes:
    """A reversible JPEG 2000 frame whose first component has a style of its own (COC)."""
    frame = bytes(imagecodecs.jpeg2k_encode(CELLS, codecformat="J2K", reversible=True))
    at = frame.index(b"\xff\x52")
    end = at + 2 + struct.unpack_from(">H", frame, at + 2)[0]
    style = frame[at + 9 : at + 13] + bytes([transformation])
    return frame[:end] + b"\xff\x53" + struct.pack(">HBB", 9, 0, 0) + style + frame[end:]


def test_lossless_jpeg_that_drops_low_bits_has_lost():
    frame = bytearray(lossless_jpeg())
    assert losses.method(transcode.JPEG_LOSSLESS, bytes(frame)) == b""
    at = frame.index(b"\xff\xda") + 2
    frame[at + struct.unpack_from(">H", frame, at)[0] - 1] = 1
    assert losses.method(transcode.JPEG_LOSSLESS, bytes(frame)) == b"ISO_10918_1"


@pytest.mark.parametrize(("transformation", "method"), [(1, b""), (0, b"ISO_15444_1")])
def test_one_component_of_jpeg_2000_that_is_irreversible_is_enough(transformation: int, method: bytes):
    assert losses.method(transcode.JPEG_2000, with_own_style(transformation)) == method


def test_what_cannot_be_followed_says_nothing_but_its_transfer_syntax():
    for syntax in (JPEG_LS_NEAR, transcode.JPEG_2000, transcode.HTJ2K_LOSSLESS, transcode.RLE):
        for head in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51", lossless_jpeg()[:30], bytes(100)):
            assert losses.method(syntax, head) == b""
    assert losses.method(JPEG_EXTENDED, b"") == b"ISO_10918_1"
