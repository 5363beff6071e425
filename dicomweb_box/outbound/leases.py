"""Who is at which items of which transfer: taken by lease, given back by settling.

A worker takes a batch of due items of one transfer (`claim`), says again and again that it is at them
(`renew`), and tells what became of each (`settle`). Of who is dead the lease runs out, and its items are
taken again (`expire`); whoever comes back late with a lease that has run out is not heard.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.outbound.retrying import MOST_ATTEMPTS, wait
from dicomweb_box.outbound.steering import count
from dicomweb_box.outbound.transfers import (
    COLUMNS,
    ITEM_COLUMNS,
    Item,
    Kind,
    State,
    Transfer,
    item_of,
    stamp,
    transfer_of,
)

LEASE = timedelta(seconds=60)
"""For which a worker need not say again that it is alive."""
PARALLEL = 2
"""Batches that one peer gets at a time, where it does not say."""
_DIED = "who was at it ended before the peer had answered"

Outcome = Literal["delivered", "refused", "failed", "again", "unbegun"]
"""What became of an item: `again` is tried later, `unbegun` was not tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What became of one item of a batch; the reason is a sentence without any attribute of a patient."""

    number: int
    outcome: Outcome
    reason: str = ""
    done: int | None = None
    due: datetime | None = None
    """When it is to be looked at again, where not as usual."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Items that are taken, and of which transfer they are."""

    lease: str
    transfer: Transfer
    items: tuple[Item, ...]


async def claim(
    box: Box,
    most: Mapping[Kind, int],
    *,
    only: str | None = None,
    parallel: Mapping[str, int] | None = None,
) -> Batch | None:
    """The next batch: of the kinds named, at most so many items each; None where nothing is due.

    `only`: of this transfer alone. `parallel`: how many batches a peer gets at a time, where not PARALLEL.
    """
    now = box.clock()
    found = await box.database.fetch_value(_DUE, {"now": stamp(now)})
    if found is None:
        return None

    async def work(w: Writer) -> Batch | None:
        await expire(w, now)
        for row in await w.fetch_all(
            _TURNS, {"now": stamp(now), "only": only or "", "any": int(only is None)}
        ):
            most_of_peer = (parallel or {}).get(row["peer"], PARALLEL)
            if row["kind"] in most and row["leases"] < most_of_peer:
                return await take(w, box, row["id"], most[row["kind"]])
        return None

    return await box.database.write(work)


_DUE = (
    "select 1 where exists (select 1 from transfer where state in ('queued', 'sending') and paused = 0"
    " and queued > 0 and due_at <= :now) or exists (select 1 from transfer_lease where until < :now)"
)
_TURNS = (
    "select id, kind, peer,"
    " (select count(*) from transfer_lease where transfer_lease.peer = transfer.peer) as leases"
    " from transfer where state in ('queued', 'sending') and paused = 0 and queued > 0 and due_at <= :now"
    " and (:any = 1 or id = :only) and exists (select 1 from transfer_item"
    " where transfer_id = transfer.id and transfer_item.state = 'queued' and transfer_item.due_at <= :now)"
    " order by priority desc, claimed_at, created_at, id"
)


async def take(w: Writer, box: Box, key: str, most: int) -> Batch:
    """Due items of a transfer, at most so many, for whoever calls; it must have some."""
    now, lease = box.clock(), secrets.token_urlsafe(9)
    rows = await w.fetch_all(
        "update transfer_item set state = 'sending', lease = :lease, attempts = attempts + 1,"
        " changed_at = :now"
        " where transfer_id = :id and number in (select number from transfer_item where transfer_id = :id"
        " and state = 'queued' and due_at <= :now order by number limit :most)"
        f" returning {ITEM_COLUMNS}",
        {"id": key, "lease": lease, "now": stamp(now), "most": most},
    )
    items = tuple(sorted(map(item_of, rows), key=lambda item: item.number))
    await count(w, key, {"queued": -len(items), "sending": len(items)}, stamp(now))
    row = await w.fetch_one(
        f"update transfer set claimed_at = :now where id = :id returning {COLUMNS}",
        {"id": key, "now": stamp(now)},
    )
    assert row is not None  # noqa: S101  (it was found in this transaction)
    transfer = transfer_of(row)
    await w.execute(
        "insert into transfer_lease (id, transfer_id, peer, until) values (:lease, :id, :peer, :until)",
        {"lease": lease, "id": key, "peer": transfer.peer, "until": stamp(now + LEASE)},
    )
    return Batch(lease=lease, transfer=transfer, items=items)


async def renew(w: Writer, box: Box, batch: Batch) -> bool:
    """Stay at a batch; False where it is to stop: lost, cancelled or held."""
    held = await w.fetch_value(
        "update transfer_lease set until = :until where id = :lease returning id",
        {"lease": batch.lease, "until": stamp(box.clock() + LEASE)},
    )
    told = await w.fetch_one(
        "select cancelled, paused from transfer where id = :id", {"id": batch.transfer.id}
    )
    return held is not None and told is not None and not told["cancelled"] and not told["paused"]


async def settle(w: Writer, box: Box, batch: Batch, settled: Sequence[Settled]) -> int:
    """Write what became of items; how many are heard: those whose lease has not run out."""
    if not settled:
        return 0
    now, change = box.clock(), Counter[str]()
    cancelled = await w.fetch_value(
        "select cancelled from transfer where id = :id", {"id": batch.transfer.id}
    )
    attempts = {item.number: item.attempts for item in batch.items}
    heard: list[Settled] = []
    for one in settled:
        tried = attempts[one.number] - (one.outcome == "unbegun")
        state = _state(one.outcome, tried, withdrawn=bool(cancelled))
        taken = await w.fetch_value(
            "update transfer_item set state = :state, reason = :reason, attempts = :attempts, due_at = :due,"
            " lease = '', changed_at = :now, done = coalesce(cast(:done as bigint), done)"
            " where transfer_id = :id and number = :number and lease = :lease and state = 'sending'"
            " returning number",
            {
                "id": batch.transfer.id,
                "number": one.number,
                "lease": batch.lease,
                "state": state,
                "reason": one.reason,
                "attempts": tried,
                "due": stamp(one.due or (now + wait(tried) if one.outcome == "again" else now)),
                "now": stamp(now),
                "done": one.done,
            },
        )
        if taken is not None:
            change.update({"sending": -1, state: 1})
            heard.append(one)
    await count(w, batch.transfer.id, change, stamp(now))
    await _tell(w, box, batch, heard)
    return len(heard)


def _state(outcome: Outcome, attempts: int, *, withdrawn: bool) -> State:
    if outcome != "again" and outcome != "unbegun":
        return outcome
    if withdrawn:
        return "withdrawn"
    return "failed" if outcome == "again" and attempts >= MOST_ATTEMPTS else "queued"


async def _tell(w: Writer, box: Box, batch: Batch, heard: Iterable[Settled]) -> None:
    """To the audit what has left this archive."""
    if batch.transfer.kind != "send":
        return
    studies = {item.number: item.study_uid for item in batch.items}
    gone = Counter(studies[one.number] for one in heard if one.outcome == "delivered")
    about = {"peer": batch.transfer.peer, "transfer": batch.transfer.id}
    actor = batch.transfer.asked_by
    await audit.record(
        w,
        box,
        *(
            audit.Entry(actor=actor, action=Action.SEND, study=study, count=number, about=about)
            for study, number in gone.items()
        ),
    )


async def progress(w: Writer, box: Box, batch: Batch, number: int, *, done: int, expected: int) -> None:
    """Write how far an item is."""
    await w.execute(
        "update transfer set changed_at = :now where id = :id",
        {"id": batch.transfer.id, "now": stamp(box.clock())},
    )
    await w.execute(
        "update transfer_item set done = :done, expected = :expected"
        " where transfer_id = :id and number = :number and lease = :lease",
        {
            "id": batch.transfer.id,
            "number": number,
            "lease": batch.lease,
            "done": done,
            "expected": expected,
        },
    )


async def let_go(w: Writer, box: Box, batch: Batch, *, because: str = "") -> None:
    """End a lease: what is not settled waits again. `because`: the peer did not answer, and all wait for it.

    After the last attempt, nothing of the transfer is tried any more.
    """
    left = await w.fetch_all(
        "select number from transfer_item where lease = :lease and transfer_id = :id and state = 'sending'",
        {"lease": batch.lease, "id": batch.transfer.id},
    )
    await settle(
        w, box, batch, [Settled(number=row["number"], outcome="unbegun", reason=because) for row in left]
    )
    held = await w.fetch_value(
        "delete from transfer_lease where id = :lease returning id", {"lease": batch.lease}
    )
    if because and held is not None:
        await _put_off(w, box, batch.transfer, because)


async def _put_off(w: Writer, box: Box, transfer: Transfer, because: str) -> None:
    now = box.clock()
    # Of several batches that met the same silence, one counts.
    attempts = await w.fetch_value(
        "update transfer set attempts = attempts + 1, reason = :reason, due_at = :due"
        " where id = :id and due_at <= :now and attempts = :attempts returning attempts",
        {
            "id": transfer.id,
            "reason": because,
            "now": stamp(now),
            "due": stamp(now + wait(transfer.attempts + 1)),
            "attempts": transfer.attempts,
        },
    )
    if attempts is not None and attempts >= MOST_ATTEMPTS:
        given_up = await w.fetch_all(
            "update transfer_item set state = 'failed', reason = :reason, changed_at = :now"
            " where transfer_id = :id and state = 'queued' returning number",
            {"id": transfer.id, "reason": because, "now": stamp(now)},
        )
        await count(w, transfer.id, {"queued": -len(given_up), "failed": len(given_up)}, stamp(now))


async def expire(w: Writer, at: datetime) -> int:
    """Take back the items of those who are dead; how many."""
    now = stamp(at)
    dead = await w.fetch_all(
        "delete from transfer_lease where until < :now returning id, transfer_id", {"now": now}
    )
    taken = 0
    for lease in dead:
        rows: Sequence[Any] = await w.fetch_all(
            "update transfer_item set lease = '', changed_at = :now, due_at = :now, reason = :reason,"
            " state = case when (select cancelled from transfer where id = :id) = 1 then 'withdrawn'"
            " when attempts >= :most then 'failed' else 'queued' end"
            " where lease = :lease and transfer_id = :id and state = 'sending' returning state",
            {
                "now": now,
                "reason": _DIED,
                "most": MOST_ATTEMPTS,
                "id": lease["transfer_id"],
                "lease": lease["id"],
            },
        )
        change = {**Counter[str](row["state"] for row in rows), "sending": -len(rows)}
        await count(w, lease["transfer_id"], change, now)
        taken += len(rows)
    return taken
