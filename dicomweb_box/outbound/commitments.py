"""Storage Commitment as SCP (PS3.4 J): what a peer asks to be kept is looked at, and the peer is told.

A request is a transfer of kind `commitment` with one item, the report. Each instance is looked up and its
bytes are read again: kept is what still has the digest that it came with. The report goes over the
association that the request came over while that is open, else over a new one, and is tried again until the
peer has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.check import stored_state
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer, chunks, in_list
from dicomweb_box.dicom import commitment
from dicomweb_box.dicom.commitment import Asked, Reference
from dicomweb_box.errors import NotFound, PeerUnreachable
from dicomweb_box.outbound import dimse_scu, leases, peers, transfers
from dicomweb_box.outbound.dimse_scu import PLAIN, sentence
from dicomweb_box.outbound.enqueueing import Wanted, enqueue
from dicomweb_box.outbound.leases import Batch
from dicomweb_box.outbound.transfers import Item
from dicomweb_box.outbound.worker import Desk
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Context
from dicomweb_box.upper_layer.requestor import Proposed

PUSH: Final = "1.2.840.10008.1.20.1"
INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The well-known SOP instance that is asked and reports (PS3.4 J.3.5)."""

KEPT = 0
PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_CONFLICT, DUPLICATE_TRANSACTION = 0x0110, 0x0112, 0x0119, 0x0131
"""Failure Reason (PS3.3 C.14.1.1)."""
_AT_ONCE = 50
_ALL_KEPT, _SOME_NOT = 1, 2
"""Event types (PS3.4 J.3.3)."""
FINAL: Final = frozenset((0x0112, 0x0113, 0x0118, 0x0122, 0x0124))
"""The peer does not know such reports, or not of us: telling it again does not help."""


@dataclass(frozen=True, slots=True)
class Open:
    """The association that a request came over."""

    association: Association
    context: Context


async def ask(
    w: Writer, box: Box, asked: Asked, *, peer: str, actor: Actor, scope: Scope, taken: bool
) -> Batch | None:
    """Keep a request, durable with the caller's transaction.

    With `taken` its batch is given, to whoever reports at once.
    """
    in_use = await _in_use(w, peer, asked.transaction_uid)
    wanted = Wanted(
        kind="commitment",
        peer=peer,
        actor=actor,
        scope=scope,
        about={"transaction": asked.transaction_uid},
        priority=1,  # it is short, and somebody waits before they delete
    )
    item = Item(number=1, what="report", expected=len(asked.references))
    key = await enqueue(w, box, wanted, [item])
    reason = DUPLICATE_TRANSACTION if in_use else None
    await w.execute_many(
        "insert into commitment (transfer_id, number, sop_class_uid, instance_uid, reason)"
        " values (:id, :number, :class, :instance, :reason)",
        [
            {
                "id": key,
                "number": number,
                "class": one.sop_class_uid,
                "instance": one.instance_uid,
                "reason": reason,
            }
            for number, one in enumerate(asked.references, 1)
        ],
    )
    return await leases.take(w, box, key, 1) if taken else None


async def _in_use(w: Writer, peer: str, transaction_uid: str) -> bool:
    rows = await w.fetch_all(
        f"select {transfers.COLUMNS} from transfer where kind = 'commitment' and peer = :peer"
        " and state in ('queued', 'sending')",
        {"peer": peer},
    )
    return any(transfers.transfer_of(row).details.get("transaction") == transaction_uid for row in rows)


async def report(box: Box, desk: Desk, over: Open | None = None) -> None:
    """Look at what is asked for and tell the peer; raises PeerUnreachable."""
    (item,) = desk.batch.items
    found = await _looked(box, desk)
    if found is None:
        return  # told to stop before all was looked at
    if over is not None and await _told_over(box, desk, over, found):
        return
    try:
        peer = await peers.by_name(box, desk.batch.transfer.peer)
    except NotFound:
        await desk.settle(item.number, "failed", "Nobody knows where whoever asked listens: it is no peer.")
        return
    role = Proposed(abstract_syntax=PUSH, transfer_syntaxes=PLAIN, as_scp=True)
    association = await dimse_scu.called(box, peer, [role])
    try:
        context = next(iter(association.contexts.values()))
        await _settle(desk, found, await _tell(box, desk, association, context, found))
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error
    finally:
        await dimse_scu.ended(association)


Found = Sequence[tuple[Reference, int]]
"""What was asked for, and the reason why it is not kept; 0: it is."""


async def _told_over(box: Box, desk: Desk, over: Open, found: Found) -> bool:
    """Whether the peer has been told over the association that it asked over."""
    if not over.association.is_open or over.context.transfer_syntax not in PLAIN:
        return False
    try:
        status = await _tell(box, desk, over.association, over.context, found)
    except UpperLayerError:
        return False  # it is gone: a new one has to do
    if status in FINAL:
        return False  # not over this one, where it has the other role
    await _settle(desk, found, status)
    return True


async def _tell(box: Box, desk: Desk, association: Association, context: Context, found: Found) -> int:
    """The peer's status for the report (PS3.7 10.1.1)."""
    failed = [(one, reason) for one, reason in found if reason != KEPT]
    data = commitment.report(
        str(desk.batch.transfer.details["transaction"]),
        (one for one, reason in found if reason == KEPT),
        failed,
        retrieve_from=box.settings.ae_title,
        transfer_syntax=context.transfer_syntax,
    )
    command = {
        "CommandField": commands.N_EVENT_REPORT_RQ,
        "AffectedSOPClassUID": PUSH,
        "AffectedSOPInstanceUID": INSTANCE,
        "EventTypeID": _SOME_NOT if failed else _ALL_KEPT,
    }
    answer = await association.ask_one(context, command, data)
    return int(answer.command.get("Status", PROCESSING_FAILURE))


async def _settle(desk: Desk, found: Found, status: int) -> None:
    (item,) = desk.batch.items
    kept = sum(reason == KEPT for _, reason in found)
    if status == 0 or status >> 12 == 0xB:
        words = (
            "" if kept == len(found) else f"{len(found) - kept} of {len(found)} instances are not kept here."
        )
        await desk.settle(item.number, "delivered", words, done=kept)
    elif status in FINAL:
        await desk.settle(item.number, "refused", f"The peer does not take the report (status {status:04X}).")
    else:
        await desk.settle(item.number, "again", f"The peer failed at the report (status {status:04X}).")


# Looking


async def _looked(box: Box, desk: Desk) -> Found | None:
    """What was found of each instance, durable; None where it was told to stop."""
    transfer = desk.batch.transfer
    while True:
        rows = await box.database.fetch_all(
            "select number, sop_class_uid, instance_uid from commitment"
            " where transfer_id = :id and reason is null order by number limit :most",
            {"id": transfer.id, "most": _AT_ONCE},
        )
        if not rows:
            return await _kept(box, transfer.id)
        if desk.stopped.is_set():
            return None
        reasons = await _reasons(box, rows, transfer.seen)
        await box.database.write(lambda w: _keep(w, transfer.id, reasons))  # noqa: B023  (awaited here)


async def _keep(w: Writer, key: str, reasons: Sequence[tuple[int, int]]) -> None:
    await w.execute_many(
        "update commitment set reason = :reason where transfer_id = :id and number = :number",
        [{"id": key, "number": number, "reason": reason} for number, reason in reasons],
    )


async def _kept(box: Box, key: str) -> Found:
    rows = await box.database.fetch_all(
        "select sop_class_uid, instance_uid, reason from commitment where transfer_id = :id order by number",
        {"id": key},
    )
    return [
        (Reference(sop_class_uid=row["sop_class_uid"], instance_uid=row["instance_uid"]), row["reason"])
        for row in rows
    ]


async def _reasons(box: Box, rows: Sequence[Row], scope: Scope) -> list[tuple[int, int]]:
    """Number and reason of each; as far as whoever asks may see, what they may not is not there."""
    visible, params = visibility.series_condition(scope)
    there: dict[str, Row] = {}
    for some in chunks([row["instance_uid"] for row in rows], _AT_ONCE):
        names, more = in_list("uid", some)
        found = await box.database.fetch_all(
            "select instance.instance_uid, instance.sop_class_uid, instance.blob_key, instance.size,"
            " instance.sha256 from instance join series on series.id = instance.series_id"
            " join study on study.id = series.study_id where instance.realm = :realm"
            f" and instance.state = 'current' and instance.instance_uid in {names} and {visible}",
            {**params, **more, "realm": scope.realm},
        )
        there |= {row["instance_uid"]: row for row in found}
    return [(row["number"], await _reason(box, row, there.get(row["instance_uid"]))) for row in rows]


async def _reason(box: Box, asked: Any, there: Row | None) -> int:
    if there is None:
        return NO_SUCH_INSTANCE
    if there["sop_class_uid"] != asked["sop_class_uid"]:
        return CLASS_CONFLICT
    state = await in_thread(box, stored_state, box, there)
    return {"sound": KEPT, "missing": NO_SUCH_INSTANCE}.get(state, PROCESSING_FAILURE)
