"""What may be told of objects to somebody who may not know whose they are.

A list of what is allowed, not of what is hidden: an attribute that nobody thought of is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dicomweb_box.dicom.attribute_path import LABELS, AttributePath
from dicomweb_box.dicom.attributes import BY_TAG
from dicomweb_box.dicom.matching import Query

TAGS = frozenset(
    (
        "00080005",  # Specific Character Set
        "00080016",  # SOP Class UID
        "00080018",  # SOP Instance UID
        "00080056",  # Instance Availability
        "00080060",  # Modality
        "00080061",  # Modalities in Study
        "00080062",  # SOP Classes in Study
        "00081190",  # Retrieve URL
        "00083002",  # Available Transfer Syntax UID
        "00100040",  # Patient's Sex
        "00101010",  # Patient's Age
        "00180015",  # Body Part Examined
        "0020000D",  # Study Instance UID
        "0020000E",  # Series Instance UID
        "00200011",  # Series Number
        "00200013",  # Instance Number
        "00201206",  # Number of Study Related Series
        "00201208",  # Number of Study Related Instances
        "00201209",  # Number of Series Related Instances
        "00280002",  # Samples per Pixel
        "00280004",  # Photometric Interpretation
        "00280008",  # Number of Frames
        "00280010",  # Rows
        "00280011",  # Columns
        "00280100",  # Bits Allocated
        "00280101",  # Bits Stored
    )
)


def kept(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a DICOM JSON object that say nothing of who the patient is; private ones do not."""
    return {tag: element for tag, element in dataset.items() if tag in TAGS}


def is_open(path: AttributePath) -> bool:
    """Whether an attribute, as a search names it, says nothing of who the patient is."""
    return path == LABELS or (len(path.steps) == 1 and path.head in TAGS)


def telling(query: Query) -> str | None:
    """The name of an attribute that a search would tell something of by what it matches or how it sorts.

    None where there is none.
    """
    return next(_telling(query), None)


def _telling(query: Query) -> Iterator[str]:
    yield from (key.name for key in query.keys if key.tests and not is_open(key.path))
    for combined in query.combined:
        yield from (key.name for key in (combined.date, combined.time) if not is_open(key.path))
    for order in query.order:
        if order.tag not in TAGS:
            yield BY_TAG[order.tag].keyword if order.tag in BY_TAG else order.tag
