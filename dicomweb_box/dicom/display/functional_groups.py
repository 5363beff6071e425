"""Shared and per-frame functional groups of enhanced objects (PS3.3 C.7.6.16)."""

from collections.abc import Callable
from dataclasses import dataclass

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.json_model import Dataset

SHARED, PER_FRAME = "52009229", "52009230"


@dataclass(frozen=True, slots=True)
class Group:
    """The item of one macro that holds for a frame, and the path that leads to it (with a / behind)."""

    item: Dataset
    path: str


Find = Callable[[str], Group | None]
"""Gives the item of the macro whose sequence has this tag."""


def of_frame(dataset: Dataset, own: Dataset | None, number: int) -> Find:
    """What finds macros of frame `number`, from 1: among its own groups, else the shared ones."""
    levels = [] if own is None else [Group(own, f"{PER_FRAME}/{number}/")]
    levels += [Group(item, f"{SHARED}/1/") for item in json_values.items(dataset, SHARED)[:1]]

    def find(tag: str) -> Group | None:
        for level in levels:
            for item in json_values.items(level.item, tag)[:1]:
                return Group(item, f"{level.path}{tag}/1/")
        return None

    return find
