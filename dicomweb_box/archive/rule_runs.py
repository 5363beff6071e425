"""The labels of rules, kept true: by the feed as things change, and by a run over all when a rule does.

What is done at once is bounded. Each piece is computed from a snapshot and written only where neither the
rules nor its own place have moved meanwhile; what changed since the snapshot comes by the feed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import changes, labelling, rule_truth, rules, series_dictionary
from dicomweb_box.archive.labelling import Target
from dicomweb_box.archive.rule_truth import Asked, Fulfilled
from dicomweb_box.archive.rules import READER, Rule
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer, chunks, in_list
from dicomweb_box.dicom.header_conditions import conditions

_CHANGES, _STUDIES, _MEMBERS = 500, 40, 1000
# A new instance can only make more true; whatever else happens to a study, it is looked at as a whole.
_ARRIVALS, _OF_NO_MATTER = ("stored",), ("held", "labelled")


async def step(box: Box) -> bool:
    """One piece of what is to be done for the rules; False when nothing is left."""
    known = await box.database.read(rules.known)
    if not known:
        return False
    followed = await _follow(box, [rule for rule in known if rule.enabled])
    waiting = next((rule for rule in known if rule.run != "done"), None)
    if waiting is None:
        return followed
    await run_piece(box, waiting)
    return True


async def run_piece(box: Box, rule: Rule) -> None:
    """One piece of a rule's run: some studies, or some labels of one that gives none any more."""
    if not rule.enabled:
        await _take_away(box, rule)
    elif rule.run == "waiting":
        await _begin(box, rule)
    else:
        await _go_on(box, rule)


# By the feed


async def _follow(box: Box, enabled: list[Rule]) -> bool:
    """Apply the rules to what changed; False where nothing did."""
    if not enabled:
        return False
    before = await box.database.read(lambda read: changes.cursor(read, READER))
    rows, behind = await box.database.read(lambda read: changes.after(read, before, _CHANGES))
    if not rows:
        return False
    pieces = []
    for realm in sorted({row["realm"] for row in rows}):
        of_realm = [rule for rule in enabled if rule.realm == realm]
        if of_realm:
            own = [row for row in rows if row["realm"] == realm]
            pieces.append(await _changed(box, realm, of_realm, own))
    await box.database.write(lambda w: _write_followed(w, box, pieces, before, behind))
    return True


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """What was found out: which rules hold where, and in which studies that is all."""

    realm: str
    rules: Sequence[Rule]
    fulfilled: Fulfilled
    whole: frozenset[str]
    """Studies in which the rules hold nowhere else."""


async def _changed(box: Box, realm: str, of_realm: list[Rule], rows: Sequence[Row]) -> _Piece:
    asked = [_asked(rule) for rule in of_realm]
    matter = [row for row in rows if row["kind"] not in _OF_NO_MATTER]
    whole = sorted({row["study_uid"] for row in matter if row["kind"] not in _ARRIVALS})
    arrived = [row["instance_uid"] for row in matter if row["study_uid"] not in whole]
    fulfilled = await rule_truth.of_studies(box, realm, whole, asked) if whole else set()
    fulfilled |= await _of_arrivals(box, realm, arrived, asked)
    return _Piece(realm=realm, rules=of_realm, fulfilled=fulfilled, whole=frozenset(whole))


async def _of_arrivals(box: Box, realm: str, instance_uids: list[str], asked: list[Asked]) -> Fulfilled:
    found: Fulfilled = set()
    for some in chunks(dict.fromkeys(instance_uids), 100):
        names, params = in_list("uid", some)
        rows = await box.database.fetch_all(
            "select instance.metadata, instance.metadata_dictionary, instance.series_id, instance.source,"
            " series.dictionary, series.series_uid, study.study_uid, study.overlay from instance"
            " join series on series.id = instance.series_id join study on study.id = series.study_id"
            f" where instance.realm = :realm and instance.state = 'current' and instance_uid in {names}",
            {**params, "realm": realm},
        )
        await in_thread(box, _examine, rows, asked, found)
    return found


def _examine(rows: Sequence[Row], asked: list[Asked], found: Fulfilled) -> None:
    dictionaries: dict[int, series_dictionary.Dictionary] = {}
    for row in rows:
        claims = [(rule, (rule.id, rule.target(row["study_uid"], row["series_uid"]))) for rule in asked]
        still = [(rule, claim) for rule, claim in claims if claim not in found]
        if still:
            dataset = rule_truth.header(row, dictionaries)
            found |= {claim for rule, claim in still if rule.conditions.accept(dataset, row["source"])}


async def _write_followed(
    w: Writer, box: Box, pieces: list[_Piece], before: changes.Cursor, behind: changes.Cursor
) -> None:
    for piece in pieces:
        if not await _unchanged(w, piece.rules):
            return
    if await changes.advance(w, READER, before, behind):
        for piece in pieces:
            await _settle(w, box, piece)


async def _unchanged(w: Writer, of_snapshot: Iterable[Rule]) -> bool:
    """Whether these rules are still what they were."""
    versions = {rule.id: rule.version for rule in of_snapshot}
    names, params = in_list("rule", versions)
    rows = await w.fetch_all(f"select id, version from rule where id in {names}", params)
    return {row["id"]: row["version"] for row in rows} == versions


def _asked(rule: Rule) -> Asked:
    return Asked(id=rule.id, conditions=conditions(rule.conditions), level=rule.level)


# What a run does


async def _begin(box: Box, rule: Rule) -> None:
    async def work(w: Writer) -> None:
        await w.execute(
            "update rule set run = 'running', run_after = '', run_done = 0, run_total ="
            " (select count(*) from study where study.realm = rule.realm)"
            " where id = :id and version = :version and run = 'waiting'",
            {"id": rule.id, "version": rule.version},
        )

    await box.database.write(work)


async def _go_on(box: Box, rule: Rule) -> None:
    rows = await box.database.fetch_all(
        "select study_uid from study where realm = :realm and study_uid > :after"
        " order by study_uid limit :most",
        {"realm": rule.realm, "after": rule.run_after, "most": _STUDIES},
    )
    studies = [row["study_uid"] for row in rows]
    fulfilled = await rule_truth.of_studies(box, rule.realm, studies, [_asked(rule)]) if studies else set()
    piece = _Piece(realm=rule.realm, rules=[rule], fulfilled=fulfilled, whole=frozenset(studies))

    async def work(w: Writer) -> None:
        if not await _unchanged(w, [rule]) or not await _still_at(w, rule):
            return
        await _settle(w, box, piece)
        if len(studies) == _STUDIES:
            await _move(w, rule, studies[-1], rule.run_done + len(studies), "running")
        elif not await _drop(w, box, rule, "and label_id <> :label"):
            await _move(w, rule, "", rule.run_done + len(studies), "done")

    await box.database.write(work)


async def _still_at(w: Writer, rule: Rule) -> bool:
    row = await w.fetch_one("select run, run_after from rule where id = :id", {"id": rule.id})
    return row is not None and (row["run"], row["run_after"]) == (rule.run, rule.run_after)


async def _move(w: Writer, rule: Rule, after: str, done: int, run: str) -> None:
    await w.execute(
        "update rule set run_after = :after, run_done = :done, run = :run where id = :id",
        {"id": rule.id, "after": after, "done": done, "run": run},
    )


async def _take_away(box: Box, rule: Rule) -> None:
    """Take some labels of a rule that is switched off or deleted; the rule itself when none is left."""

    async def work(w: Writer) -> None:
        if not await _unchanged(w, [rule]) or await _drop(w, box, rule, ""):
            return
        if rule.ended:
            await w.execute("delete from rule where id = :id", {"id": rule.id})
        else:
            await _move(w, rule, "", 0, "done")

    await box.database.write(work)


async def _drop(w: Writer, box: Box, rule: Rule, more: str) -> bool:
    """Take away some labels that the rule gave, whatever has them; False where there was none."""
    rows = await w.fetch_all(
        f"select label_id, study_uid, series_uid from label_member where rule_id = :rule {more} limit :most",
        {"rule": rule.id, "most": _MEMBERS} | ({"label": rule.label_id} if more else {}),
    )
    await _remove(w, box, rule, [tuple(row) for row in rows])
    return bool(rows)


# What is written


async def _settle(w: Writer, box: Box, piece: _Piece) -> None:
    """Give the rules' labels where they hold, and take them away where they do not."""
    for rule in piece.rules:
        holds = {target for rule_id, target in piece.fulfilled if rule_id == rule.id}
        await _give(w, box, rule, sorted(holds))
        studies, params = in_list("study", sorted(piece.whole))
        rows = await w.fetch_all(
            "select label_id, study_uid, series_uid from label_member"
            f" where rule_id = :rule and study_uid in {studies}",
            {**params, "rule": rule.id},
        )
        wrong = [
            tuple(row)
            for row in rows
            if row["label_id"] != rule.label_id or (row["study_uid"], row["series_uid"]) not in holds
        ]
        await _remove(w, box, rule, wrong)


async def _give(w: Writer, box: Box, rule: Rule, targets: list[Target]) -> None:
    at, scope = _now(box), Scope(realm=rule.realm)
    for some in chunks(targets, _CHANGES):
        new = await labelling.give(
            w, some, [rule.label_id], scope=scope, actor="rule", at=at, rule_id=rule.id
        )
        await labelling.record(w, new, rule.realm, source=f"rule:{rule.id}", actor="rule", at=at)


async def _remove(w: Writer, box: Box, rule: Rule, held: list[Any]) -> None:
    await w.execute_many(
        "delete from label_member where label_id = :label and study_uid = :study and series_uid = :series"
        " and rule_id = :rule",
        [
            {"label": label, "study": study, "series": series, "rule": rule.id}
            for label, study, series in held
        ],
    )
    targets = [(study, series) for _, study, series in held]
    await labelling.record(w, targets, rule.realm, source=f"rule:{rule.id}", actor="rule", at=_now(box))


def _now(box: Box) -> str:
    return box.clock().isoformat(timespec="microseconds")


# For people who ask


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a rule would label, as far as it was looked."""

    matches: int
    studies: int
    """Looked at, the newest first."""
    more: bool
    """There are others, which were not looked at."""


async def preview(
    box: Box, pairs: Sequence[tuple[str, str]], level: rules.Target, *, scope: Scope, most: int = 200
) -> Preview:
    """How many studies or series some conditions hold of, among the newest; BadQuery where they say nothing.

    Of each series a few hundred instances are read at most.
    """
    rules.require_whole(scope)
    asked = Asked(id="", conditions=conditions(pairs), level=level)
    rows = await box.database.fetch_all(
        "select study_uid from study where realm = :realm"
        " order by study_date desc, study_time desc, study_uid limit :most",
        {"realm": scope.realm, "most": most + 1},
    )
    studies = [row["study_uid"] for row in rows[:most]]
    found: Fulfilled = set()
    for some in chunks(studies, _STUDIES):
        found |= await rule_truth.of_studies(box, scope.realm, some, [asked], most=300)
    return Preview(matches=len(found), studies=len(studies), more=len(rows) > most)


async def run_to_end(box: Box, rule: Rule) -> Rule:
    """Run a rule until it is done, whoever else works on it; the rule as it then is."""
    while True:
        found = await box.database.read(rules.known)
        now = next((one for one in found if one.id == rule.id), None)
        if now is None or now.run == "done":
            return now or replace(rule, run="done")
        await run_piece(box, now)
