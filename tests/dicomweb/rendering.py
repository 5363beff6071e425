"""What the tests of rendering share: objects with pixels of their own, and pictures as arrays."""

import io
from typing import Any

import httpx
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomweb_box.archive.outcomes import Stored
from tests.builders import make_dataset
from tests.dicomweb.retrieving import path_of

PNG = {"accept": "image/png"}
RAMP = np.arange(64 * 64, dtype="<u2").reshape(64, 64)
"""Values 0 to 4095."""


def image(cells: np.ndarray = RAMP, **attributes: Any) -> Dataset:
    """An instance of grey cells (rows, columns) or frames of them; keyword arguments are attributes."""
    frames = cells.reshape(-1, *cells.shape[-2:])
    bits = cells.dtype.itemsize * 8
    given = {
        "Rows": frames.shape[1],
        "Columns": frames.shape[2],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(cells.dtype.kind == "i"),
        "PixelData": cells.tobytes(),
        **({"NumberOfFrames": len(frames)} if cells.ndim == 3 else {}),
    }
    ds = make_dataset(**(given | attributes))
    ds["PixelData"].VR = "OW"
    return ds


def colours(cells: np.ndarray, **attributes: Any) -> Dataset:
    """An instance of RGB cells (rows, columns, 3)."""
    return make_dataset(
        Rows=cells.shape[0],
        Columns=cells.shape[1],
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=cells.astype(np.uint8).tobytes(),
        **attributes,
    )


def item(**attributes: Any) -> Dataset:
    """An item of a sequence; lists of items become sequences."""
    ds = Dataset()
    for keyword, value in attributes.items():
        nested = isinstance(value, list) and value and isinstance(value[0], Dataset)
        setattr(ds, keyword, Sequence(value) if nested else value)
    return ds


def lut(first: int, bits: int, entries: np.ndarray) -> Dataset:
    """An item that holds a look-up table."""
    made = Dataset()
    made.add_new(0x00283002, "US", [len(entries) % 65536, first, bits])
    made.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return made


def overlay(
    ds: Dataset,
    group: int,
    mask: np.ndarray,
    origin: tuple[int, int] = (1, 1),
    frames: int = 1,
    first: int = 1,
) -> None:
    """Give an instance an overlay plane, or several that begin with frame `first`."""
    ds.add_new((group, 0x0010), "US", mask.shape[-2])
    ds.add_new((group, 0x0011), "US", mask.shape[-1])
    ds.add_new((group, 0x0040), "CS", "G")
    ds.add_new((group, 0x0050), "SS", list(origin))
    ds.add_new((group, 0x0100), "US", 1)
    ds.add_new((group, 0x0102), "US", 0)
    if frames > 1:
        ds.add_new((group, 0x0015), "IS", frames)
        ds.add_new((group, 0x0051), "US", first)
    ds.add_new((group, 0x3000), "OW", np.packbits(mask.reshape(-1), bitorder="little").tobytes())


def exact(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Levels of a LINEAR_EXACT window from `low` to `high`, not rounded."""
    clipped: np.ndarray = np.clip((values - low) / (high - low), 0, 1) * 255
    return clipped


def are(got: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether each level is the nearest to what is wanted; halfway between two it may be either."""
    return got.shape == wanted.shape and bool(np.abs(got - wanted).max() <= 0.5 + 1e-9)


async def levels(client: httpx.AsyncClient, stored: Stored, **parameters: str) -> np.ndarray:
    """The instance as PNG."""
    response = await client.get(path_of(stored, "rendered"), params=parameters, headers=PNG)
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))
