"""Steers a transfer that was made: withdraws, holds, tries again, forgets it; and keeps its counts."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.outbound.transfers import STATES, owned, stamp

KEPT_FOR = timedelta(days=90)
"""After which what has ended is forgotten; the audit keeps what was sent."""


async def cancel(box: Box, key: str, *, scope: Scope, actor: Actor) -> None:
    """Withdraw what has not been begun; what is on its way stops between two instances. Raises NotFound."""
    now = stamp(box.clock())

    async def work(w: Writer) -> None:
        await owned(w, key, scope, actor)
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
        await owned(w, key, scope, actor)
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
        await owned(w, key, scope, actor)
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
