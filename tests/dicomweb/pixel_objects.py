"""Made-up objects of several frames, native and compressed."""

import struct

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from tests.builders import make_dataset, part10

NATIVE = f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
OHIF = "multipart/related; type=application/octet-stream; transfer-syntax=*"
RLE = "1.2.840.10008.1.2.5"


def cells(frames: int, rows: int = 4, columns: int = 5) -> np.ndarray:
    return np.arange(frames * rows * columns, dtype="<u2").reshape(frames, rows, columns) * 257


def multi_frame(frames: np.ndarray, syntax: str = ExplicitVRLittleEndian) -> bytes:
    ds = make_dataset(
        Rows=frames.shape[1],
        Columns=frames.shape[2],
        NumberOfFrames=frames.shape[0],
        BitsAllocated=8 * frames.dtype.itemsize,
        BitsStored=8 * frames.dtype.itemsize,
        HighBit=8 * frames.dtype.itemsize - 1,
        PixelData=frames.astype(
            frames.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")
        ).tobytes(),
    )
    ds["PixelData"].VR = "OW"
    if syntax == ExplicitVRBigEndian and frames.dtype.itemsize == 1:
        turned = np.frombuffer(ds.PixelData, "<u2").byteswap().tobytes()
        ds.PixelData = turned
    return part10(ds, transfer_syntax=syntax)


def rle_frames(count: int) -> tuple[bytes, list[bytes]]:
    """A made-up RLE object: each frame one run of its number over 4×4 pixels."""
    frames = [
        struct.pack("<16I", 1, 64, *([0] * 14)) + bytes([241, number]) for number in range(1, count + 1)
    ]
    ds = make_dataset(
        Rows=4, Columns=4, NumberOfFrames=count, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=b""
    )
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return part10(ds, transfer_syntax=RLE), frames


def encapsulated(frames: list[bytes], cells: np.ndarray, syntax: str, **attributes: object) -> bytes:
    """An object of compressed frames, each of which decodes to an array like `cells`."""
    colour = cells.ndim == 3
    ds = make_dataset(
        **{
            "Rows": cells.shape[0],
            "Columns": cells.shape[1],
            "SamplesPerPixel": 3 if colour else 1,
            "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
            "NumberOfFrames": len(frames),
            "BitsAllocated": 8 * cells.dtype.itemsize,
            "BitsStored": 8 * cells.dtype.itemsize,
            "HighBit": 8 * cells.dtype.itemsize - 1,
            "PixelRepresentation": int(cells.dtype.kind == "i"),
            "PixelData": b"",
        }
        | attributes
    )
    if colour:
        ds.PlanarConfiguration = attributes.get("PlanarConfiguration", 0)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return part10(ds, transfer_syntax=syntax)
