"""Images of every photometric interpretation, transfer syntax, planar configuration and depth, made by rule.

Each comes with a twin: the same stored values native in Explicit VR Little Endian, High Bit at the end, by
pixel. Whatever a codec does, the twin is what should be seen.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from conformance.objects import encode, plain
from conformance.pixel_files import Picture
from conformance.rendering_cells import NATIVE, Array

ROWS, COLUMNS, FRAMES = 21, 38, 2  # an odd number of bytes and of bits: frames begin anywhere


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the cells of an image are."""

    photometric: str
    allocated: int = 8
    stored: int = 8
    high: int = 7
    signed: bool = False
    planar: int = 0
    junk: bool = False
    entries: int = 16
    segmented: bool = False

    @property
    def samples(self) -> int:
        return 3 if self.photometric[:3] in {"RGB", "YBR"} else 1

    @property
    def name(self) -> str:
        sign, junk = "signed" if self.signed else "unsigned", " junk" if self.junk else ""
        palette = f" {'segmented' if self.segmented else 'plain'} {self.entries}"
        depth = f"{self.allocated}/{self.stored}/{self.high} {sign}{junk}"
        return f"{self.photometric} {depth} planar {self.planar}{palette * self.indexed}"

    @property
    def indexed(self) -> bool:
        return self.photometric == "PALETTE COLOR"


@dataclass(frozen=True, kw_only=True)
class Made(Picture):
    """An image of the matrix, and its twin."""

    twin: Dataset
    syntax: str

    @property
    def reference(self) -> Dataset:
        """What says how its frames should be: its twin, or where that was not kept its own codestream."""
        return self.dataset if self.syntax in LOSSY_KINDS else self.twin


DEPTHS = (
    Kind(photometric="", allocated=1, stored=1, high=0),
    Kind(photometric=""),
    Kind(photometric="", signed=True),
    Kind(photometric="", stored=6, high=5),
    Kind(photometric="", allocated=16, stored=10, high=9),
    Kind(photometric="", allocated=16, stored=12, high=11),
    Kind(photometric="", allocated=16, stored=12, high=11, signed=True),
    Kind(photometric="", allocated=16, stored=16, high=15),
    Kind(photometric="", allocated=16, stored=16, high=15, signed=True),
)
# What only native cells and run lengths of bytes can hold: bits of others beside those stored, four bytes.
ODD_DEPTHS = (
    Kind(photometric="", allocated=16, stored=12, high=15),
    Kind(photometric="", allocated=16, stored=12, high=13, signed=True, junk=True),
    Kind(photometric="", allocated=16, stored=12, high=11, junk=True),
    Kind(photometric="", allocated=32, stored=32, high=31),
    Kind(photometric="", allocated=32, stored=32, high=31, signed=True),
)
WIDE = {"allocated": 16, "stored": 16, "high": 15}
COLOURS = (
    Kind(photometric="RGB"),
    Kind(photometric="RGB", planar=1),
    Kind(photometric="RGB", **WIDE),
    Kind(photometric="RGB", planar=1, **WIDE),
    Kind(photometric="YBR_FULL"),
    Kind(photometric="YBR_FULL", planar=1),
    Kind(photometric="YBR_FULL_422"),
)
PALETTES = (
    Kind(photometric="PALETTE COLOR"),
    Kind(photometric="PALETTE COLOR", entries=8),
    Kind(photometric="PALETTE COLOR", segmented=True),
    Kind(photometric="PALETTE COLOR", **WIDE),
)
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_XL, JPEG_XL_LOSSY = "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.112"
Encoder = Callable[[Array, Kind], bytes]


def grey(depths: tuple[Kind, ...]) -> tuple[Kind, ...]:
    return tuple(replace(one, photometric=f"MONOCHROME{n}") for one in depths for n in (1, 2))


def _run_lengths(patterns: Array, kind: Kind) -> bytes:
    """Each byte of each sample as a segment, the most significant first, rows apart (PS3.5 G.2, G.3)."""
    patterns = _cells(patterns, kind)
    if kind.allocated == 1:
        planes = [np.packbits(patterns.astype(bool), bitorder="little").reshape(1, -1)]
    else:
        width = kind.allocated // 8
        samples = np.atleast_3d(patterns).astype(np.int64)
        planes = [
            (samples[..., sample] >> 8 * (width - 1 - byte) & 255).astype(np.uint8)
            for sample in range(samples.shape[2])
            for byte in range(width)
        ]
    segments = [b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane) for plane in planes]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    starts = [64 + sum(map(len, segments[:n])) for n in range(len(segments))]
    header = np.array([len(segments), *starts], "<u4").tobytes()
    return header.ljust(64, b"\0") + b"".join(segments)


def _jpeg_lossless(predictor: int) -> Encoder:
    def encoded(patterns: Array, kind: Kind) -> bytes:
        bits = max(kind.stored, 2)
        space = {"colorspace": "RGB", "outcolorspace": "RGB"} if kind.samples == 3 else {}
        cells = patterns.astype(np.uint8 if bits <= 8 else np.uint16)
        more = {"lossless": True, "predictor": predictor, "bitspersample": bits}
        return bytes(imagecodecs.jpeg_encode(cells, **more, **space))

    return encoded


def _jpeg_ls(patterns: Array, kind: Kind) -> bytes:
    return bytes(imagecodecs.jpegls_encode(_unsigned(patterns, kind)))


def _jpeg_2000(patterns: Array, kind: Kind) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            _signed(patterns, kind),
            codecformat="j2k",
            reversible=True,
            mct=kind.photometric == "YBR_RCT",
            bitspersample=kind.stored,
        )
    )


def _htj2k(patterns: Array, kind: Kind) -> bytes:
    return bytes(
        imagecodecs.htj2k_encode(_signed(patterns, kind), reversible=True, rgb=kind.photometric == "YBR_RCT")
    )


def _jpeg_xl(patterns: Array, kind: Kind) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(_unsigned(patterns, kind), lossless=True, usecontainer=False))


def _unsigned(patterns: Array, kind: Kind) -> Array:
    return np.ascontiguousarray(patterns.astype(np.uint8 if kind.allocated == 8 else np.uint16))


def _signed(patterns: Array, kind: Kind) -> Array:
    if not kind.signed:
        return _unsigned(patterns, kind)
    values = patterns.astype(np.int64)
    values -= (values >= 2 ** (kind.stored - 1)) * 2**kind.stored
    return np.ascontiguousarray(values.astype(np.int8 if kind.allocated == 8 else np.int16))


def _jpeg(patterns: Array, kind: Kind) -> bytes:
    """Baseline of eight bits, extended of twelve; chrominance halved where the interpretation says so."""
    more: dict[str, Any] = {"bitspersample": kind.stored}
    if kind.photometric == "RGB":
        more |= {"colorspace": "RGB", "outcolorspace": "RGB"}
    elif kind.samples == 3:
        halved = kind.photometric == "YBR_FULL_422"
        more |= {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "422" if halved else "444"}
    return bytes(imagecodecs.jpeg_encode(_unsigned(_smooth(patterns, kind), kind), 92, **more))


def _near_lossless(patterns: Array, kind: Kind) -> bytes:
    return bytes(imagecodecs.jpegls_encode(_unsigned(_smooth(patterns, kind), kind), 2))


def _jpeg_2000_lossy(patterns: Array, kind: Kind) -> bytes:
    cells = _unsigned(_smooth(patterns, kind), kind)
    mct = kind.photometric == "YBR_ICT"
    more: dict[str, Any] = {
        "codecformat": "j2k",
        "reversible": False,
        "mct": mct,
        "bitspersample": kind.stored,
    }
    return bytes(imagecodecs.jpeg2k_encode(cells, 45, **more))


def _jpeg_xl_lossy(patterns: Array, kind: Kind) -> bytes:
    cells = _unsigned(_smooth(patterns, kind), kind)
    return bytes(imagecodecs.jpegxl_encode(cells, distance=1.0, lossless=False, usecontainer=False))


def _smooth(patterns: Array, kind: Kind) -> Array:
    """Something that a lossy codec is made for, in place of noise."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    top = 2**kind.stored - 1
    planes = [(np.sin(x / (5 + n)) * np.cos(y / (4 + n)) + 1) / 2 * top for n in range(kind.samples)]
    return np.stack(planes, axis=-1).reshape(patterns.shape).astype(np.int64)


_MANY = tuple(one for one in grey(DEPTHS) if one.allocated > 1)
_RGB, _WIDE_RGB, _YBR = COLOURS[0], COLOURS[2], COLOURS[4]
_RCT = Kind(photometric="YBR_RCT")
_NATIVE = (*grey(DEPTHS), *grey(ODD_DEPTHS), *COLOURS, *PALETTES)
_UNSIGNED = tuple(one for one in _MANY if not one.signed)

NATIVE_SYNTAXES = {
    "1.2.840.10008.1.2.1": "explicit",
    "1.2.840.10008.1.2": "implicit",
    "1.2.840.10008.1.2.2": "big endian",
    "1.2.840.10008.1.2.1.99": "deflated",
}
ENCODED: dict[str, tuple[str, Encoder, tuple[Kind, ...]]] = {
    "1.2.840.10008.1.2.5": ("RLE", _run_lengths, (*grey(DEPTHS), *grey(ODD_DEPTHS), *COLOURS[:6], *PALETTES)),
    "1.2.840.10008.1.2.4.70": ("JPEG lossless SV1", _jpeg_lossless(1), (*_MANY, _RGB, *PALETTES)),
    "1.2.840.10008.1.2.4.57": ("JPEG lossless", _jpeg_lossless(5), (*_MANY, _RGB)),
    "1.2.840.10008.1.2.4.80": ("JPEG-LS", _jpeg_ls, (*_MANY, _RGB, _WIDE_RGB, _YBR, *PALETTES)),
    "1.2.840.10008.1.2.4.90": ("JPEG 2000", _jpeg_2000, (*_MANY, _RGB, _WIDE_RGB, _RCT, *PALETTES)),
    HTJ2K: ("HTJ2K", _htj2k, (*_MANY, _RGB, _WIDE_RGB, _RCT, *PALETTES)),
    JPEG_XL: ("JPEG XL", _jpeg_xl, (*_UNSIGNED, _RGB, _WIDE_RGB)),
}
_GREY_8, _GREY_12 = (Kind(photometric="MONOCHROME2"), replace(DEPTHS[5], photometric="MONOCHROME2"))
LOSSY_KINDS: dict[str, tuple[str, Encoder, tuple[Kind, ...]]] = {
    "1.2.840.10008.1.2.4.50": ("JPEG baseline", _jpeg, (_GREY_8, _RGB, _YBR, COLOURS[6])),
    "1.2.840.10008.1.2.4.51": ("JPEG extended", _jpeg, (_GREY_12,)),
    "1.2.840.10008.1.2.4.81": ("JPEG-LS near-lossless", _near_lossless, (_GREY_8, _GREY_12, _RGB)),
    "1.2.840.10008.1.2.4.91": (
        "JPEG 2000 lossy",
        _jpeg_2000_lossy,
        (_GREY_8, _GREY_12, _RGB, Kind(photometric="YBR_ICT")),
    ),
    JPEG_XL_LOSSY: ("JPEG XL lossy", _jpeg_xl_lossy, (_GREY_8, _RGB)),
}
ENCODED |= LOSSY_KINDS
SYNTAXES = {**NATIVE_SYNTAXES, **{uid: name for uid, (name, _, _) in ENCODED.items()}}


def matrix() -> Iterator[Made]:
    """Every image of the matrix."""
    for syntax in NATIVE_SYNTAXES:
        for kind in _NATIVE:
            yield _made(kind, syntax, lambda frames, kind, syntax=syntax: _native(frames, kind, syntax))
    for syntax, (_, encoder, kinds) in ENCODED.items():
        for kind in kinds:
            yield _made(
                kind,
                syntax,
                lambda frames, kind, encoder=encoder: encapsulate([encoder(f, kind) for f in frames]),
            )


def values_of(kind: Kind) -> Array:
    """The stored values of each frame: a ramp over all that can be stored, and noise."""
    random = np.random.default_rng(sum(kind.name.encode()))
    shape = (FRAMES, ROWS, COLUMNS, kind.samples) if kind.samples > 1 else (FRAMES, ROWS, COLUMNS)
    size = math.prod(shape)
    values = np.concatenate(
        [
            np.linspace(0, 2**kind.stored - 1, size // 2).astype(np.int64),
            random.integers(0, 2**kind.stored, size - size // 2),
        ]
    ).reshape(shape)
    if kind.photometric == "YBR_FULL_422":
        values[:, :, 1::2, 1:] = values[:, :, ::2, 1:]
    return values - (values >= 2 ** (kind.stored - 1)) * 2**kind.stored if kind.signed else values


def _made(kind: Kind, syntax: str, encoder: Callable[[Array, Kind], bytes]) -> Made:
    name = f"{SYNTAXES[syntax]}: {kind.name}"
    values = values_of(kind)
    patterns = values & (2**kind.stored - 1)
    dataset = _described(plain(name, study="MATRIX", series=syntax, modality="OT").dataset, kind)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if syntax not in NATIVE and kind.samples == 3:
        dataset.PlanarConfiguration = kind.planar if syntax == "1.2.840.10008.1.2.5" else 0
    dataset.PixelData = encoder(patterns, kind)
    dataset["PixelData"].VR = "OB" if syntax not in NATIVE or kind.allocated <= 8 else "OW"
    dataset["PixelData"].is_undefined_length = syntax not in NATIVE
    twin = _twin(dataset, kind, patterns)
    if syntax == ExplicitVRBigEndian and kind.indexed:
        _swap_tables(dataset)
    return Made(name=name, data=_encoded(dataset, syntax), dataset=dataset, twin=twin, syntax=syntax)


def _encoded(dataset: Dataset, syntax: str) -> bytes:
    """The file; pydicom writes no JPEG XL, so that is written under another name of the same length."""
    if syntax not in {JPEG_XL, JPEG_XL_LOSSY}:
        return encode(dataset)
    dataset.file_meta.TransferSyntaxUID = UID(HTJ2K)
    data = encode(dataset).replace(HTJ2K.encode(), syntax.encode())
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return data


def _described(dataset: Dataset, kind: Kind) -> Dataset:
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = ROWS, COLUMNS, FRAMES
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = kind.samples, kind.photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = kind.allocated, kind.stored, kind.high
    dataset.PixelRepresentation = int(kind.signed)
    if kind.samples > 1:
        dataset.PlanarConfiguration = kind.planar
    elif kind.indexed:
        _palette(dataset, kind)
    elif kind.allocated > 1:
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "0.75", "-100", "US"
        middle = 0 if kind.signed else 2 ** (kind.stored - 1)
        dataset.WindowCenter = str(middle * 0.75 - 100)
        dataset.WindowWidth = str(2**kind.stored * 0.75 * 0.8)
    return dataset


def _palette(dataset: Dataset, kind: Kind) -> None:
    count = 200 if kind.stored == 8 else 1000
    for n, colour in enumerate(("Red", "Green", "Blue")):
        entries = (np.arange(count) * (n + 3) * 331 + n * 7000) % (2**kind.entries)
        # The first value mapped is 10; below and above are the first and last entries.
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [count, 10, kind.entries])
        if kind.segmented:
            # Discrete 4, then a line, then a line (PS3.3 C.7.9.2).
            words = [0, 4, *entries[:4].tolist(), 1, count - 104, 60000 - n * 5000, 1, 100, n * 9000]
            data = np.array(words, "<u2").tobytes()
            setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", data)
        else:
            data = entries.astype("<u2" if kind.entries == 16 else "u1").tobytes()
            setattr(dataset, f"{colour}PaletteColorLookupTableData", data)


def _swap_tables(dataset: Dataset) -> None:
    """Tables are words, which pydicom writes as they are given."""
    for element in dataset:
        if element.VR == "OW" and element.tag.group == 0x0028:
            element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()


def _native(patterns: Array, kind: Kind, syntax: str) -> bytes:
    if kind.allocated == 1:
        return _even(np.packbits(patterns.reshape(-1).astype(bool), bitorder="little").tobytes())
    if kind.photometric == "YBR_FULL_422":
        pairs = patterns.reshape(-1, 2, 3)
        halved = np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], axis=1)
        return _even(halved.astype(np.uint8).tobytes())
    cells = _cells(patterns, kind)
    if kind.planar:
        cells = np.moveaxis(cells, -1, 1)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    return _even(cells.astype(f"{order}u{kind.allocated // 8}").tobytes())


def _cells(patterns: Array, kind: Kind) -> Array:
    """The stored bits where they belong, among others that mean nothing or an overlay."""
    cells = patterns << (kind.high + 1 - kind.stored)
    if not kind.junk:
        return cells
    mask = (2**kind.stored - 1) << (kind.high + 1 - kind.stored)
    noise = np.random.default_rng(7).integers(0, 2**kind.allocated, cells.shape)
    return cells | (noise & ~mask & (2**kind.allocated - 1))


def _even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


def _twin(dataset: Dataset, kind: Kind, patterns: Array) -> Dataset:
    twin = copy.deepcopy(dataset)
    twin.file_meta = Dataset()
    twin.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    twin.HighBit = kind.stored - 1
    photometric = {"YBR_RCT": "RGB"}.get(kind.photometric, kind.photometric)
    like: dict[str, Any] = {"high": kind.stored - 1, "planar": 0, "junk": False, "photometric": photometric}
    twin.PhotometricInterpretation = photometric
    if kind.samples == 3:
        twin.PlanarConfiguration = 0
    twin.PixelData = _native(patterns, replace(kind, **like), ExplicitVRLittleEndian)
    return twin
