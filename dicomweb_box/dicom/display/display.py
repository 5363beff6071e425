"""All that an instance says of how its frames are shown, read once from its DICOM JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import TypeGuard

import orjson

from dicomweb_box.dicom import json_model, json_values
from dicomweb_box.dicom.display import functional_groups
from dicomweb_box.dicom.display.functional_groups import Find
from dicomweb_box.dicom.display.grey import Cells, Grey, Modality, Rescale
from dicomweb_box.dicom.display.lut import Lut, lut_of
from dicomweb_box.dicom.display.overlays import Overlay, overlays_of
from dicomweb_box.dicom.display.palette import Palette, palette_of
from dicomweb_box.dicom.display.shutter import Shutter, shutter_of
from dicomweb_box.dicom.display.voi import Voi, Window, voi_of
from dicomweb_box.dicom.image import Image, described
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.json_values import Bulk

_MODALITY_LUT, _PRESENTATION_LUT = "00283000", "20500010"
_TRANSFORMATION, _FRAME_VOI = "00289145", "00289132"
_GROUPS = frozenset(
    ("0028", "0048", "0062", "2050", "5200", *(f"{group:04X}" for group in range(0x6000, 0x6020, 2)))
)
"""Groups that describe pixels, optical paths, segments, presentation, frames and overlays."""
_SINGLE = frozenset(("00089205", "00181164", "00182010", "3004000E"))
_SHUTTER = "001816"
_VARYING = ("00280106", "00280107")
"""Smallest and Largest Image Pixel Value: no two instances agree in them, and nothing is made of them."""
_PIXELS = ("7FE00008", "7FE00009", "7FE00010")
_KEYED = "1 "
"""Begins each key. To be raised where more attributes come to be of interest: older keys do not tell them."""
_SHARED, _SHARED_KEPT = 64 << 10, 128
"""Bytes of metadata whose display is made once for all who say the same; and how many such are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Display:
    """How the frames of one instance are shown."""

    image: Image
    cells: Cells | None
    """None: wider than 16 bits, or floats."""
    greys: Sequence[Grey] = field(repr=False)
    """The transformations there are; colour frames have none to be applied."""
    grey_of_frame: Sequence[int] = field(default=(), repr=False)
    """Which of them is each frame's; (): the first is everyone's."""
    aspect: float = 1.0
    """Height of a pixel by its width."""
    palette: Palette | None = field(default=None, repr=False)
    supplemental: bool = False
    """Whether the palette colours only the values from its first on."""
    overlays: Sequence[Overlay] = field(default=(), repr=False)
    shutter: Shutter | None = None
    profile_path: str | None = None
    """Where the ICC profile lies."""
    space: str = ""
    """Color Space (0028,2002)."""
    representative: int | None = None
    """Representative Frame Number (0028,6010)."""

    @property
    def weight(self) -> int:
        """What keeping it costs, in pieces of about 2 KiB."""
        tables = [one for how in self.greys for one in (how.modality, how.voi, how.presentation)]
        held = sum(len(one.data) for one in tables if isinstance(one, Lut))
        held += len(self.palette.rgb) if self.palette is not None else 0
        held += 8 * len(self.grey_of_frame)
        return 1 + len(self.greys) // 8 + held // 2048

    def grey(self, number: int) -> Grey:
        """The transformations of frame `number`, from 1."""
        known = 0 < number <= len(self.grey_of_frame)
        return self.greys[self.grey_of_frame[number - 1] if known else 0]


def display_of(json: bytes, transfer_syntax_uid: str, bulk: Bulk) -> Display:
    """What an instance's DICOM JSON says; raises NotFound where it does not describe frames."""
    dataset = json_model.top_level(json)
    said = _said(dataset, len(json))
    if said is not None:
        return _shared(said, transfer_syntax_uid)
    return _display(_of_interest(dataset), json, transfer_syntax_uid, bulk)


def key_of(dataset: Dataset, length: int) -> str | None:
    """What instances have in common whose data sets say the same of how they are shown.

    `length`: of their DICOM JSON. None where not all of it stands there, or where it is much.
    """
    said = _said(dataset, length)
    # Two instances of one key are shown alike: nobody may be able to make another one for it.
    return None if said is None else _KEYED + blake2b(said, digest_size=16).hexdigest()


def is_known(key: str | None) -> TypeGuard[str]:
    """Whether it is a key that tells all that matters to this version."""
    return key is not None and key.startswith(_KEYED)


def _said(dataset: Dataset, length: int) -> bytes | None:
    if length > _SHARED:
        return None
    try:
        said = orjson.dumps(_of_interest(dataset))
    except orjson.JSONEncodeError:  # nested too deeply
        return None
    return None if b'"BulkDataURI"' in said else said


def _of_interest(dataset: Dataset) -> Dataset:
    """What a display is made of; of pixel data themselves no more than that they are there."""
    found = {
        tag: element
        for tag, element in dataset.items()
        if tag[:4] in _GROUPS or tag[:6] == _SHUTTER or tag in _SINGLE
    }
    for tag in _VARYING:
        found.pop(tag, None)
    for tag in _PIXELS:
        if tag in dataset:
            found[tag] = {}
    return found


@lru_cache(maxsize=_SHARED_KEPT)
def _shared(said: bytes, transfer_syntax_uid: str) -> Display:
    """The instances of a series mostly say the same: it is made of it once."""
    return _display(orjson.loads(said), said, transfer_syntax_uid, lambda _: b"")


def _display(dataset: Dataset, json: bytes, transfer_syntax_uid: str, bulk: Bulk) -> Display:
    image = described(dataset, transfer_syntax_uid)
    greys: dict[Grey, int] = {}
    of_frame: list[int] = []
    first: Dataset | None = None
    for number, own in enumerate(_frames(dataset, json), 1):
        first = own if first is None else first
        how = _grey(dataset, functional_groups.of_frame(dataset, own, number), bulk)
        of_frame.append(greys.setdefault(how, len(greys)))
    shared = functional_groups.of_frame(dataset, first, 1)
    if not greys:
        greys[_grey(dataset, shared, bulk)] = 0
    return Display(
        image=image,
        cells=_cells(image),
        greys=tuple(greys),
        grey_of_frame=tuple(of_frame) if len(greys) > 1 else (),
        aspect=aspect_of(dataset, shared),
        palette=palette_of(dataset, bulk) if _has_palette(dataset, image) else None,
        supplemental=image.photometric != "PALETTE COLOR",
        overlays=overlays_of(dataset, image.rows, image.columns),
        shutter=shutter_of(dataset),
        profile_path=_profile_path(dataset),
        space=json_values.text(dataset, "00282002").upper(),
        representative=json_values.whole(dataset, "00286010"),
    )


def _frames(dataset: Dataset, json: bytes) -> Iterable[Dataset]:
    """The functional groups of each frame; of very many one by one, as they would not all be kept."""
    if functional_groups.PER_FRAME in dataset:
        return json_values.items(dataset, functional_groups.PER_FRAME)
    found = json.find(f'"{functional_groups.PER_FRAME}"'.encode()) >= 0
    return json_model.items_of(json, functional_groups.PER_FRAME) if found else ()


def _cells(image: Image) -> Cells | None:
    """How a frame's bytes are cells; single bits are given as bytes."""
    if image.samples != 1 or image.bits_allocated not in (1, 8, 16) or image.floats:
        return None
    if image.bits_allocated == 1:
        return Cells(allocated=8, stored=1, high=0, signed=False)
    stored, high = image.bits_stored, image.bits_stored - 1 if image.high_bit is None else image.high_bit
    if not 0 < stored <= high + 1 <= image.bits_allocated:
        stored = image.bits_allocated  # it says what cannot be: the cells are taken whole
        high = stored - 1
    return Cells(allocated=image.bits_allocated, stored=stored, high=high, signed=image.signed)


def _grey(dataset: Dataset, find: Find, bulk: Bulk) -> Grey:
    voi = _voi(dataset, find, bulk)
    shape = json_values.text(dataset, "20500020").upper()
    return Grey(
        modality=_modality(dataset, find, bulk),
        voi=voi[0] if voi else None,
        presentation=next(
            (
                lut
                for at, item in enumerate(json_values.items(dataset, _PRESENTATION_LUT), 1)
                if (lut := lut_of(item, f"{_PRESENTATION_LUT}/{at}", bulk)) is not None
            ),
            None,
        ),
        # The two say the same of images (PS3.3 C.11.6.1): MONOCHROME1 comes with INVERSE.
        inverse=shape == "INVERSE" or (not shape and json_values.text(dataset, "00280004") == "MONOCHROME1"),
        padding=_padding(dataset),
    )


def _modality(dataset: Dataset, find: Find, bulk: Bulk) -> Modality:
    group = find(_TRANSFORMATION)
    if group is not None:
        return _rescale(group.item)
    for at, item in enumerate(json_values.items(dataset, _MODALITY_LUT), 1):
        lut = lut_of(item, f"{_MODALITY_LUT}/{at}", bulk)
        if lut is not None:
            return lut
    dose = json_values.number(dataset, "3004000E")
    return Rescale(slope=dose) if dose else _rescale(dataset)


def _rescale(dataset: Dataset) -> Rescale:
    slope, intercept = (json_values.number(dataset, tag) for tag in ("00281053", "00281052"))
    # A slope of 0 would make one grey of everything: it is a mistake of the sender.
    return Rescale(slope=slope or 1.0, intercept=intercept or 0.0)


def _voi(dataset: Dataset, find: Find, bulk: Bulk) -> tuple[Voi, ...]:
    most = json_values.number(dataset, "0062000E")
    if json_values.text(dataset, "00620001") == "LABELMAP":
        # The cells are segment numbers, mostly low ones: each is to be seen, and the same in every frame.
        segments = json_values.items(dataset, "00620002")
        most = max((json_values.number(one, "00620004") or 0 for one in segments), default=0)
        return (Window(center=most / 2, width=most, function="LINEAR_EXACT"),) if most else ()
    if most and json_values.text(dataset, "00620001") == "FRACTIONAL":  # PS3.3 C.8.20.2.3
        return (Window(center=most / 2, width=most, function="LINEAR_EXACT"),)
    group = find(_FRAME_VOI)
    return (voi_of(group.item, group.path, bulk) if group else ()) or voi_of(dataset, "", bulk)


def aspect_of(dataset: Dataset, find: Find) -> float:
    """Height of a pixel by its width.

    By Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7), which is absent where a spacing says it.
    """
    measures = find("00289110")
    pairs = [
        json_values.numbers(dataset, tag)[:2] for tag in ("00280034", "00280030", "00181164", "00182010")
    ]
    if measures is not None:
        pairs.append(json_values.numbers(measures.item, "00280030")[:2])
    for pair in pairs:
        if len(pair) == 2 and min(pair) > 0 and 0.05 < pair[0] / pair[1] < 20:
            return pair[0] / pair[1]
    return 1.0


def _has_palette(dataset: Dataset, image: Image) -> bool:
    """Whether a palette colours all of the image, or is one that supplements its greys (PS3.3 C.7.6.19)."""
    supplements = json_values.text(dataset, "00089205").upper() in ("COLOR", "MIXED")
    return image.samples == 1 and (image.photometric == "PALETTE COLOR" or supplements)


def _profile_path(dataset: Dataset) -> str | None:
    """Where the ICC profile of the image, or of its first optical path, lies (PS3.3 C.11.15, C.8.12.5)."""
    if "00282000" in dataset:
        return "00282000"
    for at, item in enumerate(json_values.items(dataset, "00480105"), 1):
        if "00282000" in item:
            return f"00480105/{at}/00282000"
    return None


def _padding(dataset: Dataset) -> tuple[float, float] | None:
    """Pixel Padding Value and Range Limit (PS3.3 C.7.5.1.1.2), of floats C.7.6.24."""
    for tag, limit_tag in (("00280120", "00280121"), ("00280122", "00280124"), ("00280123", "00280125")):
        value = json_values.number(dataset, tag)
        if value is not None:
            limit = json_values.number(dataset, limit_tag)
            limit = value if limit is None else limit
            return min(value, limit), max(value, limit)
    return None
