"""Labels: free words on studies and series, by hand or by rules, kept apart by who gave them.

A label is given to a study or series by UID, so that it outlives a rebuilt index. By hand and by each rule
are rows of their own: nothing done by hand removes what a rule gave, and no rule what was given by hand.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import visibility
from dicomweb_box.archive.label_name import fold, name_of
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer, in_list
from dicomweb_box.errors import Conflict, Forbidden, NotFound

MOST_LABELS = 5000
_AT_ONCE = 500
_NO_LABEL = "there is no such label"

T = TypeVar("T")
Target = tuple[str, str]
"""Study and Series Instance UID; "" as the latter: the study itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A label, and how many studies and series that the asking actor sees have it themselves."""

    id: str
    name: str
    studies: int
    series: int
    rules: tuple[str, ...]
    """Names of the rules that give it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A label of one study or series, and who gave it."""

    id: str
    name: str
    by_hand: bool
    actor: str
    """Who gave it by hand first; "" where nobody did."""
    at: str
    rules: tuple[tuple[str, str], ...]
    """Id and name of each rule that gave it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What became of a change by hand, counted in labels of studies and series."""

    added: int
    removed: int
    kept: int
    """Asked to be removed, but given by a rule, or to a study by those who see all of it."""


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
        await audit.record(w, box, _told(actor, [label_id], "made"))
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
        await audit.record(w, box, _told(actor, [label_id], "renamed"))

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
            f"{_CHANGE} select distinct :at, 'labelled', :realm, study_uid,"
            " case series_uid when '' then null else series_uid end, null, 'manual', :actor"
            " from label_member where label_id = :id",
            {**asked, "at": _now(box), "actor": actor.name},
        )
        await w.execute("delete from label_member where label_id = :id", {"id": label_id})
        await w.execute("delete from label where id = :id", {"id": label_id})
        await audit.record(w, box, _told(actor, [label_id], "deleted"))

    await box.database.write(work)


def _told(actor: Actor, label_ids: Sequence[str], what: str, study: str = "", count: int = 1) -> audit.Entry:
    """For the audit: labels by their keys, since their names are free words."""
    about = {"labels": list(label_ids), "what": what}
    return audit.Entry(actor=actor, action=Action.LABEL, study=study, about=about, count=count)


def _by_study(targets: Iterable[Target]) -> list[tuple[str, int]]:
    return sorted(Counter(study for study, _ in targets).items())


def _require_whole(scope: Scope) -> None:
    if not scope.whole:
        raise Forbidden("Labels are renamed and deleted by those who see the whole archive.")


async def change(
    box: Box,
    targets: Iterable[Target],
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    scope: Scope,
    actor: Actor,
) -> Changed:
    """Give labels to studies and series by hand, and take some away, by name.

    Raises BadRequest for what is no name, NotFound for a study or series that this actor does not see. What a
    rule gave stays. A scope that is decided by series gives a study's label to the series that it sees, and
    leaves what the study itself has: either would show, or hide, what is outside of it.
    """
    adding, removing = [name_of(text) for text in add], [name_of(text) for text in remove]
    wanted = list(dict.fromkeys(targets))

    async def work(w: Writer) -> Changed:
        at = _now(box)
        ids = await ensure(w, adding, scope=scope, actor=actor, at=at)
        gone = await known(w, scope, removing)
        added = removed = kept = 0
        for some in chunks(wanted, _AT_ONCE):
            seen = await _seen(w, some, scope)
            if not seen >= set(some):
                raise NotFound("some of these studies and series are not there")
            own, left = some, 0
            if scope.by_series:
                own = _series_of(some, seen)
                studies = [target for target in some if not target[1]]
                left = len(await _held(w, studies, gone, scope, "") if gone else ())
            new = await give(w, own, ids, scope=scope, actor=actor.name, at=at)
            old, by_rule = await _take(w, own, gone, scope)
            left += by_rule
            await record(w, [*new, *old], scope.realm, source="manual", actor=actor.name, at=at)
            added, removed, kept = added + len(new), removed + len(old), kept + left
            given, taken = _by_study(new), _by_study(old)
            await audit.record(
                w,
                box,
                *(_told(actor, ids, "given", study, count) for study, count in given),
                *(_told(actor, gone, "taken away", study, count) for study, count in taken),
            )
        return Changed(added=added, removed=removed, kept=kept)

    return await box.database.write(work)


async def visible(read: Reader, targets: Sequence[Target], scope: Scope) -> set[Target]:
    """Those of these studies and series that the scope sees."""
    return await _seen(read, targets, scope) & set(targets)


async def _seen(read: Reader, targets: Sequence[Target], scope: Scope) -> set[Target]:
    """What the scope sees of the studies named: they themselves, and each series."""
    condition, params = visibility.series_condition(scope)
    names, more = in_list("target", sorted({study for study, _ in targets}))
    rows = await read.fetch_all(
        "select study.study_uid, series.series_uid from study join series on series.study_id = study.id"
        f" where study.realm = :realm and study.study_uid in {names} and {condition}",
        {**params, **more, "realm": scope.realm},
    )
    seen = {(row["study_uid"], row["series_uid"]) for row in rows}
    return seen | {(study, "") for study, _ in seen}


def _series_of(targets: Sequence[Target], seen: Iterable[Target]) -> list[Target]:
    """The series among the targets, and those of their studies, that are seen."""
    studies = {study for study, series in targets if not series}
    named = {target for target in targets if target[1]}
    return sorted(named | {target for target in seen if target[1] and target[0] in studies})


async def give(
    w: Writer,
    targets: Sequence[Target],
    label_ids: Sequence[str],
    *,
    scope: Scope,
    actor: str,
    at: str,
    rule_id: str = "",
) -> list[Target]:
    """Give these labels; a target for each that it did not have yet from the same giver."""
    held = await _held(w, targets, label_ids, scope, rule_id)
    new = [(label, *target) for target in targets for label in label_ids if (label, *target) not in held]
    shared = {"realm": scope.realm, "rule": rule_id, "actor": actor, "at": at}
    await w.execute_many(
        "insert into label_member (label_id, study_uid, series_uid, rule_id, realm, actor, at)"
        " values (:label, :study, :series, :rule, :realm, :actor, :at) on conflict do nothing",
        [{**shared, "label": label, "study": study, "series": series} for label, study, series in new],
    )
    return [(study, series) for _, study, series in new]


async def _held(
    read: Reader, targets: Sequence[Target], label_ids: Sequence[str], scope: Scope, rule_id: str | None
) -> set[tuple[str, str, str]]:
    """The (label, study, series) that are given, by hand (""), by a rule, or (None) by any rule."""
    labels, params = in_list("label", label_ids)
    studies, more = in_list("study", sorted({study for study, _ in targets}))
    by = "rule_id <> ''" if rule_id is None else "rule_id = :rule"
    rows = await read.fetch_all(
        "select label_id, study_uid, series_uid from label_member"
        f" where realm = :realm and label_id in {labels} and study_uid in {studies} and {by}",
        {**params, **more, "realm": scope.realm} | ({} if rule_id is None else {"rule": rule_id}),
    )
    wanted = set(targets)
    return {tuple(row) for row in rows if (row["study_uid"], row["series_uid"]) in wanted}


async def known(read: Reader, scope: Scope, named: Sequence[str]) -> list[str]:
    """The ids of those of these labels that there are."""
    folded, params = in_list("folded", [fold(name) for name in named])
    rows = await read.fetch_all(
        f"select id from label where realm = :realm and folded in {folded}", {**params, "realm": scope.realm}
    )
    return [row["id"] for row in rows]


async def _take(
    w: Writer, targets: Sequence[Target], label_ids: Sequence[str], scope: Scope
) -> tuple[list[Target], int]:
    """Take labels away that were given by hand: whose, and how many stay because rules gave them too."""
    if not label_ids:
        return [], 0
    held = await _held(w, targets, label_ids, scope, "")
    kept = await _held(w, targets, label_ids, scope, None)
    await w.execute_many(
        "delete from label_member where label_id = :label and study_uid = :study and series_uid = :series"
        " and rule_id = ''",
        [{"label": label, "study": study, "series": series} for label, study, series in sorted(held)],
    )
    return [(study, series) for _, study, series in sorted(held)], len(kept)


_CHANGE = "insert into change (at, kind, realm, study_uid, series_uid, instance_uid, source, actor)"


async def record(
    w: Writer, targets: Iterable[Target], realm: str, *, source: str, actor: str, at: str
) -> None:
    """One row of the feed for each study and series whose labels changed."""
    shared = {"at": at, "realm": realm, "source": source, "actor": actor}
    await w.execute_many(
        f"{_CHANGE} values (:at, 'labelled', :realm, :study, :series, null, :source, :actor)",
        [{**shared, "study": study, "series": series or None} for study, series in dict.fromkeys(targets)],
    )


async def of_studies(
    box: Box, study_uids: Sequence[str], *, scope: Scope, actor: Actor
) -> dict[Target, list[Given]]:
    """The labels of these studies ("" as Series Instance UID) and of their series, by target, by name.

    Of what the scope does not see there are none.
    """
    del actor

    async def work(read: Reader) -> dict[Target, list[Given]]:
        studies, params = in_list("study", study_uids)
        rows = await read.fetch_all(
            "select label.id, label.name, member.study_uid, member.series_uid, member.actor, member.at,"
            " member.rule_id, rule.name as rule_name from label_member as member"
            " join label on label.id = member.label_id left join rule on rule.id = member.rule_id"
            f" where member.realm = :realm and member.study_uid in {studies}"
            " order by label.folded, member.rule_id",
            {**params, "realm": scope.realm},
        )
        grouped: dict[Target, dict[str, list[Row]]] = {}
        for row in rows:
            target = (row["study_uid"], row["series_uid"])
            grouped.setdefault(target, {}).setdefault(row["id"], []).append(row)
        seen = await visible(read, list(grouped), scope)
        return {
            target: [_given(held) for held in by_label.values()]
            for target, by_label in grouped.items()
            if target in seen
        }

    return await box.database.read(work)


def _given(rows: Sequence[Row]) -> Given:
    by_hand = next((row for row in rows if not row["rule_id"]), None)
    return Given(
        id=rows[0]["id"],
        name=rows[0]["name"],
        by_hand=by_hand is not None,
        actor=by_hand["actor"] if by_hand else "",
        at=(by_hand or rows[0])["at"],
        rules=tuple((row["rule_id"], row["rule_name"]) for row in rows if row["rule_name"] is not None),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How many of some studies and series have a label by hand, and by rules alone."""

    name: str
    by_hand: int
    by_rule: int


async def spread(box: Box, targets: Sequence[Target], *, scope: Scope, actor: Actor) -> list[Spread]:
    """The labels that any of these studies and series has, by name."""
    wanted, counted = set(targets), dict[str, list[int]]()
    for some in chunks(sorted({study for study, _ in targets}), _AT_ONCE):
        for target, held in (await of_studies(box, some, scope=scope, actor=actor)).items():
            for one in held if target in wanted else ():
                counted.setdefault(one.name, [0, 0])[0 if one.by_hand else 1] += 1
    return [
        Spread(name=name, by_hand=by_hand, by_rule=by_rule)
        for name, (by_hand, by_rule) in sorted(counted.items(), key=lambda item: fold(item[0]))
    ]


async def forget_gone(w: Writer, realm: str, targets: Iterable[Target]) -> None:
    """Take the labels from those of these series, and their studies, that are no longer there.

    What is rejected is: it may be restored.
    """
    for some in chunks(sorted(set(targets)), _AT_ONCE):
        series, params = in_list("series", sorted({series for _, series in some}))
        studies, more = in_list("study", sorted({study for study, _ in some}))
        await w.execute(
            f"delete from label_member where realm = :realm and study_uid in {studies}"
            f" and (series_uid = '' or series_uid in {series}) and not exists (select 1 from study"
            " left join series on series.study_id = study.id where study.realm = label_member.realm"
            " and study.study_uid = label_member.study_uid"
            " and (label_member.series_uid = '' or series.series_uid = label_member.series_uid))"
            " and not exists (select 1 from rejected_instance rejected"  # which may come back
            " where rejected.realm = label_member.realm and rejected.study_uid = label_member.study_uid"
            " and (label_member.series_uid = '' or rejected.series_uid = label_member.series_uid))",
            {**params, **more, "realm": realm},
        )


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most so many."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _now(box: Box) -> str:
    return box.clock().isoformat(timespec="microseconds")
