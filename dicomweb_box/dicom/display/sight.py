"""All that a viewer must know of one instance before it asks for its first frame, out of its DICOM JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from dicomweb_box.dicom import json_model, json_values, uids
from dicomweb_box.dicom.display import cine, functional_groups, geometry, presets
from dicomweb_box.dicom.display.display import aspect_of
from dicomweb_box.dicom.display.geometry import Place, Region, Spacing
from dicomweb_box.dicom.display.presentation import STATES
from dicomweb_box.dicom.display.presets import Preset
from dicomweb_box.dicom.encapsulated import enclosed
from dicomweb_box.dicom.json_model import Dataset

MOST_FRAMES = 100_000
"""Frames of one instance whose times and places are told."""
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_SAYS_LOSSY = "01"  # PS3.3 C.7.6.1.1.5

Kind = Literal["frames", "state", "video", "document", "report", "none"]
"""By its frames, by the frames it refers to, as a film, as a document, as words, not at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the index knows of the instance."""

    sop_class_uid: str
    transfer_syntax_uid: str
    rows: int | None
    columns: int | None
    number_of_frames: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What can be seen of an instance, and how large and where it is."""

    kind: Kind
    frames: int = 1
    media_type: str = ""
    """Of a document."""
    grey: bool = False
    """Whether a window changes what is seen."""
    lossy: bool = False
    aspect: float = 1.0
    """Height of a pixel by its width."""
    spacing: Spacing | None = None
    regions: Sequence[Region] = ()
    frame_of_reference: str = ""
    places: Sequence[Place] = ()
    """Of each frame, or one for all; () where nothing is said."""
    letters: Sequence[str] = ()
    """Patient Orientation: where rows and columns lead to (PS3.3 C.7.6.1.1.1)."""
    animal: bool = False
    """Whether its directions are named as those of four-footed animals are."""
    milliseconds: Sequence[float] = ()
    """How long each frame is shown, or one for all; () of what does not move."""
    presets: Sequence[Preset] = ()


def sight_of(json: bytes, facts: Facts) -> Sight:
    """What the DICOM JSON of an instance says; nothing here raises."""
    dataset = json_model.top_level(json)
    kind, media_type = _kind(dataset, facts)
    if kind != "frames":
        return Sight(kind=kind, media_type=media_type)
    count = max(1, facts.number_of_frames or 1)
    own = list(islice(_own_groups(dataset, json), min(count, MOST_FRAMES)))
    first = functional_groups.of_frame(dataset, own[0] if own else None, 1)
    photometric = json_values.text(dataset, "00280004").upper()
    return Sight(
        kind=kind,
        frames=count,
        grey=(json_values.whole(dataset, "00280002") or 1) == 1 and photometric != "PALETTE COLOR",
        lossy=json_values.text(dataset, "00282110") == _SAYS_LOSSY,
        aspect=aspect_of(dataset, first),
        spacing=geometry.spacing_of(dataset, first),
        regions=geometry.regions_of(dataset),
        frame_of_reference=json_values.text(dataset, "00200052"),
        places=_places(dataset, own),
        letters=_letters(dataset),
        animal=json_values.text(dataset, "00102210").upper() == "QUADRUPED",
        milliseconds=_milliseconds(dataset, count),
        presets=presets.own(dataset, first),
    )


def _kind(dataset: Dataset, facts: Facts) -> tuple[Kind, str]:
    if facts.transfer_syntax_uid in uids.VIDEO:
        return "video", ""
    if facts.rows and facts.columns:
        return "frames", ""
    if facts.sop_class_uid in STATES:
        return "state", ""
    document = enclosed(dataset, facts.sop_class_uid)
    if document is not None:
        return "document", document.media_type
    return ("report", "") if facts.sop_class_uid.startswith(_REPORTS) else ("none", "")


def _own_groups(dataset: Dataset, json: bytes) -> Iterable[Dataset]:
    """The functional groups of each frame; of very many one by one, as they would not all be kept."""
    if functional_groups.PER_FRAME in dataset:
        return json_values.items(dataset, functional_groups.PER_FRAME)
    found = json.find(f'"{functional_groups.PER_FRAME}"'.encode()) >= 0
    return json_model.items_of(json, functional_groups.PER_FRAME) if found else ()


def _places(dataset: Dataset, own: Sequence[Dataset]) -> Sequence[Place]:
    groups = [functional_groups.of_frame(dataset, one, number) for number, one in enumerate(own, 1)]
    groups = groups or [functional_groups.of_frame(dataset, None, 1)]
    found = [geometry.place_of(dataset, find) for find in groups]
    if all(one == found[0] for one in found):
        found = found[:1]
    return found if any(one.position or one.orientation for one in found) else ()


def _letters(dataset: Dataset) -> tuple[str, ...]:
    found = [one for one in json_values.texts(dataset, "00200020") if one]
    return tuple(one[:8] for one in found) if len(found) == 2 else ()


def _milliseconds(dataset: Dataset, count: int) -> Sequence[float]:
    if count == 1 and not any(tag in dataset for tag in (cine.RECOMMENDED_RATE, cine.CINE_RATE)):
        return ()
    lasting = cine.durations(dataset, min(count, MOST_FRAMES))
    return lasting[:1] if len(set(lasting)) == 1 else lasting
