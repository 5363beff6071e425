"""Rules: what is decided about studies and series by themselves; here, which label they get.

A rule gives its label to every series (or study) of which at least one current instance fulfils all of its
conditions, and to no other. While it is switched off it gives none. `archive.rule_runs` keeps that so.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import changes, label_name, labels
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer
from dicomweb_box.dicom.header_conditions import conditions
from dicomweb_box.errors import BadRequest, Conflict, Forbidden, NotFound

READER = "rules"
"""The rules' name as a reader of the feed."""
MOST_RULES = 200
_ON, _OFF = "switched on", "switched off"
_LONGEST = 64

Target = Literal["study", "series"]
Run = Literal["waiting", "running", "done"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A rule as it is asked for."""

    name: str
    conditions: tuple[tuple[str, str], ...]
    """Attributes and values (dicom.header_conditions)."""
    level: Target
    """What is labelled."""
    label: str
    enabled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule as it is kept."""

    id: str
    realm: str
    name: str
    conditions: tuple[tuple[str, str], ...]
    level: Target
    label: str
    label_id: str
    enabled: bool
    ended: bool
    """It is being deleted, once its labels are gone."""
    version: int
    run: Run
    """Whether what is stored already has been gone through since the rule last changed."""
    run_after: str
    run_done: int
    run_total: int
    """Studies gone through, and to go through."""
    labelled: int = 0
    """How many studies or series have its label."""


async def every(box: Box, *, scope: Scope, actor: Actor) -> list[Rule]:
    """The rules by name."""
    del actor
    require_whole(scope)
    return await box.database.read(lambda read: known(read, scope.realm, counted=True))


async def rule(box: Box, rule_id: str, *, scope: Scope, actor: Actor) -> Rule:
    """One rule; NotFound without it."""
    found = await every(box, scope=scope, actor=actor)
    try:
        return next(one for one in found if one.id == rule_id)
    except StopIteration:
        raise NotFound("there is no such rule") from None


async def known(read: Reader, realm: str | None = None, *, counted: bool = False) -> list[Rule]:
    """The rules of a realm (None: of all) within one snapshot."""
    rows = await read.fetch_all(
        "select rule.*, label.name as label from rule join label on label.id = rule.label_id"
        " where cast(:realm as text) is null or rule.realm = :realm order by rule.folded",
        {"realm": realm},
    )
    held: dict[str, int] = {}
    if counted and rows:
        of_rules = await read.fetch_all(
            "select rule_id, count(*) as held from label_member where rule_id <> '' group by rule_id"
        )
        held = {row["rule_id"]: row["held"] for row in of_rules}
    return [_read(row, held.get(row["id"], 0)) for row in rows]


def _read(row: Row, labelled: int) -> Rule:
    return Rule(
        id=row["id"],
        realm=row["realm"],
        name=row["name"],
        conditions=tuple((name, value) for name, value in orjson.loads(row["conditions"])),
        level=row["level"],
        label=row["label"],
        label_id=row["label_id"],
        enabled=bool(row["enabled"]),
        ended=bool(row["ended"]),
        version=row["version"],
        run=row["run"],
        run_after=row["run_after"],
        run_done=row["run_done"],
        run_total=row["run_total"],
        labelled=labelled,
    )


def checked(wanted: Wanted) -> Wanted:
    """The same with its texts trimmed; BadRequest (BadQuery) where it cannot be meant."""
    name = " ".join(wanted.name.split())
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise BadRequest(f"A rule's name is 1 to {_LONGEST} printable characters.")
    if wanted.level not in ("study", "series"):
        raise BadRequest("A rule labels either a study or a series.")
    pairs = tuple((attribute.strip(), value.strip()) for attribute, value in wanted.conditions)
    conditions(pairs)
    return Wanted(
        name=name,
        conditions=pairs,
        level=wanted.level,
        label=label_name.name_of(wanted.label),
        enabled=wanted.enabled,
    )


async def make(box: Box, wanted: Wanted, *, scope: Scope, actor: Actor) -> str:
    """The id of a new rule, which the worker then runs; Conflict where there is one of this name."""
    wanted = checked(wanted)
    require_whole(scope)
    key = secrets.token_urlsafe(9)

    async def work(w: Writer) -> None:
        at = _now(box)
        held = await known(w, scope.realm)
        if len(held) >= MOST_RULES:
            raise Conflict(f"There are {MOST_RULES} rules, and there can be no more.")
        _require_free(held, wanted.name, None)
        await _begin(w, held)
        row = await _columns(w, wanted, scope, actor, at)
        row |= {"id": key, "realm": scope.realm, "made_at": at, "made_by": actor.name}
        row |= {"run": "waiting", "run_at": at}
        await w.execute(
            f"insert into rule ({', '.join(row)}) values ({', '.join(f':{name}' for name in row)})", row
        )

        await audit.record(w, box, _told(actor, key, "made"))

    await box.database.write(work)
    return key


async def change(box: Box, rule_id: str, wanted: Wanted, *, scope: Scope, actor: Actor) -> None:
    """Let a rule be another, which the worker then runs; NotFound without it, Conflict where the name is
    taken.
    """
    wanted = checked(wanted)

    async def work(w: Writer, held: list[Rule]) -> None:
        _require_free(held, wanted.name, rule_id)
        row = await _columns(w, wanted, scope, actor, _now(box))
        names = ", ".join(f"{name} = :{name}" for name in row)
        await w.execute(f"update rule set {names} where id = :id", {**row, "id": rule_id})

    await _changing(box, rule_id, work, scope, _told(actor, rule_id, "changed"))


async def run_again(box: Box, rule_id: str, *, scope: Scope, actor: Actor) -> None:
    """Let the worker go through all that is stored once more; NotFound without the rule."""

    async def work(w: Writer, held: list[Rule]) -> None:
        """Nothing but a new run."""

    await _changing(box, rule_id, work, scope, _told(actor, rule_id, "run again"))


async def switch(box: Box, rule_id: str, *, enabled: bool, scope: Scope, actor: Actor) -> None:
    """Switch a rule on, or off: then the worker takes its labels away; NotFound without it."""

    async def work(w: Writer, held: list[Rule]) -> None:
        await w.execute(
            "update rule set enabled = :enabled where id = :id", {"enabled": int(enabled), "id": rule_id}
        )

    await _changing(box, rule_id, work, scope, _told(actor, rule_id, _ON if enabled else _OFF))


async def delete(box: Box, rule_id: str, *, scope: Scope, actor: Actor) -> None:
    """Delete a rule: the worker takes its labels away first; NotFound without it."""

    async def work(w: Writer, held: list[Rule]) -> None:
        # Its name is free at once.
        await w.execute("update rule set enabled = 0, ended = 1, folded = id where id = :id", {"id": rule_id})

    await _changing(box, rule_id, work, scope, _told(actor, rule_id, "deleted"))


def _told(actor: Actor, rule_id: str, what: str) -> audit.Entry:
    return audit.Entry(actor=actor, action=Action.RULE, about={"rule": rule_id, "what": what})


async def _changing(box: Box, rule_id: str, work: Any, scope: Scope, told: audit.Entry) -> None:
    require_whole(scope)

    async def whole(w: Writer) -> None:
        held = await known(w, scope.realm)
        if not any(rule.id == rule_id and not rule.ended for rule in held):
            raise NotFound("there is no such rule")
        await _begin(w, held)
        await work(w, held)
        await _run_anew(w, "id = :id", {"id": rule_id, "at": _now(box)})
        await audit.record(w, box, told)

    await box.database.write(whole)


async def all_again(w: Writer, at: str) -> None:
    """Let every rule be run again: the index was rebuilt."""
    await _run_anew(w, "1 = 1", {"at": at})


async def _run_anew(w: Writer, condition: str, params: dict[str, Any]) -> None:
    await w.execute(
        "update rule set version = version + 1, run = 'waiting', run_after = '', run_done = 0, run_total = 0,"
        f" run_at = :at where {condition}",
        params,
    )


async def _begin(w: Writer, held: Sequence[Rule]) -> None:
    """Where no rule reads the feed, let them read it from now on: what was before is for their run."""
    if not any(rule.enabled for rule in held):
        await changes.skip_to_end(w, READER)


async def _columns(w: Writer, wanted: Wanted, scope: Scope, actor: Actor, at: str) -> dict[str, Any]:
    (label_id,) = await labels.ensure(w, [wanted.label], scope=scope, actor=actor, at=at)
    return {
        "name": wanted.name,
        "folded": label_name.fold(wanted.name),
        "conditions": orjson.dumps(wanted.conditions).decode(),
        "level": wanted.level,
        "label_id": label_id,
        "enabled": int(wanted.enabled),
    }


def _require_free(held: Sequence[Rule], name: str, but: str | None) -> None:
    same = (rule for rule in held if not rule.ended and label_name.fold(rule.name) == label_name.fold(name))
    if any(rule.id != but for rule in same):
        raise Conflict("Another rule has this name.")


def require_whole(scope: Scope) -> None:
    """Raises Forbidden where a scope is partial: rules are true of all there is."""
    if not scope.whole:
        raise Forbidden("Rules are for those who see the whole archive.")


def _now(box: Box) -> str:
    return box.clock().isoformat(timespec="microseconds")


def level_of(text: str) -> Target:
    """What a rule labels; BadRequest for anything else."""
    if text not in ("study", "series"):
        raise BadRequest("A rule labels either a study or a series.")
    return cast(Target, text)
