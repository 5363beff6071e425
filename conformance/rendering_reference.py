"""Frames as they should be seen, calculated from the standard with numpy and pydicom, apart from the server.

The levels are not rounded: a picture is right where each of its levels is the nearest whole one. The grey
pipeline is that of PS3.4 N.2; its stages are those of PS3.3 C.11.1, C.11.2 and C.11.6.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from conformance.rendering_cells import Array, Cells, cells_of

# Levels that a picture may be off: to the nearest whole one; of look-up tables and colours, which may be cut
# to eight bits before or after; of lossy colour, whose decoders differ in how they spread chrominance.
PRIMARIES = ("Red", "Green", "Blue")
NEAREST, TABLE, LOSSY_COLOUR = 0.5001, 1.0001, 3.0


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window and the name of its function (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The levels of a picture, and how far from each one may be; None where no rule says them."""

    levels: Array | None
    within: float
    values: Array
    padding: Array
    inverse: bool = False


def expected(dataset: Dataset, number: int, window: Window | None = None) -> Expected:
    """Frame `number`, from 1, through its own transformations, or `window` in place of its VOI."""
    cells = cells_of(dataset, number)
    if cells.photometric == "PALETTE COLOR":
        wanted = _palette(dataset, cells)
    elif cells.values.ndim == 3:
        wanted = _colour(dataset, cells)
    else:
        wanted = _grey(dataset, cells, number, window)
        if "RedPaletteColorLookupTableDescriptor" in dataset and wanted.levels is not None:
            wanted = _supplemented(dataset, cells, wanted)
    return _overlaid(dataset, wanted, number)


def linear(x: Array, window: Window) -> Array:
    """Place in the window from 0 to 1: PS3.3 C.11.2.1.2.1, C.11.2.1.3.2 and C.11.2.1.3.1."""
    c, w = window.center, window.width
    if window.function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (x - c) / w, -700, 700)))
    if window.function == "LINEAR_EXACT":
        inner = (x - c) / w + 0.5
        return np.where(x <= c - w / 2, 0.0, np.where(x > c + w / 2, 1.0, inner))
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = (x - (c - 0.5)) / (w - 1) + 0.5
    return np.where(x <= c - 0.5 - (w - 1) / 2, 0.0, np.where(x > c - 0.5 + (w - 1) / 2, 1.0, inner))


def modality(values: Array, dataset: Dataset, number: int) -> Array:
    """PS3.3 C.11.1; of frames with functional groups C.7.6.16.2.9."""
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(values, dataset.ModalityLUTSequence[0], dataset)[0]
    for item in (*groups(dataset, number, "PixelValueTransformationSequence"), dataset):
        if item.get("RescaleSlope") is not None and item.get("RescaleIntercept") is not None:
            return values * float(item.RescaleSlope) + float(item.RescaleIntercept)
    if dataset.get(
        "DoseGridScaling"
    ):  # the dose in its unit (PS3.3 C.8.8.3.4): no other transformation has one
        return values * float(dataset.DoseGridScaling)
    return values.astype(float)


def voi(dataset: Dataset, number: int) -> Window | Dataset | None:
    """The first window, else the item of the first VOI LUT, else None."""
    if most := _segments(dataset):
        return Window(center=most / 2, width=most, function="LINEAR_EXACT")
    places = (*groups(dataset, number, "FrameVOILUTSequence"), dataset)
    for item in places:
        centers, widths = _numbers(item.get("WindowCenter")), _numbers(item.get("WindowWidth"))
        if centers and widths:
            function = str(item.get("VOILUTFunction") or "LINEAR")
            return Window(center=centers[0], width=widths[0], function=function)
    for item in places:
        if item.get("VOILUTSequence"):
            return item.VOILUTSequence[0]
    return None


def _segments(dataset: Dataset) -> int:
    """The number that white stands for in a segmentation that holds more than single bits."""
    kind = dataset.get("SegmentationType")
    if kind == "LABELMAP":  # our rule: black is no segment, white the one of the greatest number
        return max(int(one.SegmentNumber) for one in dataset.SegmentSequence)
    return int(dataset.MaximumFractionalValue) if kind == "FRACTIONAL" else 0


def groups(dataset: Dataset, number: int, macro: str) -> Iterator[Dataset]:
    """The items of a functional group for a frame: its own, then the shared (PS3.3 C.7.6.16.1.1)."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for place in (*frames[number - 1 : number], *shared[:1]):
        yield from (place.get(macro) or [])[:1]


def _numbers(value: Any) -> list[float]:
    if value is None or value == "":
        return []
    return [float(value)] if not hasattr(value, "__iter__") else [float(one) for one in value]


def _looked_up(values: Array, item: Dataset, dataset: Dataset) -> tuple[Array, int]:
    """Each value's entry, and the entries' bits (PS3.3 C.11.1.1, C.11.2.1.1)."""
    entries, first, bits = (int(n) for n in item.LUTDescriptor)
    # The first value mapped is signed where the input is.
    first -= 2**16 if first >= 2**15 and values.min() < 0 else 0
    data = item.LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, (entries or 2**16) - 1)
    return table[places].astype(float), bits


def _grey(dataset: Dataset, cells: Cells, number: int, window: Window | None) -> Expected:
    real = modality(cells.values, dataset, number)
    padding = _padding(dataset, cells.values)
    inverse = dataset.get("PresentationLUTShape") == "INVERSE" or cells.photometric == "MONOCHROME1"
    rule = window or voi(dataset, number)
    if rule is None:
        return Expected(levels=None, within=0, values=real, padding=padding, inverse=inverse)
    within = NEAREST
    if isinstance(rule, Window):
        place = linear(real, rule)
    else:
        entries, bits = _looked_up(real, rule, dataset)
        place, within = entries / (2**bits - 1), TABLE
    place = 1 - place if inverse else place
    levels = np.where(padding, 0.0, place * 255)
    return Expected(levels=levels, within=within, values=real, padding=padding, inverse=inverse)


def _padding(dataset: Dataset, values: Array) -> Array:
    """Where Pixel Padding Value, or its range, is stored (PS3.3 C.7.5.1.1.2)."""
    low = dataset.get("PixelPaddingValue")
    if low is None:
        return np.zeros(values.shape, bool)
    high = dataset.get("PixelPaddingRangeLimit", low)
    return (values >= min(low, high)) & (values <= max(low, high))


def _palette(dataset: Dataset, cells: Cells) -> Expected:
    """PS3.3 C.7.9; pydicom is right about palettes, segmented ones too."""
    dtype = np.uint16 if dataset.BitsAllocated > 8 else np.uint8
    coloured = apply_color_lut(cells.values.astype(dtype), dataset)[..., :3]
    top = 255 if coloured.dtype == np.uint8 else 65535
    levels = coloured.astype(float) * 255 / top
    return Expected(
        levels=levels, within=TABLE, values=cells.values, padding=np.zeros(levels.shape[:2], bool)
    )


def _colour(dataset: Dataset, cells: Cells) -> Expected:
    top = 2 ** int(dataset.BitsStored) - 1
    levels = cells.values.astype(float) * 255 / top
    within = LOSSY_COLOUR if cells.lossy else TABLE
    return Expected(
        levels=levels, within=within, values=cells.values, padding=np.zeros(levels.shape[:2], bool)
    )


def _supplemented(dataset: Dataset, cells: Cells, grey: Expected) -> Expected:
    """Colours from the first stored value mapped on, the grey pipeline below it (PS3.3 C.7.6.19)."""
    assert grey.levels is not None
    first = int(dataset.RedPaletteColorLookupTableDescriptor[1])
    tables = [np.frombuffer(dataset[f"{name}PaletteColorLookupTableData"].value, "<u2") for name in PRIMARIES]
    places = np.clip(cells.values - first, 0, len(tables[0]) - 1)
    coloured = np.stack([table[places] for table in tables], axis=-1).astype(float) * 255 / 65535
    there = (cells.values >= first)[..., np.newaxis]
    return replace(grey, levels=np.where(there, coloured, grey.levels[..., np.newaxis]), within=TABLE)


def _overlaid(dataset: Dataset, wanted: Expected, number: int) -> Expected:
    """Overlay planes in white (PS3.3 C.9.2)."""
    if wanted.levels is None:
        return wanted
    levels = wanted.levels.copy()
    for group in range(0x6000, 0x6020, 2):
        if (plane := overlay(dataset, group, number)) is not None:
            levels[plane] = 255
    return replace(wanted, levels=levels)


def overlay(dataset: Dataset, group: int, number: int) -> Array | None:
    """Where the plane of `group` covers frame `number`; its origin counts from 1."""
    if (group, 0x3000) not in dataset:
        return None
    rows, columns = int(dataset[group, 0x0010].value), int(dataset[group, 0x0011].value)
    origin = dataset[group, 0x0051].value if (group, 0x0051) in dataset else 1
    start = number - int(origin)
    bits = np.unpackbits(np.frombuffer(dataset[group, 0x3000].value, np.uint8), bitorder="little")
    size = rows * columns
    here = bits[start * size : (start + 1) * size].reshape(rows, columns).astype(bool)
    top, left = (int(n) - 1 for n in dataset[group, 0x0050].value)
    covered = np.zeros((dataset.Rows, dataset.Columns), bool)
    for y, x in zip(*np.nonzero(here), strict=True):
        if 0 <= y + top < dataset.Rows and 0 <= x + left < dataset.Columns:
            covered[y + top, x + left] = True
    return covered
