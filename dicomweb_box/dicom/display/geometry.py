"""How large a pixel is and where a frame lies, as far as an instance says (PS3.3 10.7.1.3, C.7.6.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.display.functional_groups import Find
from dicomweb_box.dicom.json_model import Dataset

PIXEL_SPACING, IMAGER_SPACING, SCANNED_SPACING = "00280030", "00181164", "00182010"
MAGNIFICATION, CALIBRATION = "00181114", "00280A02"
ORIENTATION, POSITION = "00200037", "00200032"
_MEASURES, _PLANE_ORIENTATION, _PLANE_POSITION = "00289110", "00209116", "00209113"
_REGIONS = "00186011"
_CENTIMETRES = 3.0
_MOST_REGIONS = 32
_PROJECTIONS = frozenset({"CR", "DX", "DR", "MG", "PX", "IO", "XA", "RF", "RG"})

Plane = Literal["patient", "calibrated", "estimated", "detector", "projection", "film"]
"""Where a spacing holds: in the body; there by a calibration, or by the recorded magnification; at the
detector; somewhere between, which is not said; on a film that was scanned.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spacing:
    """Millimetres from the centre of a pixel to that of its neighbour."""

    between_rows: float
    between_columns: float
    plane: Plane


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A part of an ultrasound frame in which distances are those of the body (PS3.3 C.8.5.5)."""

    left: int
    top: int
    right: int
    bottom: int
    between_rows: float
    between_columns: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a frame lies in the patient: its first pixel, the directions of its rows and columns, in mm."""

    position: tuple[float, ...] = ()
    """Three coordinates; () where it is not said."""
    orientation: tuple[float, ...] = ()
    """Six direction cosines; () where they are not said."""


def spacing_of(dataset: Dataset, find: Find) -> Spacing | None:
    """The spacing of the pixels; None where none is said."""
    measures = find(_MEASURES)
    if measures is not None and (pair := _pair(measures.item, PIXEL_SPACING)):
        return _spacing(pair, "patient")
    own, imager = _pair(dataset, PIXEL_SPACING), _pair(dataset, IMAGER_SPACING)
    # PS3.3 10.7.1.3: equal values mean that nothing was corrected for the magnification.
    if own and not (imager and _alike(own, imager)):
        return _spacing(own, _plane(dataset, corrected=bool(imager)))
    if imager:
        factor = json_values.number(dataset, MAGNIFICATION)
        if factor and 1 < factor < 100:
            return _spacing([value / factor for value in imager], "estimated")
        return _spacing(imager, "detector")
    scanned = _pair(dataset, SCANNED_SPACING)
    return _spacing(scanned, "film") if scanned else None


def regions_of(dataset: Dataset) -> tuple[Region, ...]:
    """The regions of an ultrasound frame whose both axes are lengths."""
    found = [_region(item) for item in json_values.items(dataset, _REGIONS)[:_MOST_REGIONS]]
    return tuple(one for one in found if one is not None)


def place_of(dataset: Dataset, find: Find) -> Place:
    """Where the frame lies."""
    position, orientation = find(_PLANE_POSITION), find(_PLANE_ORIENTATION)
    return Place(
        position=_exactly(position.item if position else dataset, POSITION, 3),
        orientation=_exactly(orientation.item if orientation else dataset, ORIENTATION, 6),
    )


def _plane(dataset: Dataset, *, corrected: bool) -> Plane:
    if json_values.text(dataset, CALIBRATION) in ("GEOMETRY", "FIDUCIAL") or corrected:
        return "calibrated"
    return "projection" if json_values.text(dataset, "00080060") in _PROJECTIONS else "patient"


def _region(item: Dataset) -> Region | None:
    units = [json_values.number(item, tag) for tag in ("00186024", "00186026")]
    edges = [json_values.whole(item, tag) for tag in ("00186018", "0018601A", "0018601C", "0018601E")]
    deltas = [abs(json_values.number(item, tag) or 0) * 10 for tag in ("0018602E", "0018602C")]
    left, top, right, bottom = edges
    if units != [_CENTIMETRES, _CENTIMETRES] or not all(0 < delta < 1000 for delta in deltas):
        return None
    if left is None or top is None or right is None or bottom is None:
        return None
    return Region(
        left=left, top=top, right=right, bottom=bottom, between_rows=deltas[0], between_columns=deltas[1]
    )


def _spacing(pair: Sequence[float], plane: Plane) -> Spacing:
    return Spacing(between_rows=pair[0], between_columns=pair[1], plane=plane)


def _pair(dataset: Dataset, tag: str) -> list[float]:
    found = json_values.numbers(dataset, tag)
    return found if len(found) == 2 and all(1e-6 < value < 1e4 for value in found) else []


def _alike(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(abs(one - other) <= 0.001 * other for one, other in zip(first, second, strict=True))


def _exactly(dataset: Dataset, tag: str, count: int) -> tuple[float, ...]:
    found = json_values.numbers(dataset, tag)
    return tuple(found) if len(found) == count else ()
