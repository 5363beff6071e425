"""Every real image, rendered, against a calculation of its own from what pydicom reads."""

import asyncio
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

from dicomweb_box import settings
from dicomweb_box.accounts.access import ANONYMOUS
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box, open_box
from tests.builders import pieces
from tests.dicomweb.retrieving import client_of, path_of

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81",
         "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"}  # fmt: skip
OF_ONE_SERIES = 3
"""Instances taken of each folder of a series: the others are its neighbours."""


def files(shared: Path) -> Iterator[Path]:
    taken: dict[Path, int] = {}
    with (shared / "manifest.csv").open() as manifest:
        for row in csv.DictReader(manifest):
            path = shared / row["file"]
            if row["parse"] == "ok" and row["rows"]:
                taken[path.parent] = taken.get(path.parent, 0) + 1
                if "dcm_qa" not in row["file"] or taken[path.parent] <= OF_ONE_SERIES:
                    yield path
    yield from sorted(SHIPPED.glob("*.dcm"))


def expected(ds: Dataset) -> np.ndarray | None:
    """The first frame as levels, by PS3.3's formulas and numpy alone; None for what pydicom cannot read."""
    try:
        raw = pixel_array(ds, index=0, raw=ds.SamplesPerPixel == 1)
    except Exception:  # noqa: BLE001 - whatever pydicom says of broken files
        return None
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(raw, ds)
        return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    if ds.SamplesPerPixel == 3:
        return np.rint(raw.astype(float) * 255 / ((1 << ds.BitsStored) - 1))
    levels = grey(ds, raw)
    if ds.get("PixelPresentation") in ("COLOR", "MIXED"):
        return supplemented(ds, raw, np.rint(levels))
    return levels


def supplemented(ds: Dataset, raw: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The levels, and the colours of the values that the supplemental palette is for (PS3.3 C.7.6.19)."""
    _, start, bits = ds.RedPaletteColorLookupTableDescriptor
    channels = []
    for name in ("Red", "Green", "Blue"):
        table = np.frombuffer(ds[f"{name}PaletteColorLookupTableData"].value, "<u2") >> (bits - 8)
        coloured = table[np.clip(raw.astype(int) - start, 0, len(table) - 1)]
        channels.append(np.where(raw >= start, coloured, levels))
    return np.stack(channels, axis=-1)


def first(item: Dataset, *sequences: str) -> Dataset | None:
    for sequence in sequences:
        if not item.get(sequence):
            return None
        item = item[sequence][0]
    return item


def macro(ds: Dataset, sequence: str) -> Dataset | None:
    per_frame = first(ds, "PerFrameFunctionalGroupsSequence", sequence)
    return per_frame or first(ds, "SharedFunctionalGroupsSequence", sequence)


def grey(ds: Dataset, raw: np.ndarray) -> np.ndarray:
    transformation = macro(ds, "PixelValueTransformationSequence")
    if transformation is not None:
        values = raw * float(transformation.RescaleSlope) + float(transformation.RescaleIntercept)
    elif "DoseGridScaling" in ds:
        values = raw * float(ds.DoseGridScaling)
    else:
        values = apply_modality_lut(raw, ds).astype(float)
    padding = np.zeros(raw.shape, bool)
    if "PixelPaddingValue" in ds and ds.SamplesPerPixel == 1:
        ends = sorted((ds.PixelPaddingValue, ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue)))
        padding = (raw >= ends[0]) & (raw <= ends[1])
    voi = macro(ds, "FrameVOILUTSequence") or ds
    center, width = voi.get("WindowCenter"), voi.get("WindowWidth")
    if center is not None and width is not None and center != "" and width != "":
        c, w = (float(np.atleast_1d(value)[0]) for value in (center, width))
        function = voi.get("VOILUTFunction", "LINEAR")
        if function == "LINEAR" and w >= 1:
            c, w = c - 0.5, w - 1
        levels = ((values - c) / w + 0.5) * 255 if w > 0 else (values > c) * 255.0
    else:
        low, high = reach(ds, values, padding)
        levels = (values - low) / (high - low) * 255 if high > low else np.zeros(raw.shape)
    levels = np.clip(levels, 0, 255)
    shape = ds.get("PresentationLUTShape", "")
    if shape == "INVERSE" or (not shape and ds.PhotometricInterpretation == "MONOCHROME1"):
        levels = 255 - levels
    return np.where(padding, 0, levels)


def reach(ds: Dataset, values: np.ndarray, padding: np.ndarray) -> tuple[float, float]:
    """What is black and what is white of a frame that comes without a window."""
    if ds.get("SegmentationType") == "FRACTIONAL":
        return 0.0, float(ds.MaximumFractionalValue)
    if "PixelData" in ds and ds.BitsStored <= 8 and not ds.PixelRepresentation:
        full = apply_modality_lut(np.array([0, (1 << ds.BitsStored) - 1]), ds)
        return float(full[0]), float(full[1])
    inside = np.sort(values[~padding & np.isfinite(values)])
    if not inside.size:
        return 0.0, 0.0
    low, high = (inside[int(np.ceil(share * inside.size)) - 1] for share in (0.005, 0.995))
    return (float(inside[0]), float(inside[-1])) if low == high else (float(low), float(high))


def overlaid(ds: Dataset, shape: tuple[int, int]) -> np.ndarray:
    """Which pixels an overlay covers."""
    covered = np.zeros(shape, bool)
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x3000) in ds:
            plane = np.asarray(ds.overlay_array(group)).reshape(-1, *ds.overlay_array(group).shape[-2:])[0]
            top, left = (int(value) - 1 for value in ds[group, 0x0050].value)
            part = plane[: shape[0] - top, : shape[1] - left]
            covered[top : top + part.shape[0], left : left + part.shape[1]] |= part.astype(bool)
    return covered


async def difference(box: Box, client: httpx.AsyncClient, path: Path) -> str | None:
    """What is wrong with the rendering of a file; None where nothing is."""
    ds = pydicom.dcmread(path, force=True)
    outcome = await store(box, await receive(box, pieces(path.read_bytes())), source="test", actor=ANONYMOUS)
    if not isinstance(outcome, Stored) or "Rows" not in ds or ds.file_meta.TransferSyntaxUID.is_private:
        return None
    wanted = expected(ds)
    response = await client.get(path_of(outcome, "frames", "1", "rendered"), headers={"accept": "image/png"})
    if response.status_code != 200:
        return None if wanted is None else f"{response.status_code} {response.text}"
    if wanted is None:
        return None
    got = np.asarray(Image.open(io.BytesIO(response.content))).astype(float)
    if got.shape != wanted.shape:
        return f"{got.shape} instead of {wanted.shape}"
    # A level that lies halfway between two may be rounded either way; lossy codecs differ by a little more.
    most = 0.5 + 1e-6 if ds.file_meta.TransferSyntaxUID not in LOSSY else 3.0
    wrong = (np.abs(got - wanted) > most) & ~overlaid(ds, got.shape[:2]).reshape(
        got.shape[:2] + (1,) * (got.ndim - 2)
    )
    if wrong.any():
        return f"{int(wrong.sum())} of {wrong.size} differ, by up to {np.abs(got - wanted)[wrong].max():.2f}"
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.dicom("PS3.4 N.2")
async def test_each_real_image_has_the_levels_of_an_independent_calculation(
    shared_data: Path, tmp_path: Path
) -> None:
    wrong = {}
    given = {"data": str(tmp_path / "box"), "duplicates": "replace"}
    async with open_box(settings.load(given, {})) as box, client_of(box) as client:
        for path in files(shared_data):
            found = await difference(box, client, path)
            if found is not None:
                wrong[path.name] = found
            await asyncio.sleep(0)
    assert wrong == {}
