"""What the viewer shows, as its script and other programs read it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dicomweb_box.archive.stacks import Layer, Series, Study
from dicomweb_box.dicom.display import presets
from dicomweb_box.dicom.display.geometry import Place, Spacing
from dicomweb_box.dicom.display.presets import Preset
from dicomweb_box.dicom.display.voi import Window
from dicomweb_box.web import words

PLANES = {
    "patient": "",
    "calibrated": "calibrated",
    "estimated": "estimated from the magnification",
    "detector": "at the detector, larger than in the body",
    "projection": "of a projection, at no known depth",
    "film": "on the scanned film",
}
"""What is to be said beside a distance, by the plane that it is measured in."""


def patient(found: Study) -> dict[str, str]:
    """Whose study it is, in the words of a page."""
    told = found.attributes
    return {
        "name": words.person(words.first(told, "00100010")),
        "id": str(words.first(told, "00100020") or ""),
        "birth_date": words.day(words.first(told, "00100030")),
        "sex": str(words.first(told, "00100040") or ""),
        "date": words.day(words.first(told, "00080020")),
        "time": words.clock(words.first(told, "00080030")),
        "description": str(words.first(told, "00081030") or ""),
    }


def study(found: Study) -> dict[str, Any]:
    """The study and its series."""
    return {
        "study": {"uid": found.study_uid, **patient(found)},
        "series": [series(one) for one in found.series],
    }


def series(one: Series) -> dict[str, Any]:
    """A series as the strip tells it."""
    return {
        "uid": one.series_uid,
        "number": one.number,
        "modality": one.modality,
        "description": one.description,
        "instance_count": one.instance_count,
    }


def stack(one: Series, layers: Sequence[Layer]) -> dict[str, Any]:
    """A series with its instances, and the windows in use for its modality."""
    return {
        **series(one),
        "presets": [preset(known) for known in presets.BY_MODALITY.get(one.modality, ())],
        "instances": [layer(known) for known in layers],
    }


def layer(one: Layer) -> dict[str, Any]:
    """One instance; what is not known is left out."""
    sight = one.sight
    told = {
        "uid": one.instance_uid,
        "number": one.number,
        "kind": sight.kind,
        "frames": sight.frames,
        "media_type": sight.media_type,
        "rows": one.rows,
        "columns": one.columns,
        "grey": sight.grey,
        "lossy": sight.lossy,
        "aspect": sight.aspect,
        "spacing": spacing(sight.spacing) if sight.spacing else None,
        "regions": [asdict(region) for region in sight.regions],
        "frame_of_reference": sight.frame_of_reference,
        "places": [place(known) for known in sight.places],
        "letters": list(sight.letters),
        "animal": sight.animal,
        "milliseconds": list(sight.milliseconds),
        "presets": [preset(known) for known in sight.presets],
    }
    return {name: value for name, value in told.items() if value not in (None, "", [], False)}


def spacing(one: Spacing) -> dict[str, Any]:
    """Millimetres between rows and between columns, and where that holds."""
    return {
        "between_rows": one.between_rows,
        "between_columns": one.between_columns,
        "plane": one.plane,
        "note": PLANES[one.plane],
    }


def place(one: Place) -> dict[str, Any]:
    """Position and orientation of a frame."""
    return {"position": list(one.position), "orientation": list(one.orientation)}


def preset(one: Preset) -> dict[str, Any]:
    """A named window."""
    return {"name": one.name, **(window(one.window) or {})}


def window(one: Window | None) -> dict[str, Any] | None:
    """A window in the words of the parameter of rendered resources."""
    if one is None:
        return None
    function = one.function.lower().replace("_", "-")
    return {"center": one.center, "width": one.width, "function": function}
