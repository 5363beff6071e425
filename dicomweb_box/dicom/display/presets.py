"""Windows that are offered to who looks at a frame: the object's own, and those in use for its modality."""

from collections.abc import Sequence
from dataclasses import dataclass

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.display.functional_groups import Find
from dicomweb_box.dicom.display.voi import CENTER, FUNCTION, WIDTH, Window, window_of
from dicomweb_box.dicom.json_model import Dataset

_FRAME_VOI, _EXPLANATION = "00289132", "00281055"
_MOST_OWN = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A window and what it is for."""

    name: str
    window: Window


def _hounsfield(name: str, center: float, width: float) -> Preset:
    return Preset(name=name, window=Window(center=center, width=width))


# In Hounsfield units, which other modalities have not; the values that are usual at reading places.
CT: Sequence[Preset] = (
    _hounsfield("Soft tissue", 40, 400),
    _hounsfield("Lung", -600, 1500),
    _hounsfield("Bone", 480, 2500),
    _hounsfield("Brain", 40, 80),
    _hounsfield("Subdural", 75, 215),
    _hounsfield("Liver", 60, 160),
    _hounsfield("Mediastinum", 50, 350),
)
BY_MODALITY = {"CT": CT}


def own(dataset: Dataset, find: Find) -> tuple[Preset, ...]:
    """The windows that the instance, or a frame of it, brings with it, by their explanations."""
    group = find(_FRAME_VOI)
    return (_windows(group.item) if group else ()) or _windows(dataset)


def _windows(item: Dataset) -> tuple[Preset, ...]:
    centers, widths = json_values.numbers(item, CENTER), json_values.numbers(item, WIDTH)
    count = min(len(centers), len(widths), _MOST_OWN)
    said = json_values.texts(item, _EXPLANATION)[:count]
    function = json_values.text(item, FUNCTION).upper()
    found: list[Preset] = []
    names = [*said, *[""] * (count - len(said))]
    for center, width, name in zip(centers[:count], widths[:count], names, strict=True):
        window = window_of(center, width, function)
        if window is not None:
            usual = "Own window" if count == 1 else f"Own window {len(found) + 1}"
            found.append(Preset(name=name or usual, window=window))
    return tuple(found)
