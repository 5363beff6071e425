"""Attributes declared for search: any attribute of an instance, looked up instead of scanned.

A declared attribute is filled from the instances already held, in steps that can stop and go on, and kept
for each instance that becomes current. While it is being filled it is not searched.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import SYSTEM, Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import series_dictionary
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Reader, Row, Writer, in_list
from dicomweb_box.dicom import json_model, overlay
from dicomweb_box.dicom.attribute_path import AttributePath, parse, values
from dicomweb_box.dicom.attributes import BY_TAG, indexed_value, kind_of
from dicomweb_box.errors import BadQuery

_STEP = 500
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """One declared attribute."""

    id: int
    path: AttributePath
    ready: bool
    """Whether every instance held has its values; before, it is not searched."""
    filled_to: int
    declared_at: str


async def declare(box: Box, path: str, *, actor: Actor = SYSTEM) -> Declared:
    """Declare an attribute by keyword, tag or dotted path, and return it; `fill` then gives it its values.

    Declaring it again changes nothing. Raises BadQuery for what names no attribute or has an index.
    """
    attribute = parse(path)
    if attribute.vr in _BINARY:
        raise BadQuery("A binary value cannot be searched.")
    if str(attribute) in BY_TAG or attribute.vr == "SQ":
        raise BadQuery(
            "This attribute is searched already." if attribute.vr != "SQ" else "A sequence has no value."
        )

    async def work(w: Writer) -> Row:
        await w.execute(
            "insert into attribute (path, vr, state, declared_at) values (:path, :vr, 'filling', :now)"
            " on conflict (path) do nothing",
            {"path": str(attribute), "vr": attribute.vr, "now": box.clock().isoformat()},
        )
        row = await w.fetch_one(_SELECT + " where path = :path", {"path": str(attribute)})
        assert row is not None  # noqa: S101 - inserted or found in this transaction
        await audit.record(w, box, _told(attribute, actor, "declared"))
        return row

    return _read(await box.database.write(work))


async def declared(box: Box) -> list[Declared]:
    """Every declared attribute, in the order of declaration."""
    return [_read(row) for row in await box.database.fetch_all(_SELECT + " order by id")]


async def retract(box: Box, path: str, *, actor: Actor = SYSTEM) -> None:
    """Stop keeping an attribute for search; nothing happens where it was not declared."""
    attribute = parse(path)

    async def work(w: Writer) -> None:
        await w.execute("delete from attribute where path = :path", {"path": str(attribute)})
        await audit.record(w, box, _told(attribute, actor, "retracted"))

    await box.database.write(work)


def _told(attribute: AttributePath, actor: Actor, what: str) -> audit.Entry:
    return audit.Entry(actor=actor, action=Action.DECLARE, about={"attribute": str(attribute), "what": what})


_SELECT = "select id, path, vr, state, filled_to, declared_at from attribute"


def _read(row: Row) -> Declared:
    return Declared(
        id=row["id"],
        path=parse(row["path"]),
        ready=row["state"] == "ready",
        filled_to=row["filled_to"],
        declared_at=row["declared_at"],
    )


async def known(reader: Reader) -> list[Declared]:
    """The declared attributes, within one snapshot."""
    return [_read(row) for row in await reader.fetch_all(_SELECT + " order by id")]


def declared_values(path: AttributePath, dataset: Mapping[str, Any]) -> set[str]:
    """The distinct values of an instance (DICOM JSON object) as the index compares them."""
    kind = kind_of(path.vr)
    found = {searched_value(indexed_value(kind, value)) for value in values(dataset, path)}
    return found - {""}


def searched_value(indexed: Any) -> str:
    """An indexed value as text: equal values have equal text."""
    return "" if indexed is None else str(indexed)


async def index_arrivals(w: Writer, realm: str, arrivals: Sequence[tuple[str, bytes]]) -> None:
    """Keep the declared attributes of instances just become current: (SOP Instance UID, DICOM JSON)."""
    attributes = await known(w)
    if not attributes or not arrivals:
        return
    names, params = in_list("uid", [uid for uid, _ in arrivals])
    rows = await w.fetch_all(
        "select instance.id, instance.study_id, instance.series_id, instance.instance_uid, study.overlay"
        " from instance join study on study.id = instance.study_id"
        f" where instance.realm = :realm and instance.state = 'current' and instance.instance_uid in {names}",
        {"realm": realm, **params},
    )
    by_uid = {row["instance_uid"]: row for row in rows}
    kept: list[dict[str, Any]] = []
    for uid, json in arrivals:
        dataset = _as_given(by_uid[uid], json)
        for attribute in attributes:
            kept.extend(_values(attribute, by_uid[uid], dataset))
    await w.execute_many(_KEEP, kept)


async def refresh(w: Writer, study_ids: Sequence[int], tags: Collection[str]) -> None:
    """Give the instances of these studies anew their values of what is declared below one of these tags."""
    for attribute in await known(w):
        if attribute.path.head not in tags or not study_ids:
            continue
        names, params = in_list("study", study_ids)
        await w.execute(
            f"delete from attribute_value where attribute_id = :id and study_id in {names}",
            {**params, "id": attribute.id},
        )
        rows = await w.fetch_all(f"{_ROWS} where i.study_id in {names} and i.state = 'current'", params)
        await w.execute_many(_KEEP, _values_of_rows(attribute, rows))


def _as_given(row: Row, json: bytes) -> Mapping[str, Any]:
    dataset = json_model.top_level(json)
    return overlay.read(row["overlay"]).over(dataset) if row["overlay"] else dataset


_ROWS = (
    "select i.id, i.study_id, i.series_id, i.metadata, i.metadata_dictionary, i.state, s.dictionary,"
    " study.overlay from instance i left join series s on s.id = i.series_id"
    " left join study on study.id = i.study_id"
)


_KEEP = (
    "insert into attribute_value (attribute_id, value, study_id, series_id, instance_id)"
    " values (:attribute, :value, :study, :series, :instance) on conflict do nothing"
)


def _values(attribute: Declared, row: Row, dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    keys = {
        "attribute": attribute.id,
        "study": row["study_id"],
        "series": row["series_id"],
        "instance": row["id"],
    }
    return [{**keys, "value": value} for value in sorted(declared_values(attribute.path, dataset))]


async def fill(box: Box) -> bool:
    """Give the next few hundred instances their values of one attribute; False when all are ready.

    The worker calls it until it returns False. Each call is one transaction, and the next goes on where it
    ended.
    """
    waiting = [attribute for attribute in await declared(box) if not attribute.ready]
    if not waiting:
        return False
    attribute = waiting[0]
    rows = await box.database.fetch_all(
        f"{_ROWS} where i.id > :after order by i.id limit :step",
        {"after": attribute.filled_to, "step": _STEP},
    )
    kept = await in_thread(box, _values_of_rows, attribute, rows)
    filled_to = rows[-1]["id"] if rows else attribute.filled_to
    await box.database.write(lambda w: _keep(w, attribute, kept, filled_to, done=len(rows) < _STEP))
    return True


async def _keep(
    w: Writer, attribute: Declared, kept: list[dict[str, Any]], filled_to: int, *, done: bool
) -> None:
    # What was removed or replaced meanwhile is no longer current; nor may the attribute have been retracted.
    names, params = in_list("id", sorted({row["instance"] for row in kept}))
    current = {
        row["id"]
        for row in await w.fetch_all(
            f"select id from instance where state = 'current' and id in {names}", params
        )
    }
    if await w.fetch_value("select id from attribute where id = :id", {"id": attribute.id}) is None:
        return
    await w.execute_many(_KEEP, [row for row in kept if row["instance"] in current])
    await w.execute(
        "update attribute set filled_to = :filled_to, state = :state where id = :id",
        {"filled_to": filled_to, "state": "ready" if done else "filling", "id": attribute.id},
    )


def _values_of_rows(attribute: Declared, rows: Sequence[Row]) -> list[dict[str, Any]]:
    dictionaries: dict[int, series_dictionary.Dictionary] = {}
    kept: list[dict[str, Any]] = []
    for row in rows:
        if row["state"] == "current":
            json = series_dictionary.metadata_json(row, dictionaries)
            kept.extend(_values(attribute, row, _as_given(row, json)))
    return kept
