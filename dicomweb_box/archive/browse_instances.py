"""The instances of one series, a page at a time."""

from dataclasses import dataclass, replace
from typing import Any

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.browse_order import Part, Sort
from dicomweb_box.archive.conditions import Parameters
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row

_ORDER = Sort(
    name="InstanceNumber",
    # What has no number comes first.
    parts=(Part("coalesce(instance.instance_number, -2147483649)"), Part("instance.instance_uid")),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One instance as lists show it."""

    instance_uid: str
    number: int | None
    sop_class_uid: str
    transfer_syntax_uid: str
    rows: int | None
    columns: int | None
    frames: int | None
    """None where it has no Number of Frames."""
    size: int
    stored_at: str
    place: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some of them, by their numbers."""

    instances: tuple[Instance, ...]
    before: bool
    behind: bool


async def page(
    box: Box,
    study_uid: str,
    series_uid: str,
    *,
    place: tuple[Any, ...] | None = None,
    backwards: bool = False,
    limit: int = 100,
    scope: Scope,
    actor: Actor,
) -> Page:
    """The page behind (or before) a place; an empty one where this scope sees no such series."""
    del actor  # reading is not recorded; the scope says what may be seen
    sort = _ORDER.backwards() if backwards else _ORDER
    bind = Parameters()
    seen, params = visibility.series_condition(scope)
    bind.values.update(params)
    where = (
        f" from study cross join series cross join instance where study.realm = {bind(scope.realm)}"
        f" and study.study_uid = {bind(study_uid)} and series.study_id = study.id"
        f" and series.series_uid = {bind(series_uid)} and instance.series_id = series.id"
        f" and instance.state = 'current' and {seen}"
    )

    async def work(r: Reader) -> list[Row]:
        rows: list[Row] = []
        for beyond in sort.beyond(place, bind) if place else ("1 = 1",):
            if len(rows) <= limit:
                sql = f"select {_COLUMNS}, {sort.columns}{where} and {beyond} order by {sort.sql}"
                rows += await r.fetch_all(f"{sql} limit {limit + 1 - len(rows)}", bind.values)
        return rows

    rows = await box.database.read(work)
    more, found = len(rows) > limit, tuple(_instance(row, sort) for row in rows[:limit])
    if not scope.identities:
        found = tuple(replace(one, stored_at="") for one in found)
    if backwards:
        return Page(instances=found[::-1], before=more, behind=True)
    return Page(instances=found, before=place is not None, behind=more)


_COLUMNS = (
    "instance.instance_uid, instance.instance_number, instance.sop_class_uid, instance.transfer_syntax_uid,"
    ' instance."rows", instance."columns", instance.number_of_frames, instance.size, instance.stored_at'
)


def _instance(row: Row, sort: Sort) -> Instance:
    return Instance(
        instance_uid=row["instance_uid"],
        number=row["instance_number"],
        sop_class_uid=row["sop_class_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        rows=row["rows"],
        columns=row["columns"],
        frames=row["number_of_frames"],
        size=row["size"],
        stored_at=row["stored_at"],
        place=tuple(sort.values(row)),
    )
