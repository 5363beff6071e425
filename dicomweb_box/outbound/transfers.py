"""Transfers: what goes to peers and is fetched from them, item by item, durably.

This module says what a transfer and its items are, and finds them. A transfer is asked for once
(`enqueueing`), in the transaction of whoever asks; from then on its items are taken in batches by whoever
works (`leases`, `worker`), until each has ended: delivered, refused, failed or withdrawn. Meanwhile it can be
held and withdrawn (`steering`). Counts of items by state stand in the transfer's row, kept by whoever changes
an item, in the same transaction.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row
from dicomweb_box.errors import NotFound

Kind = Literal["send", "retrieve", "commitment"]
State = Literal["queued", "sending", "delivered", "refused", "failed", "withdrawn"]
What = Literal["study", "series", "instance", "report"]
STATES: tuple[State, ...] = ("queued", "sending", "delivered", "refused", "failed", "withdrawn")
OPEN: frozenset[State] = frozenset(("queued", "sending"))


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
    verified_at: str = ""
    """When the peer said that it keeps it."""
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
    verified: int
    """Of what was delivered, what the peer said that it keeps."""

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
    def asks(self) -> bool:
        """Whether it asks the peer if what was sent is kept; else, of its kind, it answers that."""
        return self.kind == "commitment" and "sent" in self.details

    @property
    def details(self) -> Mapping[str, Any]:
        """What else its kind needs to know."""
        found: Mapping[str, Any] = json.loads(self.about)
        return found


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


async def transfer(box: Box, key: str, *, scope: Scope, actor: Actor) -> Transfer:
    """The transfer of an id: one's own, or any for who administers all; raises NotFound."""
    return await box.database.read(lambda read: owned(read, key, scope, actor))


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A transfer that went on, and whose it is."""

    id: str
    realm: str
    owner: str
    changed_at: str


async def moved(box: Box, *, since: datetime) -> list[Moved]:
    """Those that went on since a moment, whoever may see them."""
    rows = await box.database.fetch_all(
        "select id, realm, owner, changed_at from transfer where changed_at > :since", {"since": stamp(since)}
    )
    return [Moved(id=row[0], realm=row[1], owner=row[2], changed_at=row[3]) for row in rows]


def sees(one: Moved, *, scope: Scope, actor: Actor) -> bool:
    """Whether somebody may know of it: as `transfer` would say."""
    may = _owner(scope, actor)
    return one.realm == may["realm"] and (bool(may["whole"]) or one.owner == may["owner"])


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


async def owned(read: Reader, key: str, scope: Scope, actor: Actor) -> Transfer:
    """The same, read along with other things or to be changed; raises NotFound."""
    row = await read.fetch_one(
        f"select {COLUMNS} from transfer where id = :id and {_OWN}", {"id": key, **_owner(scope, actor)}
    )
    if row is None:
        raise NotFound("there is no such transfer")
    return transfer_of(row)


def _owner(scope: Scope, actor: Actor) -> dict[str, Any]:
    every = scope.whole and (actor.administers or actor.kind in ("anonymous", "system"))
    return {"realm": scope.realm, "whole": int(every), "owner": actor.own_name}


def resource(found: Transfer) -> dict[str, Any]:
    """A transfer for programs."""
    names = (
        "id",
        "kind",
        "peer",
        "state",
        "reason",
        "priority",
        "created_at",
        "changed_at",
        *STATES,
        "verified",
    )
    plain = {name: getattr(found, name) for name in names}
    return plain | {
        "asked_by": found.owner,
        "items": found.items,
        "paused": bool(found.paused),
        "cancelled": bool(found.cancelled),
        "due_at": found.due_at if found.open else None,
    }


# The part of the archive of who asked


def kept_scope(scope: Scope) -> str:
    """A scope as it stands in a transfer's row; "" for all of its realm."""
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
