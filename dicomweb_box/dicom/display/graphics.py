"""Graphic and text objects of presentation states (PS3.3 C.10.5)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from dicomweb_box.dicom import json_values
from dicomweb_box.dicom.display.placement import Affine, Placed, Point
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.errors import Damaged

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Kind = Literal["POINT", "POLYLINE", "INTERPOLATED", "CIRCLE", "ELLIPSE"]
_KINDS: tuple[Kind, ...] = ("POINT", "POLYLINE", "INTERPOLATED", "CIRCLE", "ELLIPSE")
_STEPS = 12
_ROUND = 72
MOST_POINTS, MOST_CORNERS, MOST_LETTERS = 100_000, 10_000, 10_000
"""Points of one state, corners of a filled shape, letters of a text: drawing takes time for each."""
_FAR = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Graphic:
    """A line or shape; its points are of the frame, or where `display` of the displayed area, 0 to 1."""

    kind: Kind
    points: tuple[Point, ...]
    display: bool
    filled: bool
    layer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """Words in a box, or beside an anchor point, or both."""

    text: str
    box: tuple[Point, Point] | None
    box_display: bool
    anchor: Point | None
    anchor_display: bool
    anchor_visible: bool
    layer: str


def graphics_of(items: Iterable[Dataset]) -> tuple[tuple[Graphic, ...], tuple[Text, ...]]:
    """The objects of the items of a Graphic Annotation Sequence; raises Damaged where they are too many."""
    graphics: list[Graphic] = []
    texts: list[Text] = []
    for item in items:
        layer = json_values.text(item, "00700002")
        found = (_graphic(one, layer) for one in json_values.items(item, "00700009"))
        graphics += [one for one in found if one is not None]
        texts += [_text(one, layer) for one in json_values.items(item, "00700008")]
    if sum(len(one.points) for one in graphics) > MOST_POINTS or sum(map(_letters, texts)) > MOST_LETTERS:
        raise Damaged(f"a presentation state draws more than {MOST_POINTS} points or {MOST_LETTERS} letters")
    if any(one.filled and len(one.points) > MOST_CORNERS for one in graphics):
        raise Damaged(f"a presentation state fills a shape of more than {MOST_CORNERS} corners")
    return tuple(graphics), tuple(texts)


def draw_graphic(draw: "ImageDraw", placed: Placed, graphic: Graphic, ink: Any) -> None:
    """Draw a shape as thick as it is seen well in a picture so large."""
    to = placed.of_display if graphic.display else placed.of_frame
    width = _thickness(placed)
    if graphic.kind == "POINT":
        for x, y in map(to, graphic.points):
            if max(abs(x), abs(y)) > _FAR:
                continue
            draw.ellipse((x - width, y - width, x + width, y + width), fill=ink)
        return
    line = [to(point) for point in _line(graphic)]
    closed = line[0] == line[-1]
    if graphic.filled and closed and len(line) > 2:
        draw.polygon([_within(point) for point in line], fill=ink)
    elif len(line) > 1:
        _draw_line(draw, placed, line, ink, width)


def draw_text(draw: "ImageDraw", placed: Placed, text: Text, ink: Any, shown: Any) -> None:
    """Write a text upright, as large as its box allows; `shown` gives a line in letters that a font has."""
    from PIL import ImageFont

    size = max(9.0, min(placed.picture.size) / 32)
    anchor = _to(placed, text.anchor, text.anchor_display)
    place = None if anchor is None else (anchor[0] + size / 2, anchor[1] - size / 2)
    if text.box is not None:
        ends = [_to(placed, corner, text.box_display) for corner in text.box]
        (left, top), (right, bottom) = (end or (0.0, 0.0) for end in ends)
        place = min(left, right), min(top, bottom)
        lines = text.text.count("\n") + 1
        size = min(max(9.0, abs(bottom - top) / lines * 0.8), size * 2)
    if place is None:
        return
    if anchor is not None and text.anchor_visible:
        _draw_line(draw, placed, [anchor, place], ink, _thickness(placed))
    if max(map(abs, place)) > _FAR:
        return  # nothing of it would be seen
    font = ImageFont.load_default(size)
    words = "\n".join(shown(line, font) for line in text.text.split("\n"))
    draw.multiline_text(place, words, fill=ink, font=font)


def _draw_line(draw: "ImageDraw", placed: Placed, line: list[Point], ink: Any, width: int) -> None:
    """Draw what of a line lies near the picture: Pillow walks along the rest of it, pixel by pixel."""
    reach = 2 * max(placed.picture.size)
    if all(-reach <= x <= reach and -reach <= y <= reach for x, y in line):
        draw.line(line, fill=ink, width=width, joint="curve")
        return
    for start, end in pairwise(line):
        near = _clipped(start, end, reach)
        if near is not None:
            draw.line(near, fill=ink, width=width)


def _clipped(start: Point, end: Point, reach: float) -> tuple[Point, Point] | None:
    """What of a line has coordinates from -reach to reach; None where nothing has."""
    first, last = 0.0, 1.0
    for begin, across in ((start[0], end[0] - start[0]), (start[1], end[1] - start[1])):
        if not (math.isfinite(begin) and math.isfinite(across)) or (not across and abs(begin) > reach):
            return None
        if across:
            low, high = sorted(((-reach - begin) / across, (reach - begin) / across))
            first, last = max(first, low), min(last, high)
    if first > last:
        return None
    return _along(start, end, first), _along(start, end, last)


def _along(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _within(point: Point) -> Point:
    return max(-_FAR, min(point[0], _FAR)), max(-_FAR, min(point[1], _FAR))


def _letters(text: Text) -> int:
    return len(text.text)


def _thickness(placed: Placed) -> int:
    return max(1, round(min(placed.picture.size) / 400))


def _to(placed: Placed, point: Point | None, display: bool) -> Point | None:
    to: Affine = placed.of_display if display else placed.of_frame
    return None if point is None else to(point)


def _line(graphic: Graphic) -> list[Point]:
    points = list(graphic.points)
    if graphic.kind == "CIRCLE":
        (x, y), edge = points[0], points[1]
        radius = math.dist(points[0], edge)
        return _ellipse((x, y), (radius, 0), (0, radius))
    if graphic.kind == "ELLIPSE":  # ends of the major, then of the minor axis
        first, second, third, fourth = points[:4]
        centre = ((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
        return _ellipse(
            centre,
            ((second[0] - first[0]) / 2, (second[1] - first[1]) / 2),
            ((fourth[0] - third[0]) / 2, (fourth[1] - third[1]) / 2),
        )
    return _curve(points) if graphic.kind == "INTERPOLATED" else points


def _ellipse(centre: Point, major: Point, minor: Point) -> list[Point]:
    angles = [2 * math.pi * step / _ROUND for step in range(_ROUND)]
    line = [
        (
            centre[0] + major[0] * math.cos(angle) + minor[0] * math.sin(angle),
            centre[1] + major[1] * math.cos(angle) + minor[1] * math.sin(angle),
        )
        for angle in angles
    ]
    return [*line, line[0]]


def _curve(points: list[Point]) -> list[Point]:
    """A smooth line through the points (PS3.3 C.10.5.1.2 leaves to us which)."""
    if len(points) < 3:
        return points
    around = [points[0], *points, points[-1]]
    line = [points[0]]
    for before, start, end, after in zip(around, around[1:], around[2:], around[3:], strict=False):
        line += [_between(before, start, end, after, step / _STEPS) for step in range(1, _STEPS + 1)]
    line[-1] = points[-1]
    return line


def _between(before: Point, start: Point, end: Point, after: Point, at: float) -> Point:
    """A point of the Catmull-Rom spline between `start` and `end`."""

    def one(a: float, b: float, c: float, d: float) -> float:
        return 0.5 * (
            2 * b + (c - a) * at + (2 * a - 5 * b + 4 * c - d) * at**2 + (3 * b - a - 3 * c + d) * at**3
        )

    return one(before[0], start[0], end[0], after[0]), one(before[1], start[1], end[1], after[1])


def _graphic(item: Dataset, layer: str) -> Graphic | None:
    kind = next((one for one in _KINDS if one == json_values.text(item, "00700023").upper()), None)
    numbers = json_values.numbers(item, "00700022")
    points = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    needed = {"POINT": 1, "CIRCLE": 2, "ELLIPSE": 4}.get(kind or "", 2)
    if kind is None or len(points) < needed:
        return None
    return Graphic(
        kind=kind,
        points=points,
        display=json_values.text(item, "00700005").upper() == "DISPLAY",
        filled=json_values.text(item, "00700024").upper() == "Y",
        layer=layer,
    )


def _text(item: Dataset, layer: str) -> Text:
    first, last = json_values.numbers(item, "00700010"), json_values.numbers(item, "00700011")
    anchor = json_values.numbers(item, "00700014")
    return Text(
        text=json_values.text(item, "00700006").replace("\r\n", "\n").replace("\r", "\n"),
        box=((first[0], first[1]), (last[0], last[1])) if len(first) == len(last) == 2 else None,
        box_display=json_values.text(item, "00700003").upper() == "DISPLAY",
        anchor=(anchor[0], anchor[1]) if len(anchor) == 2 else None,
        anchor_display=json_values.text(item, "00700004").upper() == "DISPLAY",
        anchor_visible=json_values.text(item, "00700015").upper() == "Y",
        layer=layer,
    )
