"""What an address says of a list: search, columns, order, page. Each view has an address to keep and send.

Matching keys have QIDO-RS's names, so that a page's query can be pasted behind /dicom-web/studies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal
from urllib.parse import urlencode

import orjson

from dicomweb_box.archive import browse_words, opaque
from dicomweb_box.archive.browse import Ask
from dicomweb_box.archive.browse_filters import Filters
from dicomweb_box.archive.browse_order import NEWEST, falls_first, sorts
from dicomweb_box.archive.unidentified import BY_UID
from dicomweb_box.box import Box
from dicomweb_box.errors import BadQuery, NotFound
from dicomweb_box.web import days
from dicomweb_box.web.columns import Column, chosen, open_ones, usual

Level = Literal["study", "series"]
_PLACE = "place in a list"
SIZES = (25, 50, 100)
KEYS: Mapping[Level, tuple[str, ...]] = {
    "study": (
        "PatientName", "PatientID", "StudyDate", "ModalitiesInStudy", "BodyPartExamined", "AccessionNumber",
        "StudyDescription", "Labels",
    ),
    "series": (
        "PatientName", "PatientID", "StudyDate", "Modality", "BodyPartExamined", "AccessionNumber",
        "SeriesDescription", "Labels",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class View:
    """One list as an address names it."""

    level: Level
    path: str
    given: Mapping[str, str]
    """What is searched for, by its name in the address: `q`, `source` and keys of QIDO-RS."""
    columns: tuple[Column, ...]
    order: str
    limit: int
    after: str = ""
    """A sealed place that the page begins behind."""
    before: str = ""
    """A sealed place that the page ends before."""
    patient: tuple[str, str] | None = None
    """Issuer and ID of the one patient whose studies these are."""
    identities: bool = True
    """Whether it may tell who patients are."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query of its address."""
        pairs = list(self.given.items())
        if self.identities and self.columns != usual(self.level):
            pairs.append(("columns", ",".join(column.name for column in self.columns)))
        if self.order != self.usual_order:
            pairs.append(("orderby", self.order))
        if self.limit != SIZES[0]:
            pairs.append(("limit", str(self.limit)))
        pairs += [(name, value) for name, value in (("after", self.after), ("before", self.before)) if value]
        return pairs

    @property
    def address(self) -> str:
        """Where it is."""
        return f"{self.path}?{urlencode(self.pairs, safe=',*')}" if self.pairs else self.path

    @property
    def usual_order(self) -> str:
        """The order that it comes in unasked."""
        return NEWEST if self.identities else BY_UID

    @property
    def narrowed(self) -> bool:
        """Whether more than words is searched for."""
        return bool(self.given.keys() - {"q"})

    def first(self) -> "View":
        """Its first page."""
        return replace(self, after="", before="")

    def by(self, sort: str) -> "View":
        """The same sorted by this; turned round where it is so already."""
        asked = f"-{sort}" if falls_first(sort) else sort
        if self.order == asked:
            asked = asked.removeprefix("-") if asked.startswith("-") else f"-{asked}"
        return replace(self.first(), order=asked)

    def sorted_by(self, sort: str | None) -> str | None:
        """How a column is sorted, as `aria-sort` says it; None where it is not."""
        if sort is None or self.order.lstrip("-") != sort:
            return None
        return "descending" if self.order.startswith("-") else "ascending"

    def keys(self, today: date) -> list[tuple[str, str]]:
        """What is searched for, in QIDO-RS's words alone."""
        named = [(name, value) for name, value in self.given.items() if name in KEYS[self.level]]
        return [
            (name, days.resolved(value, today) if name == "StudyDate" else value) for name, value in named
        ]


def view_of(level: Level, path: str, pairs: Sequence[tuple[str, str]]) -> View:
    """The view that a query asks for; raises BadQuery for an order, a size or columns that there are not."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if value.strip():
            found.setdefault(name, []).append(value.strip())
    if found.keys() & {"from", "to"} and found.get("StudyDate", [""])[0] not in days.PRESETS:
        first, last = (found.get(name, [""])[0] for name in ("from", "to"))
        found["StudyDate"] = [days.between(first, last)]
    given = {name: ",".join(found[name]) for name in ("q", *KEYS[level], "source") if name in found}
    names = [name for value in found.get("columns", ()) for name in value.split(",")]
    return View(
        level=level,
        path=path,
        given=given,
        columns=chosen(level, names),
        order=_order(level, found),
        limit=_limit(found),
        after=found.get("after", [""])[0],
        before=found.get("before", [""])[0],
    )


def open_view(view: View, *, ordered: bool) -> View:
    """The view without what tells who patients are; by UID unless it is `ordered` as its address says."""
    order = view.order if ordered else BY_UID
    return replace(view, columns=open_ones(view.level), order=order, identities=False)


def _order(level: Level, found: Mapping[str, Sequence[str]]) -> str:
    order = found.get("orderby", [NEWEST])[0]
    if order.removeprefix("-") not in sorts(level):
        raise BadQuery(f"orderby is not one of {', '.join(sorts(level))}, alone or with - in front.")
    return order


def _limit(found: Mapping[str, Sequence[str]]) -> int:
    text = found.get("limit", [str(SIZES[0])])[0]
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= SIZES[-1]):
        raise BadQuery(f"limit is not a number from 1 to {SIZES[-1]}.")
    return int(text)


async def ask_of(box: Box, view: View) -> Ask:
    """The view as the archive is asked for it; raises BadQuery for a place of another list."""
    today = box.clock().astimezone().date()
    keys = view.keys(today)
    part = ""
    if view.level == "study":
        # No attribute of a study: PS3.4 Table C.6-2. Here a series of it has to have it.
        part = next((value for name, value in keys if name == "BodyPartExamined"), "")
        keys = [(name, value) for name, value in keys if name != "BodyPartExamined"]
    place = view.after or view.before
    return Ask(
        level=view.level,
        keys=tuple(keys),
        words=browse_words.words_of(view.given.get("q", "")),
        filters=Filters(source=view.given.get("source", ""), body_part=part, patient=view.patient),
        order=view.order,
        limit=view.limit,
        place=await _place(box, view, place) if place else None,
        backwards=bool(view.before) and not view.after,
    )


async def sealed(box: Box, view: View, place: Sequence[Any]) -> str:
    """A place in the view's order, for an address; sealed, since a row's values may be a patient's."""
    return await opaque.seal(box, _PLACE, orjson.dumps([view.level, view.order, *place]).decode())


async def _place(box: Box, view: View, text: str) -> tuple[Any, ...]:
    try:
        level, order, *place = orjson.loads(await opaque.unseal(box, _PLACE, text))
    except NotFound:
        level, order, place = None, None, []
    if (level, order) != (view.level, view.order):
        raise BadQuery("The address names no place in this list; begin with its first page.")
    return tuple(place)
