"""Labels: free words for studies and series, which of them there are, and what becomes of one as a whole.

`labelling` gives them to studies and series and takes them away; `given_labels` tells what has which.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import visibility
from dicomweb_box.archive.label_name import fold, name_of
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer, in_list
from dicomweb_box.errors import Conflict, Forbidden, NotFound

MOST_LABELS = 5000
_NO_LABEL = "there is no such label"


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A label, and how many studies and series that the asking actor sees have it themselves."""

    id: str
    name: str
    studies: int
    series: int
    rules: tuple[str, ...]
    """Names of the rules that give it."""


async def every(box: Box, *, scope: Scope, actor: Actor) -> list[Label]:
    """The labels by name; of a partial scope those that something visible has."""
    del actor

    async def work(read: Reader) -> list[Label]:
        rows = await read.fetch_all(
            "select id, name from label where realm = :realm order by folded", {"realm": scope.realm}
        )
        counted, made = await _counts(read, scope), await _rules(read, scope)
        found = [_label(row, counted, made) for row in rows]
        return found if scope.whole else [label for label in found if label.studies or label.series]

    return await box.database.read(work)


async def names(box: Box, *, scope: Scope, actor: Actor) -> list[str]:
    """The names alone, for those who type one."""
    if not scope.whole:
        return [label.name for label in await every(box, scope=scope, actor=actor)]
    rows = await box.database.fetch_all(
        "select name from label where realm = :realm order by folded", {"realm": scope.realm}
    )
    return [row["name"] for row in rows]


async def label(box: Box, label_id: str, *, scope: Scope, actor: Actor) -> Label:
    """One label; NotFound where there is none that this actor may see."""
    del actor

    async def work(read: Reader) -> Label:
        row = await read.fetch_one(
            "select id, name from label where realm = :realm and id = :id",
            {"realm": scope.realm, "id": label_id},
        )
        if row is None:
            raise NotFound(_NO_LABEL)
        found = _label(row, await _counts(read, scope, label_id), await _rules(read, scope))
        if not (scope.whole or found.studies or found.series):
            raise NotFound(_NO_LABEL)
        return found

    return await box.database.read(work)


def _label(row: Row, counted: dict[str, tuple[int, int]], made: dict[str, list[str]]) -> Label:
    studies, series = counted.get(row["id"], (0, 0))
    return Label(
        id=row["id"],
        name=row["name"],
        studies=studies,
        series=series,
        rules=tuple(made.get(row["id"], ())),
    )


async def _counts(read: Reader, scope: Scope, label_id: str | None = None) -> dict[str, tuple[int, int]]:
    """By label, how many visible studies and series have it themselves."""
    only = "" if label_id is None else " and member.label_id = :label"
    visible, params = visibility.series_condition(scope)
    params = {**params, "realm": scope.realm} | ({} if label_id is None else {"label": label_id})
    seen = "" if scope.whole else f" and exists ({_SERIES_OF} and {visible})"
    rows = await read.fetch_all(
        "select member.label_id, member.series_uid = '' as whole, count(*) as held from"
        " (select distinct label_id, study_uid, series_uid from label_member as member"
        f" where member.realm = :realm{only}) as member"
        " join study on study.realm = :realm and study.study_uid = member.study_uid"
        f" where (member.series_uid = '' or exists ({_SERIES_OF} and series.series_uid = member.series_uid"
        f" and {visible})){seen} group by 1, 2",
        params,
    )
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        studies, series = found.get(row["label_id"], (0, 0))
        found[row["label_id"]] = (row["held"], series) if row["whole"] else (studies, row["held"])
    return found


_SERIES_OF = "select 1 from series where series.study_id = study.id"


async def _rules(read: Reader, scope: Scope) -> dict[str, list[str]]:
    if not scope.whole:
        return {}  # what rules there are is for those who see the whole archive
    rows = await read.fetch_all(
        "select label_id, name from rule where realm = :realm and ended = 0 order by folded",
        {"realm": scope.realm},
    )
    made: dict[str, list[str]] = {}
    for row in rows:
        made.setdefault(row["label_id"], []).append(row["name"])
    return made


async def make(box: Box, name: str, *, scope: Scope, actor: Actor) -> str:
    """The id of a label with this name, which is made where there is none; Forbidden for a partial scope."""
    name = name_of(name)
    if not scope.whole:
        raise Forbidden(
            "Labels that nothing has yet are made by those who see the whole archive; give it to something."
        )

    async def work(w: Writer) -> str:
        label_id = (await ensure(w, [name], scope=scope, actor=actor, at=_now(box)))[0]
        await audit.record(w, box, told(actor, [label_id], "made"))
        return label_id

    return await box.database.write(work)


async def ensure(w: Writer, named: Sequence[str], *, scope: Scope, actor: Actor, at: str) -> list[str]:
    """The ids of the labels with these names (of `name_of`), made where new; Conflict for too many."""
    ids = []
    for name in named:
        of_name = {"realm": scope.realm, "folded": fold(name)}
        row = {**of_name, "id": secrets.token_urlsafe(9), "name": name, "at": at, "by": actor.name}
        await w.execute(
            "insert into label (id, realm, name, folded, made_at, made_by)"
            " values (:id, :realm, :name, :folded, :at, :by) on conflict (realm, folded) do nothing",
            row,
        )
        ids.append(
            await w.fetch_value("select id from label where realm = :realm and folded = :folded", of_name)
        )
    held = await w.fetch_value("select count(*) from label where realm = :realm", {"realm": scope.realm})
    if held > MOST_LABELS:
        raise Conflict(f"There are {MOST_LABELS} labels, and there can be no more.")
    return ids


async def known(read: Reader, scope: Scope, named: Sequence[str]) -> list[str]:
    """The ids of those of these labels that there are."""
    folded, params = in_list("folded", [fold(name) for name in named])
    rows = await read.fetch_all(
        f"select id from label where realm = :realm and folded in {folded}", {**params, "realm": scope.realm}
    )
    return [row["id"] for row in rows]


async def rename(box: Box, label_id: str, name: str, *, scope: Scope, actor: Actor) -> None:
    """Give a label another name; Conflict where another label has it, NotFound without such a label.

    Forbidden for a partial scope.
    """
    name = name_of(name)
    _require_whole(scope)

    async def work(w: Writer) -> None:
        of_name = {"realm": scope.realm, "folded": fold(name), "id": label_id}
        taken = await w.fetch_value(
            "select id from label where realm = :realm and folded = :folded and id <> :id", of_name
        )
        if taken is not None:
            raise Conflict("Another label has this name.")
        changed = await w.fetch_value(
            "update label set name = :name, folded = :folded where realm = :realm and id = :id returning id",
            {**of_name, "name": name},
        )
        if changed is None:
            raise NotFound(_NO_LABEL)
        await audit.record(w, box, told(actor, [label_id], "renamed"))

    await box.database.write(work)


async def delete(box: Box, label_id: str, *, scope: Scope, actor: Actor) -> None:
    """Delete a label, from everything that has it; Conflict while a rule gives it, NotFound without it.

    Forbidden for a partial scope.
    """
    _require_whole(scope)

    async def work(w: Writer) -> None:
        asked = {"realm": scope.realm, "id": label_id}
        if await w.fetch_value("select id from label where realm = :realm and id = :id", asked) is None:
            raise NotFound(_NO_LABEL)
        rules = await w.fetch_value("select count(*) from rule where label_id = :id", {"id": label_id})
        if rules:
            raise Conflict("A rule gives this label: delete the rule, or let it give another, first.")
        await w.execute(
            "insert into change (at, kind, realm, study_uid, series_uid, instance_uid, source, actor)"
            " select distinct :at, 'labelled', :realm, study_uid,"
            " case series_uid when '' then null else series_uid end, null, 'manual', :actor"
            " from label_member where label_id = :id",
            {**asked, "at": _now(box), "actor": actor.name},
        )
        await w.execute("delete from label_member where label_id = :id", {"id": label_id})
        await w.execute("delete from label where id = :id", {"id": label_id})
        await audit.record(w, box, told(actor, [label_id], "deleted"))

    await box.database.write(work)


def _require_whole(scope: Scope) -> None:
    if not scope.whole:
        raise Forbidden("Labels are renamed and deleted by those who see the whole archive.")


def told(actor: Actor, label_ids: Sequence[str], what: str, study: str = "", count: int = 1) -> audit.Entry:
    """For the audit: labels by their keys, since their names are free words."""
    about = {"labels": list(label_ids), "what": what}
    return audit.Entry(actor=actor, action=Action.LABEL, study=study, about=about, count=count)


def _now(box: Box) -> str:
    return box.clock().isoformat(timespec="microseconds")
