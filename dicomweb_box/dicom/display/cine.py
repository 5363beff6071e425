"""How long each frame of a multi-frame instance is shown (PS3.3 C.7.6.5)."""

import math
from collections.abc import Sequence
from typing import Any

from dicomweb_box.dicom.json_model import Dataset

RECOMMENDED_RATE, CINE_RATE = "00082144", "00180040"
FRAME_TIME, FRAME_TIME_VECTOR = "00181063", "00181065"

_USUAL = 100.0
"""Milliseconds of a frame where an instance says nothing: a stack, looked through at ten frames a second."""
_SHORTEST, _LONGEST = 1000 / 240, 60_000.0


def durations(dataset: Dataset, count: int) -> Sequence[float]:
    """Milliseconds that each of `count` frames is shown for.

    By the rate that the instance recommends for display, else by the times its frames were taken at, else ten
    frames a second.
    """
    if rate := _number(dataset, RECOMMENDED_RATE):
        return [_bounded(1000 / rate)] * count
    if vector := _vector(dataset, count):
        return vector
    if time := _number(dataset, FRAME_TIME):
        return [_bounded(time)] * count
    if rate := _number(dataset, CINE_RATE):
        return [_bounded(1000 / rate)] * count
    return [_USUAL] * count


def starts(lasting: Sequence[float]) -> Sequence[float]:
    """When each frame begins, in milliseconds, and when the last one ends."""
    begun = [0.0]
    for one in lasting:
        begun.append(begun[-1] + one)
    return begun


def _vector(dataset: Dataset, count: int) -> list[float]:
    """The time from each frame to the next (PS3.3 C.7.6.5.1.2: the first value is 0); [] where it is none."""
    said = dataset.get(FRAME_TIME_VECTOR, {}).get("Value", [])
    if count < 2 or len(said) < count or not all(map(_is_time, said[1:count])):
        return []
    between = [_bounded(float(one)) for one in said[1:count]]
    # Nothing follows the last frame: it is shown for as long as the others are on average.
    return [*between, sum(between) / len(between)]


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _number(dataset: Dataset, tag: str) -> float | None:
    found = dataset.get(tag, {}).get("Value") or [None]
    return float(found[0]) if _is_time(found[0]) else None


def _bounded(milliseconds: float) -> float:
    return min(max(milliseconds, _SHORTEST), _LONGEST)
