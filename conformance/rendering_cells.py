"""The stored values of a frame, calculated apart from the server: numpy for native data, pydicom for codecs.

imagecodecs is lent to it for the codecs that it has no decoder for. See PS3.5 8.1.1, 8.2 and PS3.3 C.7.6.3.
"""

import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

Array = np.ndarray[Any, Any]

# Transfer syntaxes that pydicom has no decoder for, in what is installed with it.
LENT = {
    "1.2.840.10008.1.2.4.51": imagecodecs.jpeg_decode,
    "1.2.840.10008.1.2.4.57": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.70": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.81": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.110": imagecodecs.jpegxl_decode,
    "1.2.840.10008.1.2.4.112": imagecodecs.jpegxl_decode,
}
NATIVE = {f"1.2.840.10008.1.2{tail}" for tail in ("", ".1", ".1.99", ".2")}
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 203, 112)}
IMAGE_PIXEL = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
VIDEO = "1.2.840.10008.1.2.4.10"
FLOATS = {"FloatPixelData": "<f4", "DoubleFloatPixelData": "<f8"}


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Stored values (rows, columns) or (rows, columns, 3), and what kind they are after decoding."""

    values: Array
    photometric: str
    lossy: bool


def count(dataset: Dataset) -> int:
    """Number of frames."""
    try:
        return max(1, int(dataset.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def has_frames(dataset: Dataset) -> bool:
    """Whether it has pixels that are no video."""
    syntax = str(getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID", ""))
    kinds = ("PixelData", *FLOATS)
    # .100 to .108 are MPEG; .110 to .112 are JPEG XL.
    video = syntax.startswith(VIDEO) and len(syntax) == len(VIDEO) + 1
    return bool(syntax) and not video and any(kind in dataset for kind in kinds)


def cells_of(dataset: Dataset, number: int) -> Cells:
    """The stored values of frame `number`, from 1; whatever pydicom raises where it cannot decode."""
    syntax = dataset.file_meta.TransferSyntaxUID
    photometric = str(dataset.PhotometricInterpretation)
    if any(kind in dataset for kind in FLOATS):
        return Cells(values=_floats(dataset, number), photometric=photometric, lossy=False)
    if syntax == DEFLATED_FRAMES:
        frame = _frame(dataset, number)
        values = _native(dataset, zlib.decompress(frame, -15), 1)
    elif str(syntax) in NATIVE:
        values = _native(dataset, dataset.PixelData, number)
    else:
        values, photometric = _decoded(dataset, number)
    if photometric.startswith("YBR") and photometric not in {"YBR_RCT", "YBR_ICT"}:
        values, photometric = rgb(values, dataset.BitsStored), "RGB"
    return Cells(values=values, photometric=photometric, lossy=str(syntax) in LOSSY)


def rgb(ybr: Array, bits: int) -> Array:
    """PS3.3 C.7.6.3.1.2, its equations solved for red, green and blue; not rounded."""
    top, half = 2**bits - 1, 2 ** (bits - 1)
    matrix = np.array(
        [[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]], dtype=float
    )
    values = (ybr.astype(float) - np.array([0, half, half])) @ np.linalg.inv(matrix).T
    return np.clip(values, 0, top)


def stored(patterns: Array, dataset: Dataset) -> Array:
    """The bits from High Bit down that are stored, as signed or unsigned numbers (PS3.5 8.1.1)."""
    bits = int(dataset.BitsStored)
    low = int(dataset.HighBit) - bits + 1
    values = (patterns.astype(np.int64) >> low) & (2**bits - 1)
    if dataset.PixelRepresentation == 1:
        values -= (values >= 2 ** (bits - 1)) * 2**bits
    return values


def _floats(dataset: Dataset, number: int) -> Array:
    keyword = next(kind for kind in FLOATS if kind in dataset)
    value = dataset[keyword].value
    values = np.frombuffer(value, FLOATS[keyword]).reshape(-1, dataset.Rows, dataset.Columns)
    return values[number - 1]


def _native(dataset: Dataset, value: bytes, number: int) -> Array:
    rows, columns, samples = dataset.Rows, dataset.Columns, dataset.SamplesPerPixel
    size = rows * columns * samples
    if dataset.BitsAllocated == 1:
        bits = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")
        return bits[(number - 1) * size : number * size].reshape(rows, columns).astype(np.int64)
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    if big and dataset.BitsAllocated == 8 and dataset["PixelData"].VR == "OW":
        value = np.frombuffer(value, ">u2").astype("<u2").tobytes()
    width = int(dataset.BitsAllocated) // 8
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        return _unhalved(np.frombuffer(value, np.uint8), rows, columns, number)
    patterns = np.frombuffer(
        value, f"{'>' if big else '<'}u{width}", count=size, offset=(number - 1) * size * width
    )
    if samples == 1:
        shaped = patterns.reshape(rows, columns)
    elif dataset.PlanarConfiguration == 1:
        shaped = np.moveaxis(patterns.reshape(samples, rows, columns), 0, -1)
    else:
        shaped = patterns.reshape(rows, columns, samples)
    return stored(shaped, dataset)


def _unhalved(cells: Array, rows: int, columns: int, number: int) -> Array:
    """Y Y Cb Cr of each pair as Y Cb Cr of each of the two (PS3.3 C.7.6.3.1.2)."""
    size = rows * columns * 2
    pairs = cells[(number - 1) * size : number * size].reshape(-1, 4).astype(np.int64)
    both = np.stack([pairs[:, [0, 2, 3]], pairs[:, [1, 2, 3]]], axis=1)
    return both.reshape(rows, columns, 3)


def _decoded(dataset: Dataset, number: int) -> tuple[Array, str]:
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    photometric = str(dataset.PhotometricInterpretation)
    if syntax == RLELossless:
        return stored_colour(_run_lengths(_frame(dataset, number), dataset), dataset), photometric
    if syntax in LENT:
        frame = _frame(dataset, number)
        values = np.asarray(LENT[syntax](frame))
        # libjpeg gives RGB of what a stream calls YCbCr.
        turned = syntax == "1.2.840.10008.1.2.4.51" and dataset.SamplesPerPixel == 3
        return stored_colour(values, dataset), "RGB" if turned else photometric
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = pydicom.pixels.pixel_array(dataset, index=number - 1, raw=dataset.SamplesPerPixel == 1)
    # pydicom gives RGB of every kind of YBR unless asked for raw ones.
    return stored_colour(values, dataset), "RGB" if dataset.SamplesPerPixel == 3 else photometric


def _frame(dataset: Dataset, number: int) -> bytes:
    """The codestream of a frame, its fragments joined."""
    return list(generate_frames(dataset.PixelData, number_of_frames=count(dataset)))[number - 1]


def _run_lengths(frame: bytes, dataset: Dataset) -> Array:
    """The cells of a frame of run lengths: a segment for each byte of each sample (PS3.5 G.2)."""
    starts = np.frombuffer(frame, "<u4", count=16)[1:]
    ends = [*starts[1:], 0]
    shape, samples = (int(dataset.Rows), int(dataset.Columns)), int(dataset.SamplesPerPixel)
    segments = [
        np.frombuffer(imagecodecs.packbits_decode(frame[start : end or len(frame)]), np.uint8)
        for start, end in zip(starts, ends, strict=True)
        if start
    ]
    if dataset.BitsAllocated == 1:
        return np.unpackbits(segments[0], bitorder="little", count=shape[0] * shape[1]).reshape(shape)
    width = int(dataset.BitsAllocated) // 8
    planes = [segment[: shape[0] * shape[1]].reshape(shape).astype(np.int64) for segment in segments]
    cells = [
        sum(planes[sample * width + byte] << 8 * (width - 1 - byte) for byte in range(width))
        for sample in range(samples)
    ]
    return np.stack(cells, axis=-1) if samples > 1 else np.asarray(cells[0])


def served(data: bytes, dataset: Dataset) -> Cells:
    """What a native frame means: as stored where it was native, by pixel and RGB where it was not."""
    if any(kind in dataset for kind in FLOATS):
        keyword = next(kind for kind in FLOATS if kind in dataset)
        values = np.frombuffer(data, FLOATS[keyword]).reshape(dataset.Rows, dataset.Columns)
        return Cells(values=values, photometric="MONOCHROME2", lossy=False)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    like = Dataset()
    for keyword in IMAGE_PIXEL:
        setattr(like, keyword, dataset.get(keyword))
    like.file_meta = Dataset()
    like.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    photometric = str(dataset.PhotometricInterpretation)
    if syntax not in NATIVE and dataset.SamplesPerPixel == 3:
        like.PlanarConfiguration, like.PhotometricInterpretation = 0, "RGB"
        photometric = "RGB"
    values = _native(like, data, 1)
    if photometric.startswith("YBR"):
        values, photometric = rgb(values, dataset.BitsStored), "RGB"
    return Cells(values=values, photometric=photometric, lossy=syntax in LOSSY)


def stored_colour(values: Array, dataset: Dataset) -> Array:
    """Decoded values: of colour as they are, of grey the stored bits."""
    if dataset.SamplesPerPixel == 3 or dataset.BitsAllocated == 1:
        return values.astype(np.int64)
    return stored(values, dataset)
