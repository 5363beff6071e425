"""Transfers: what goes to peers and is fetched from them, item by item, durably.

A transfer is asked for once (`enqueue`), in the transaction of whoever asks; from then on its items are taken
in batches by whoever works (`leases`, `worker`), until each has ended: delivered, refused, failed or
withdrawn. Counts of items by state stand in the transfer's row, kept by whoever changes an item, in the same
transaction.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import visibility
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer, chunks, in_list
from dicomweb_box.errors import Conflict, NotFound

Kind = Literal["send", "retrieve", "commitment"]
State = Literal["queued", "sending", "delivered", "refused", "failed", "withdrawn"]
What = Literal["study", "series", "instance", "report"]
STATES: tuple[State, ...] = ("queued", "sending", "delivered", "refused", "failed", "withdrawn")
OPEN: frozenset[State] = frozenset(("queued", "sending"))

MOST_ITEMS = 1_000_000
KEPT_FOR = timedelta(days=90)
"""After which what has ended is forgotten; the audit keeps what was sent."""
_AT_ONCE = 500
_NONE = "there is no such transfer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing of a transfer."""

    number: int
    what: What
    study_uid: str = ""
    series_uid: str = ""
    instance_uid: str = ""
    state: State = "queued"
    reason: str = ""
    attempts: int = 0
    due_at: str = ""
    changed_at: str = ""
    done: int = 0
    """Instances of it that have come or gone."""
    expected: int = 0
    """… of how many; 0: not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """What somebody asked to be sent, fetched or told, and how far it is."""

    id: str
    realm: str
    kind: Kind
    peer: str
    owner: str
    actor: str
    actor_kind: str
    scope: str
    about: str
    priority: int
    state: State
    reason: str
    paused: int
    cancelled: int
    attempts: int
    due_at: str
    created_at: str
    changed_at: str
    queued: int
    sending: int
    delivered: int
    refused: int
    failed: int
    withdrawn: int

    @property
    def items(self) -> int:
        """How many there are."""
        return self.queued + self.sending + self.ended

    @property
    def ended(self) -> int:
        """How many have ended, well or not."""
        return self.delivered + self.refused + self.failed + self.withdrawn

    @property
    def open(self) -> bool:
        """Whether something is still to be done."""
        return self.state in OPEN

    @property
    def asked_by(self) -> Actor:
        """Who asked, for the audit."""
        return Actor(name=self.actor, kind=self.actor_kind)  # type: ignore[arg-type]  # as it was written

    @property
    def seen(self) -> Scope:
        """The part of the archive that who asked may see."""
        return _scope(self.scope, self.realm)

    @property
    def details(self) -> Mapping[str, Any]:
        """What else its kind needs to know."""
        found: Mapping[str, Any] = json.loads(self.about)
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A transfer to be."""

    kind: Kind
    peer: str
    actor: Actor
    scope: Scope
    priority: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    """UIDs and keys of our own; never an attribute of a patient."""


COLUMNS = ", ".join(Transfer.__dataclass_fields__)
ITEM_COLUMNS = ", ".join(Item.__dataclass_fields__)
_OWN = "realm = :realm and (:whole = 1 or owner = :owner)"


def stamp(moment: datetime) -> str:
    """A moment as it stands in these tables."""
    return moment.isoformat(timespec="microseconds")


def transfer_of(row: Row) -> Transfer:
    """A transfer from its columns."""
    return Transfer(**{name: row[name] for name in Transfer.__dataclass_fields__})


def item_of(row: Row) -> Item:
    """An item from its columns."""
    return Item(**{name: row[name] for name in Item.__dataclass_fields__})


# Asking


async def enqueue(w: Writer, box: Box, wanted: Wanted, items: Iterable[Item]) -> str:
    """The id of a new transfer of these items, durable with the caller's transaction.

    Raises Conflict for none or too many.
    """
    key = await _begin(w, box, wanted)
    count, studies = 0, Counter[str]()
    for some in chunks(items, _AT_ONCE):
        await w.execute_many(_ADD, [_row(key, item, stamp(box.clock())) for item in some])
        count += len(some)
        studies.update(item.study_uid for item in some)
    await _complete(w, box, wanted, key, count, studies)
    return key


async def enqueue_studies(
    w: Writer,
    box: Box,
    wanted: Wanted,
    study_uids: Sequence[str] = (),
    series_uids: Sequence[tuple[str, str]] = (),
) -> str:
    """The id of a new transfer of each instance of these studies and series that its asker sees now.

    Raises NotFound where there is none of them, Conflict for too many.
    """
    key, now = await _begin(w, box, wanted), stamp(box.clock())
    seen, params = visibility.series_condition(wanted.scope)
    params |= {"id": key, "at": now, "realm": wanted.scope.realm}
    for some in chunks(dict.fromkeys(study_uids), _AT_ONCE):
        names, more = in_list("uid", some)
        await w.execute(_ADD_INSTANCES.format(where=f"study.study_uid in {names} and {seen}"), params | more)
    for pairs in chunks(dict.fromkeys(series_uids), _AT_ONCE):
        names, more = in_list("uid", [series for _, series in pairs])
        of, others = in_list("of", [study for study, _ in pairs])
        where = f"series.series_uid in {names} and study.study_uid in {of} and {seen}"
        await w.execute(_ADD_INSTANCES.format(where=where), params | more | others)
    counted = await w.fetch_all(_STUDIES, {"id": key})
    studies = Counter({row["study_uid"]: row["count"] for row in counted})
    if not studies:
        raise NotFound("there is no such study or series, or nothing in it")
    await _complete(w, box, wanted, key, studies.total(), studies)
    return key


_ADD = (
    "insert into transfer_item (transfer_id, number, what, study_uid, series_uid, instance_uid, due_at,"
    " changed_at, expected) values (:id, :number, :what, :study, :series, :instance, :at, :at, :expected)"
)
_ADD_INSTANCES = (
    "insert into transfer_item (transfer_id, number, what, study_uid, series_uid, instance_uid, due_at,"
    " changed_at, expected) select :id, {base} + row_number() over (order by study.study_uid,"
    " series.series_uid, instance.instance_number, instance.instance_uid), 'instance', study.study_uid,"
    " series.series_uid, instance.instance_uid, :at, :at, 1"
    " from study join series on series.study_id = study.id join instance on instance.series_id = series.id"
    " where study.realm = :realm and instance.state = 'current' and {{where}}"
    " and not exists (select 1 from transfer_item as known where known.transfer_id = :id"
    " and known.instance_uid = instance.instance_uid)"
).format(base="(select coalesce(max(number), 0) from transfer_item where transfer_id = :id)")
_STUDIES = (
    "select study_uid, count(*) as count from transfer_item where transfer_id = :id"
    " group by study_uid order by study_uid"
)


async def _begin(w: Writer, box: Box, wanted: Wanted) -> str:
    key, now = secrets.token_urlsafe(9), stamp(box.clock())
    await w.execute(
        "insert into transfer (id, realm, kind, peer, owner, actor, actor_kind, scope, about, priority,"
        " due_at, created_at, changed_at) values (:id, :realm, :kind, :peer, :owner, :actor, :actor_kind,"
        " :scope, :about, :priority, :at, :at, :at)",
        {
            "id": key,
            "realm": wanted.scope.realm,
            "kind": wanted.kind,
            "peer": wanted.peer,
            "owner": wanted.actor.own_name,
            "actor": wanted.actor.name,
            "actor_kind": wanted.actor.kind,
            "scope": _kept(wanted.scope),
            "about": json.dumps(wanted.about),
            "priority": wanted.priority,
            "at": now,
        },
    )
    return key


async def _complete(
    w: Writer, box: Box, wanted: Wanted, key: str, count: int, studies: Mapping[str, int]
) -> None:
    if not count:
        raise Conflict("A transfer needs something to transfer.")
    if count > MOST_ITEMS:
        raise Conflict(f"A transfer has at most {MOST_ITEMS} items.")
    await w.execute("update transfer set queued = :count where id = :id", {"id": key, "count": count})
    about = {"kind": wanted.kind, "peer": wanted.peer, "transfer": key}
    await audit.record(
        w,
        box,
        *(
            audit.Entry(actor=wanted.actor, action=Action.TRANSFER, study=study, about=about, count=number)
            for study, number in studies.items()
        ),
    )


def _row(key: str, item: Item, at: str) -> dict[str, Any]:
    return {
        "id": key,
        "number": item.number,
        "what": item.what,
        "study": item.study_uid,
        "series": item.series_uid,
        "instance": item.instance_uid,
        "at": at,
        "expected": item.expected,
    }


# Looking


async def transfer(box: Box, key: str, *, scope: Scope, actor: Actor) -> Transfer:
    """The transfer of an id: one's own, or any for who administers all; raises NotFound."""
    return await box.database.read(lambda read: _own(read, key, scope, actor))


async def listed(
    box: Box, *, scope: Scope, actor: Actor, before: tuple[str, str] | None = None, most: int = 50
) -> list[Transfer]:
    """The newest transfers that this actor may see, those behind a place (`created_at`, `id`) only."""
    at, key = before or ("~", "")
    rows = await box.database.fetch_all(
        f"select {COLUMNS} from transfer where {_OWN} and (created_at < :at or created_at = :at and id < :id)"
        " order by created_at desc, id desc limit :most",
        {**_owner(scope, actor), "at": at, "id": key, "most": most},
    )
    return [transfer_of(row) for row in rows]


async def is_busy(box: Box, key: str) -> bool:
    """Whether something of a transfer is on its way, or due now."""
    found = await box.database.fetch_value(
        "select 1 from transfer where id = :id and (sending > 0 or (queued > 0 and paused = 0"
        " and due_at <= :now and exists (select 1 from transfer_item where transfer_id = :id"
        " and transfer_item.state = 'queued' and transfer_item.due_at <= :now)))",
        {"id": key, "now": stamp(box.clock())},
    )
    return found is not None


async def items(
    box: Box, key: str, *, state: State | None = None, after: int = 0, most: int = 200
) -> list[Item]:
    """Items of a transfer by number, of one state alone where one is named."""
    chosen = "" if state is None else " and state = :state"
    rows = await box.database.fetch_all(
        f"select {ITEM_COLUMNS} from transfer_item where transfer_id = :id and number > :after{chosen}"
        " order by number limit :most",
        {"id": key, "after": after, "most": most} | ({} if state is None else {"state": state}),
    )
    return [item_of(row) for row in rows]


async def _own(read: Reader, key: str, scope: Scope, actor: Actor) -> Transfer:
    row = await read.fetch_one(
        f"select {COLUMNS} from transfer where id = :id and {_OWN}", {"id": key, **_owner(scope, actor)}
    )
    if row is None:
        raise NotFound(_NONE)
    return transfer_of(row)


def _owner(scope: Scope, actor: Actor) -> dict[str, Any]:
    every = scope.whole and (actor.administers or actor.kind in ("anonymous", "system"))
    return {"realm": scope.realm, "whole": int(every), "owner": actor.own_name}


def resource(found: Transfer) -> dict[str, Any]:
    """A transfer for programs."""
    names = ("id", "kind", "peer", "state", "reason", "priority", "created_at", "changed_at", *STATES)
    plain = {name: getattr(found, name) for name in names}
    return plain | {
        "asked_by": found.owner,
        "items": found.items,
        "paused": bool(found.paused),
        "cancelled": bool(found.cancelled),
        "due_at": found.due_at if found.open else None,
    }


# Changing


async def cancel(box: Box, key: str, *, scope: Scope, actor: Actor) -> None:
    """Withdraw what has not been begun; what is on its way stops between two instances. Raises NotFound."""
    now = stamp(box.clock())

    async def work(w: Writer) -> None:
        await _own(w, key, scope, actor)
        await w.execute("update transfer set cancelled = 1, paused = 0 where id = :id", {"id": key})
        gone = await w.fetch_all(
            "update transfer_item set state = 'withdrawn', reason = '', changed_at = :at"
            " where transfer_id = :id and state = 'queued' returning number",
            {"id": key, "at": now},
        )
        await count(w, key, {"queued": -len(gone), "withdrawn": len(gone)}, now)
        await _told(w, box, key, actor, "cancelled", len(gone))

    await box.database.write(work)


async def retry(box: Box, key: str, *, scope: Scope, actor: Actor) -> int:
    """Try again what was not delivered, now and as often as at first; how many items. Raises NotFound."""
    now = stamp(box.clock())

    async def work(w: Writer) -> int:
        await _own(w, key, scope, actor)
        await w.execute(
            "update transfer set cancelled = 0, paused = 0, attempts = 0, reason = '', due_at = :at"
            " where id = :id",
            {"id": key, "at": now},
        )
        change: Counter[str] = Counter()
        for state in ("refused", "failed", "withdrawn"):
            again = await w.fetch_all(
                "update transfer_item set state = 'queued', attempts = 0, due_at = :at, changed_at = :at"
                " where transfer_id = :id and state = :state returning number",
                {"id": key, "at": now, "state": state},
            )
            change.update({state: -len(again), "queued": len(again)})
        await w.execute(
            "update transfer_item set due_at = :at where transfer_id = :id and state = 'queued'",
            {"id": key, "at": now},
        )
        await count(w, key, change, now)
        await _told(w, box, key, actor, "tried again", change["queued"])
        return change["queued"]

    return await box.database.write(work)


async def pause(box: Box, key: str, *, paused: bool, scope: Scope, actor: Actor) -> None:
    """Hold a transfer, or let it go on; what is on its way stops between two instances. Raises NotFound."""

    async def work(w: Writer) -> None:
        await _own(w, key, scope, actor)
        await w.execute(
            "update transfer set paused = :paused, changed_at = :at where id = :id",
            {"id": key, "paused": int(paused), "at": stamp(box.clock())},
        )
        await _told(w, box, key, actor, "held" if paused else "let go on", 1)

    await box.database.write(work)


async def rename_peer(w: Writer, before: str, name: str) -> None:
    """Let transfers of a peer follow its new name."""
    for table in ("transfer", "transfer_lease"):
        await w.execute(
            f"update {table} set peer = :name where peer = :before", {"name": name, "before": before}
        )


async def forget_old(box: Box) -> int:
    """Forget what ended long ago; how many transfers."""
    before = stamp(box.clock() - KEPT_FOR)

    async def work(w: Writer) -> int:
        gone = await w.fetch_all(
            "delete from transfer where id in (select id from transfer where changed_at < :before"
            " and state not in ('queued', 'sending') limit 20) returning id",
            {"before": before},
        )
        return len(gone)

    return await box.database.write(work)


async def _told(w: Writer, box: Box, key: str, actor: Actor, what: str, number: int) -> None:
    about = {"transfer": key, "change": what}
    await audit.record(w, box, audit.Entry(actor=actor, action=Action.TRANSFER, about=about, count=number))


async def count(w: Writer, key: str, change: Mapping[str, int], at: str) -> None:
    """Keep a transfer's counts and state as items went from one state to another."""
    if any(change.values()):
        # A receiver that takes something answers again.
        answers = ", attempts = 0, reason = ''" if change.get("delivered", 0) > 0 else ""
        await w.execute(
            f"update transfer set {', '.join(f'{state} = {state} + :{state}' for state in STATES)}{answers}"
            " where id = :id",
            {"id": key, **{state: change.get(state, 0) for state in STATES}},
        )
    await w.execute(
        f"update transfer set state = {_STATE}, changed_at = :at where id = :id", {"id": key, "at": at}
    )


_STATE = (
    "case when sending > 0 then 'sending' when queued > 0 then 'queued' when failed > 0 then 'failed'"
    " when refused > 0 then 'refused' when withdrawn > 0 then 'withdrawn' else 'delivered' end"
)


# The part of the archive of who asked


def _kept(scope: Scope) -> str:
    if scope.whole:
        return ""
    names = (scope.studies, scope.series, scope.sources, *scope.labels)
    return json.dumps([None if one is None else sorted(one) for one in names])


def _scope(kept: str, realm: str) -> Scope:
    if not kept:
        return Scope(realm=realm)
    studies, series, sources, *labels = (None if one is None else frozenset(one) for one in json.loads(kept))
    return Scope(
        realm=realm,
        studies=studies,
        series=series,
        sources=sources,
        labels=tuple(one or frozenset() for one in labels),
    )
