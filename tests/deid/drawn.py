"""Secondary captures with a name drawn into their pixels, and rules that mean them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

from dicomweb_box.deid.pixel_rules import PixelRules, read_rules
from dicomweb_box.deid.policy import Policy
from tests.deid.planted import deid, instance, read, written

ROWS, COLUMNS, FRAMES = 40, 70, 3
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
BOX = (slice(2, 14), slice(3, 60))
"""Where the name stands."""
RULES = """
[[rule]]
name = "north"
manufacturer = "Acme"
rows = 40
columns = 70
blank = [{ left = 3, top = 2, width = 57, height = 12 }]
"""


def rules(folder: Path, text: str) -> PixelRules:
    """The rules of a file with this text."""
    path = folder / "rules.toml"
    path.write_text(text)
    return read_rules([path])


def drawn(dtype: str = "u1", samples: int = 1, most: int = 255, frames: int = FRAMES) -> Any:
    """Frames of noise with a name written into them, another one each; colour by pixel."""
    noise = np.random.default_rng(7).integers(1, most, (frames, ROWS, COLUMNS, samples), dtype="u4")
    for number in range(frames):
        picture = Picture.new("L", (COLUMNS, ROWS))
        ImageDraw.Draw(picture).text((5, 3), f"DOE JANE{number}", fill=255)
        noise[number][np.asarray(picture) > 100] = most
    cells = noise.astype(dtype)
    assert (cells[:, *BOX] == most).any()
    return cells if samples > 1 else cells[..., 0]


def capture(cells: Any, **more: object) -> Dataset:
    """A secondary capture with these frames."""
    samples = cells.shape[3] if cells.ndim == 4 else 1
    bits = 8 * cells.itemsize
    ds = instance(
        SOPClassUID=SECONDARY_CAPTURE, Manufacturer="ACME ", ImageType=["ORIGINAL", "PRIMARY"],
        Rows=ROWS, Columns=COLUMNS, NumberOfFrames=len(cells), SamplesPerPixel=samples,
        BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1,
        PixelRepresentation=int(cells.dtype.kind == "i"),
        PhotometricInterpretation="RGB" if samples == 3 else "MONOCHROME2",
        PixelData=cells.tobytes() + b"\0" * (cells.nbytes % 2),
    )  # fmt: skip
    if samples == 3:
        ds.PlanarConfiguration = 0
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    return ds


def compressed(cells: Any, frames: list[bytes], **more: object) -> Dataset:
    """A secondary capture with encoded frames."""
    ds = capture(cells, **more)
    ds.PixelData = encapsulate(frames, has_bot=True)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def redacted(ds: Dataset, policy: Policy, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    source = written(ds, syntax)
    once = deid(source, policy)
    assert once == deid(source, policy)
    return read(once)


def blanked(cells: Any, black: Any) -> Any:
    """What the frames should be."""
    found = cells.copy()
    found[:, *BOX] = black
    return found
