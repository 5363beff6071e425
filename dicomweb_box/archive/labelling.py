"""Labels given to studies and series, by hand and by rules, and taken away.

A label is given to a study or series by UID, so that it outlives a rebuilt index. By hand and by each rule
are rows of their own: nothing done by hand removes what a rule gave, and no rule what was given by hand.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import labels, visibility
from dicomweb_box.archive.label_name import name_of
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Writer, chunks, in_list
from dicomweb_box.errors import NotFound

_AT_ONCE = 500

Target = tuple[str, str]
"""Study and Series Instance UID; "" as the latter: the study itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What became of a change by hand, counted in labels of studies and series."""

    added: int
    removed: int
    kept: int
    """Asked to be removed, but given by a rule, or to a study by those who see all of it."""


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
        at = box.clock().isoformat(timespec="microseconds")
        ids = await labels.ensure(w, adding, scope=scope, actor=actor, at=at)
        gone = await labels.known(w, scope, removing)
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
                *(labels.told(actor, ids, "given", study, count) for study, count in given),
                *(labels.told(actor, gone, "taken away", study, count) for study, count in taken),
            )
        return Changed(added=added, removed=removed, kept=kept)

    return await box.database.write(work)


def _by_study(targets: Iterable[Target]) -> list[tuple[str, int]]:
    return sorted(Counter(study for study, _ in targets).items())


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


async def record(
    w: Writer, targets: Iterable[Target], realm: str, *, source: str, actor: str, at: str
) -> None:
    """One row of the feed for each study and series whose labels changed."""
    shared = {"at": at, "realm": realm, "source": source, "actor": actor}
    await w.execute_many(
        "insert into change (at, kind, realm, study_uid, series_uid, instance_uid, source, actor)"
        " values (:at, 'labelled', :realm, :study, :series, null, :source, :actor)",
        [{**shared, "study": study, "series": series or None} for study, series in dict.fromkeys(targets)],
    )


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
