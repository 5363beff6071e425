"""Softcopy Presentation States: how somebody wanted an image to be seen (PS3.3 A.33, PS3.4 N)."""

from collections.abc import Iterator
from dataclasses import dataclass

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.display.graphics import Graphic, Text, graphics_of
from dicomweb_box.dicom.display.grey import Modality, Rescale
from dicomweb_box.dicom.display.lut import Lut, lut_of
from dicomweb_box.dicom.display.overlays import Overlay, overlays_of
from dicomweb_box.dicom.display.palette import Palette, palette_of
from dicomweb_box.dicom.display.placement import Area
from dicomweb_box.dicom.display.shutter import Shutter, shutter_of
from dicomweb_box.dicom.display.voi import Voi, voi_of
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.json_values import Bulk

STATES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2, 3, 5))
"""SOP classes of the states that are applied here: grey, colour, pseudo-colour, XA and XRF."""

_REFERENCED_SERIES, _REFERENCED_IMAGES = "00081115", "00081140"
_INSTANCE, _FRAMES = "00081155", "00081160"
_MODALITY_LUT, _PRESENTATION_LUT = "00283000", "20500010"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """An instance that a state is for."""

    instance_uid: str
    frames: tuple[int, ...]
    """Its frames, from 1; (): all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """How what is drawn on a layer looks (PS3.3 C.10.7)."""

    name: str
    order: int
    level: int
    rgb: tuple[int, int, int] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Presentation:
    """What a state says of one frame."""

    modality: Modality
    voi: Voi | None
    """None: all that can be stored, from black to white."""
    presentation: Lut | None
    inverse: bool
    palette: Palette | None
    area: Area | None
    aspect: float | None
    rotation: int
    flip: bool
    shutter: Shutter | None
    activated: tuple[tuple[int, str], ...]
    """Groups of overlays of the image, and the layer each is drawn on."""
    overlays: tuple[Overlay, ...]
    """Planes of the state itself."""
    graphics: tuple[Graphic, ...]
    texts: tuple[Text, ...]
    layers: tuple[Layer, ...]

    def layer(self, name: str) -> Layer:
        """The layer of that name; a white one where it is not described."""
        found = (layer for layer in self.layers if layer.name == name)
        return next(found, Layer(name=name, order=0, level=255, rgb=None))


def references_of(dataset: Dataset) -> list[Reference]:
    """The instances that a state is for, in its order."""
    return [
        reference
        for series in json_values.items(dataset, _REFERENCED_SERIES)
        for reference in _references(series)
    ]


def presentation_of(dataset: Dataset, instance_uid: str, number: int, bulk: Bulk) -> Presentation:
    """What a state says of frame `number` of an instance."""

    def fitting(tag: str) -> Iterator[tuple[int, Dataset]]:
        for at, item in enumerate(json_values.items(dataset, tag), 1):
            if _applies(item, instance_uid, number):
                yield at, item

    # PS3.4 N.2.1: what the state does not have is the identity; the image's own is not used.
    voi = next((voi_of(item, f"00283110/{at}/", bulk) for at, item in fitting("00283110")), ())
    area = next((item for _, item in fitting("0070005A")), None)
    graphics, texts = graphics_of(item for _, item in fitting("00700001"))
    rotation = json_values.whole(dataset, "00700042") or 0
    return Presentation(
        modality=_modality(dataset, bulk),
        voi=voi[0] if voi else None,
        presentation=_presentation_lut(dataset, bulk),
        inverse=json_values.text(dataset, "20500020").upper() == "INVERSE",
        palette=palette_of(dataset, bulk) if "00281101" in dataset else None,
        area=None if area is None else _area(area),
        aspect=None if area is None else _aspect(area),
        rotation=rotation if rotation in (90, 180, 270) else 0,
        flip=json_values.text(dataset, "00700041").upper() == "Y",
        shutter=shutter_of(dataset),
        activated=tuple(_activated(dataset)),
        overlays=overlays_of(dataset, 0, 0),
        graphics=graphics,
        texts=texts,
        layers=tuple(sorted(map(_layer, json_values.items(dataset, "00700060")), key=lambda one: one.order)),
    )


def _references(item: Dataset) -> list[Reference]:
    return [
        Reference(
            instance_uid=json_values.text(image, _INSTANCE),
            frames=tuple(int(number) for number in json_values.numbers(image, _FRAMES)),
        )
        for image in json_values.items(item, _REFERENCED_IMAGES)
        if json_values.text(image, _INSTANCE)
    ]


def _applies(item: Dataset, instance_uid: str, number: int) -> bool:
    references = _references(item)
    return not references or any(
        one.instance_uid == instance_uid and (not one.frames or number in one.frames) for one in references
    )


def _modality(dataset: Dataset, bulk: Bulk) -> Modality:
    for at, item in enumerate(json_values.items(dataset, _MODALITY_LUT), 1):
        lut = lut_of(item, f"{_MODALITY_LUT}/{at}", bulk)
        if lut is not None:
            return lut
    slope, intercept = (json_values.number(dataset, tag) for tag in ("00281053", "00281052"))
    return Rescale(slope=slope or 1.0, intercept=intercept or 0.0)


def _presentation_lut(dataset: Dataset, bulk: Bulk) -> Lut | None:
    items = enumerate(json_values.items(dataset, _PRESENTATION_LUT), 1)
    return next((lut_of(item, f"{_PRESENTATION_LUT}/{at}", bulk) for at, item in items), None)


def _area(item: Dataset) -> Area | None:
    """The displayed area (PS3.3 C.10.4); its corners are pixels from 1, swapped where the image is turned."""
    first, last = json_values.numbers(item, "00700052"), json_values.numbers(item, "00700053")
    if len(first) != 2 or len(last) != 2:
        return None
    (left, right), (top, bottom) = (sorted((int(first[at]), int(last[at]))) for at in (0, 1))
    return Area(left=left - 1, top=top - 1, right=right, bottom=bottom)


def _aspect(item: Dataset) -> float | None:
    for tag in ("00700101", "00700102"):
        pair = json_values.numbers(item, tag)[:2]
        if len(pair) == 2 and min(pair) > 0 and 0.05 < pair[0] / pair[1] < 20:
            return pair[0] / pair[1]
    return None


def _activated(dataset: Dataset) -> Iterator[tuple[int, str]]:
    for group in range(0x6000, 0x6020, 2):
        layer = json_values.text(dataset, f"{group:04X}1001")
        if layer:
            yield group, layer


def _layer(item: Dataset) -> Layer:
    level = json_values.whole(item, "00700066")
    rgb = [int(value) & 0xFF for value in json_values.numbers(item, "00700067")]
    return Layer(
        name=json_values.text(item, "00700002"),
        order=json_values.whole(item, "00700062") or 0,
        level=255 if level is None else level >> 8 & 0xFF,
        rgb=(rgb[0], rgb[1], rgb[2]) if len(rgb) == 3 else None,
    )
