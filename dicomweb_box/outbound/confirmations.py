"""What peers say of what was sent to them: asked for by Storage Commitment, kept for each instance.

Beside a transfer of kind `send` to a peer that may `commit` stands one of kind `commitment` that asks. Each
of its items asks for PART items of what was sent, once none of these is to be sent any more, and is delivered
when the peer has told of all of them. What the peer does not keep has failed, and can be sent again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer, chunks, in_list
from dicomweb_box.dicom.commitment import Reference, Told
from dicomweb_box.outbound.enqueueing import Wanted, enqueue
from dicomweb_box.outbound.leases import Batch
from dicomweb_box.outbound.steering import count
from dicomweb_box.outbound.transfers import OPEN, Item, State, Transfer, stamp

PART: Final = 500
"""Items of what was sent that one request asks for."""
LOOK_AGAIN: Final = timedelta(seconds=5)
"""After which it is seen whether all of a part was sent."""

_WORDS: Final[Mapping[int, str]] = {
    0x0110: "the peer failed at it",
    0x0112: "the peer does not have it",
    0x0119: "the peer has it as another SOP class",
    0x0122: "the peer does not keep its SOP class",
    0x0131: "the transaction is under way there already",
    0x0213: "the peer is out of resources",
}
"""Failure Reason (PS3.3 C.14.1.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What one item of an asking transfer asks for."""

    sent_id: str
    open: bool
    """Some of it is still to be sent."""
    references: Sequence[Reference]
    """What was delivered, and nothing is said of yet."""
    unknown: int
    """So many of these are not in this archive any more, and cannot be asked for."""
    verified: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """How far the asking is for what was sent."""

    asking_id: str
    state: State
    reason: str
    """Why it is not through, in a sentence."""

    @property
    def open(self) -> bool:
        """Whether the peer may still be asked or report."""
        return self.state in OPEN


# Wanting


async def expect(w: Writer, box: Box, batch: Batch) -> None:
    """See to it that the peer will be asked for these items of a transfer, before and after they are sent."""
    sent = batch.transfer
    asking = await _asking(w, sent.id) or await _begin(w, box, sent)
    now = box.clock()
    for number in sorted({_part(item.number) for item in batch.items}):
        waits = await _is_open(w, sent.id, number)
        due = {"id": asking, "number": number, "due": stamp(now + LOOK_AGAIN if waits else now)}
        await w.execute(
            "update transfer_item set due_at = :due where transfer_id = :id and number = :number"
            " and state = 'queued'",
            due,
        )
        for state in ("delivered", "refused", "failed"):
            again = await w.fetch_all(
                "update transfer_item set state = 'queued', attempts = 0, reason = '', due_at = :due"
                " where transfer_id = :id and number = :number and state = :state returning number",
                {**due, "state": state},
            )
            await count(w, asking, {state: -len(again), "queued": len(again)}, stamp(now))


async def _begin(w: Writer, box: Box, sent: Transfer) -> str:
    wanted = Wanted(
        kind="commitment", peer=sent.peer, actor=sent.asked_by, scope=sent.seen, about={"sent": sent.id}
    )
    parts = range(1, _part(sent.items) + 1)
    items = [
        Item(number=number, what="report", expected=min(PART, sent.items - PART * (number - 1)))
        for number in parts
    ]
    asking = await enqueue(w, box, wanted, items)
    # It is the same who sees both.
    await w.execute("update transfer set owner = :owner where id = :id", {"id": asking, "owner": sent.owner})
    await w.execute(
        "insert into confirmation (transfer_id, asking_id) values (:sent, :asking)",
        {"sent": sent.id, "asking": asking},
    )
    return asking


async def asked(w: Writer, box: Box, asking_id: str, number: int, transaction_uid: str) -> None:
    """Know a transaction by its UID, before the peer hears of it."""
    await w.execute(
        "insert into confirmation_asked (transaction_uid, asking_id, number, asked_at)"
        " values (:uid, :id, :number, :now)",
        {"uid": transaction_uid, "id": asking_id, "number": number, "now": stamp(box.clock())},
    )


# Hearing


async def told(w: Writer, box: Box, said: Told, peer: str) -> bool:
    """Keep what a peer says of a transaction; False where it was not asked that."""
    row = await w.fetch_one(
        "select asked.asking_id, asked.number, confirmation.transfer_id, transfer.peer"
        " from confirmation_asked as asked join confirmation on confirmation.asking_id = asked.asking_id"
        " join transfer on transfer.id = asked.asking_id where asked.transaction_uid = :uid",
        {"uid": said.transaction_uid},
    )
    if row is None or row["peer"] != peer:
        return False
    sent, now = row["transfer_id"], stamp(box.clock())
    # What is named as both is not kept: a doubt must not count as a proof.
    lost = 0
    for reason in sorted({reason for _, reason in said.failed}):
        uids = [one.instance_uid for one, why in said.failed if why == reason]
        lost += await _lose(w, sent, row["number"], uids, _sentence(reason), now)
    await count(w, sent, {"delivered": -lost, "failed": lost}, now)
    kept = await _keep(w, sent, row["number"], [one.instance_uid for one in said.kept], now)
    await w.execute(
        "update transfer set verified = verified + :kept, changed_at = :now where id = :id",
        {"kept": kept, "now": now, "id": sent},
    )
    if not await _unsaid(w, sent, row["number"]):
        words = f"The peer does not keep {lost} of {lost + kept} instances." if lost else ""
        await _end(w, row["asking_id"], row["number"], kept, words, now)
    return True


_OF_PART = "transfer_id = :id and number > :after and number <= :last"


async def _keep(w: Writer, sent: str, number: int, uids: Sequence[str], now: str) -> int:
    kept = 0
    for some in chunks(uids, PART):
        names, params = in_list("uid", some)
        rows = await w.fetch_all(
            f"update transfer_item set verified_at = :now where {_OF_PART} and state = 'delivered'"
            f" and verified_at = '' and instance_uid in {names} returning number",
            {**params, **_of(sent, number), "now": now},
        )
        kept += len(rows)
    return kept


async def _lose(w: Writer, sent: str, number: int, uids: Sequence[str], why: str, now: str) -> int:
    lost = 0
    for some in chunks(uids, PART):
        names, params = in_list("uid", some)
        rows = await w.fetch_all(
            "update transfer_item set state = 'failed', reason = :why, changed_at = :now"
            f" where {_OF_PART} and state = 'delivered' and verified_at = '' and instance_uid in {names}"
            " returning number",
            {**params, **_of(sent, number), "why": why, "now": now},
        )
        lost += len(rows)
    return lost


async def _end(w: Writer, asking: str, number: int, kept: int, words: str, now: str) -> None:
    """The item has come to its end, whoever is at it."""
    for state in ("queued", "sending", "refused", "failed", "withdrawn"):
        ended = await w.fetch_all(
            "update transfer_item set state = 'delivered', reason = :words, lease = '', changed_at = :now,"
            " done = done + :kept where transfer_id = :id and number = :number and state = :state"
            " returning number",
            {"words": words, "now": now, "kept": kept, "id": asking, "number": number, "state": state},
        )
        await count(w, asking, {state: -len(ended), "delivered": len(ended)}, now)


def _sentence(reason: int) -> str:
    why = _WORDS.get(reason, "the peer does not keep it")
    return f"Storage Commitment: {why} (reason {reason:04X})."


# Looking


async def part_of(box: Box, asking_id: str, number: int) -> Part | None:
    """What an item of an asking transfer asks for; None where what was sent is forgotten."""
    return await box.database.read(lambda read: _looked(read, asking_id, number))


async def _looked(read: Reader, asking_id: str, number: int) -> Part | None:
    sent = await read.fetch_value(
        "select transfer_id from confirmation where asking_id = :id", {"id": asking_id}
    )
    if sent is None:
        return None
    rows = await _unsaid(read, sent, number)
    verified = await read.fetch_value(
        f"select count(*) from transfer_item where {_OF_PART} and verified_at <> ''", _of(sent, number)
    )
    known = await _classes(read, (row["instance_uid"] for row in rows))
    references = [
        Reference(sop_class_uid=known[row["instance_uid"]], instance_uid=row["instance_uid"])
        for row in rows
        if row["instance_uid"] in known
    ]
    return Part(
        sent_id=sent,
        open=await _is_open(read, sent, number),
        references=references,
        unknown=len(rows) - len(references),
        verified=int(verified),
    )


async def is_said(box: Box, asking_id: str, number: int) -> bool:
    """Whether an item that somebody is at has come to its end by a report."""
    state = await box.database.fetch_value(
        "select state from transfer_item where transfer_id = :id and number = :number",
        {"id": asking_id, "number": number},
    )
    return bool(state != "sending")


async def _unsaid(read: Reader, sent: str, number: int) -> Sequence[Row]:
    """Items of a part that are delivered, and of which nothing is said yet."""
    return await read.fetch_all(
        f"select instance_uid from transfer_item where {_OF_PART} and state = 'delivered'"
        " and verified_at = '' order by number",
        _of(sent, number),
    )


async def _classes(read: Reader, uids: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in chunks(uids, PART):
        names, params = in_list("uid", some)
        rows = await read.fetch_all(
            "select instance_uid, sop_class_uid from instance where realm = 'main' and state = 'current'"
            f" and instance_uid in {names}",
            params,
        )
        found |= {row["instance_uid"]: row["sop_class_uid"] for row in rows}
    return found


async def of(box: Box, sent_id: str) -> Confirmation | None:
    """How far the asking is for a transfer; None where the peer is not asked."""
    row = await box.database.fetch_one(
        "select transfer.id, transfer.state, coalesce(nullif(transfer.reason, ''), (select item.reason"
        " from transfer_item as item where item.transfer_id = transfer.id and item.reason <> ''"
        " order by item.number limit 1), '') as reason"
        " from confirmation join transfer on transfer.id = confirmation.asking_id"
        " where confirmation.transfer_id = :id",
        {"id": sent_id},
    )
    if row is None:
        return None
    return Confirmation(asking_id=row["id"], state=row["state"], reason=row["reason"])


async def _asking(read: Reader, sent_id: str) -> str | None:
    found: str | None = await read.fetch_value(
        "select asking_id from confirmation where transfer_id = :id", {"id": sent_id}
    )
    return found


async def _is_open(read: Reader, sent: str, number: int) -> bool:
    found = await read.fetch_value(
        f"select 1 from transfer_item where {_OF_PART} and state in ('queued', 'sending') limit 1",
        _of(sent, number),
    )
    return found is not None


def _part(number: int) -> int:
    """In which part an item is."""
    return -(-number // PART)


def _of(sent: str, number: int) -> dict[str, object]:
    return {"id": sent, "after": PART * (number - 1), "last": PART * number}
