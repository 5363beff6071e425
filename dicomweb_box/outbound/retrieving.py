"""Brings studies here from a DICOM peer: by C-GET where the peer serves it, else by C-MOVE to ourselves.

The peer is asked first what the study holds. What is here already is not asked for again, and a study is
delivered when all that the peer named is durable here, whatever counts the peer answers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from dicomweb_box.archive.outcomes import Refused, Stored
from dicomweb_box.box import Box
from dicomweb_box.database import chunks, in_list
from dicomweb_box.dicom import remote_query
from dicomweb_box.dicom.remote_query import Level
from dicomweb_box.errors import PeerRefused, PeerUnreachable
from dicomweb_box.outbound import arrivals, dimse_scu
from dicomweb_box.outbound.dimse_scu import FIND, GET, MOVE, PLAIN, Row, context_of, sentence
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.retrieval_contexts import storage_contexts
from dicomweb_box.outbound.transfers import Item
from dicomweb_box.outbound.worker import Desk
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Context, Message
from dicomweb_box.upper_layer.requestor import Proposed

log = logging.getLogger(__name__)

MOST_INSTANCES = 200_000
"""Of one study."""
_AT_ONCE = 500
_LOOK_EVERY = 2.0
_SILENCE = 5
"""So many times its time to answer a peer may be silent while it fetches: from tape, say."""

_FINAL: Final[Mapping[int, str]] = {
    0x0122: "The peer does not serve this (status 0122).",
    0x0124: "The peer does not let us retrieve (status 0124).",
    0xA801: "The peer does not know where to send it: this box has to be set up there (status A801).",
    0xA900: "The peer does not take the request (status A900).",
}
"""What trying again does not help (PS3.4 Table C.4-2, C.4-3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """What a study holds at a peer."""

    instances: Mapping[str, Mapping[str, str]]
    """By series: SOP Instance UID → SOP Class UID, which may be empty."""

    @property
    def uids(self) -> set[str]:
        """All instances."""
        return {uid for of_series in self.instances.values() for uid in of_series}

    @property
    def classes(self) -> set[str]:
        """The SOP classes that the peer told."""
        return {name for of_series in self.instances.values() for name in of_series.values() if name}


@dataclass(kw_only=True, slots=True)
class _Fetch:
    """One study on its way here."""

    box: Box
    desk: Desk
    peer: Peer
    item: Item
    remote: Remote
    refused: list[Refused] = field(default_factory=list)
    here: int = 0
    heard: float = 0.0

    def more(self, count: int = 0) -> None:
        """Something was heard of it."""
        self.heard = asyncio.get_running_loop().time()
        self.here += count
        self.desk.progress(self.item.number, done=self.here, expected=len(self.remote.uids))


async def retrieve(box: Box, desk: Desk) -> None:
    """Bring the studies of a batch; raises PeerUnreachable."""
    peer = await desk.peer()
    if peer is None:
        return
    for item in desk.batch.items:
        if desk.stopped.is_set():
            return
        try:
            await _bring(box, desk, peer, item)
        except PeerRefused as error:
            await desk.settle(item.number, "refused", str(error))


async def _bring(box: Box, desk: Desk, peer: Peer, item: Item) -> None:
    remote = await _look(box, peer, item.study_uid)
    if not remote.instances:
        await desk.settle(item.number, "failed", "The peer does not have this study.")
        return
    missing = remote.uids - await here(box, remote.uids)
    fetch = _Fetch(box=box, desk=desk, peer=peer, item=item, remote=remote)
    fetch.more(len(remote.uids) - len(missing))
    status = await _fetched(fetch, missing) if missing else dimse_scu.SUCCESS
    await _settle(fetch, status)


async def _settle(fetch: _Fetch, status: int) -> None:
    found = await here(fetch.box, fetch.remote.uids)
    expected, done = len(fetch.remote.uids), len(found)
    number, settle = fetch.item.number, fetch.desk.settle
    fetch.here = done
    fetch.more()
    if done == expected:
        await settle(number, "delivered", done=done)
    elif fetch.desk.stopped.is_set():
        return  # it was not tried to its end
    elif fetch.refused and done + len(fetch.refused) >= expected:
        reason = (
            f"{len(fetch.refused)} of {expected} instances were not taken here: {fetch.refused[0].message}."
        )
        await settle(number, "refused", reason, done=done)
    elif status in _FINAL:
        await settle(number, "refused", _FINAL[status], done=done)
    else:
        reason = f"{done} of {expected} instances have come (status {status:04X})."
        await settle(number, "again", reason, done=done)


async def here(box: Box, uids: Iterable[str]) -> set[str]:
    """Which of these instances the archive serves."""
    found: set[str] = set()
    for some in chunks(sorted(uids), _AT_ONCE):
        names, params = in_list("uid", some)
        rows = await box.database.fetch_all(
            "select instance_uid from instance where realm = 'main' and state = 'current'"
            f" and instance_uid in {names}",
            params,
        )
        found.update(row["instance_uid"] for row in rows)
    return found


# What the study holds there


async def _look(box: Box, peer: Peer, study_uid: str) -> Remote:
    association = await dimse_scu.called(box, peer, [Proposed(abstract_syntax=FIND, transfer_syntaxes=PLAIN)])
    try:
        series = await _all(association, "series", StudyInstanceUID=study_uid)
        found: dict[str, Mapping[str, str]] = {}
        for series_uid in sorted({_value(row, "0020000E") for row in series} - {""}):
            rows = await _all(
                association, "instance", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid
            )
            found[series_uid] = {
                _value(row, "00080018"): _value(row, "00080016") for row in rows if _value(row, "00080018")
            }
        return Remote(instances={uid: instances for uid, instances in found.items() if instances})
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error
    finally:
        await dimse_scu.ended(association)


async def _all(association: Association, level: Level, **unique: str) -> Sequence[Row]:
    found = await dimse_scu.find(association, dimse_scu.asked_of(level, **unique), most=MOST_INSTANCES)
    if found.more:
        raise PeerRefused(f"The study has more than {MOST_INSTANCES} instances.")
    return found.rows


def _value(row: Row, tag: str) -> str:
    values = (row.get(tag) or {}).get("Value") or [""]
    return str(values[0] or "").strip()


# Fetching


async def _fetched(fetch: _Fetch, missing: set[str]) -> int:
    """The worst status of what was asked; raises PeerUnreachable, PeerRefused."""
    wanted = list(_wanted(fetch, missing))
    before, status, silent = fetch.here, None, None
    try:
        status = await _by_get(fetch, wanted)
    except PeerUnreachable as error:
        silent = error
    if status == dimse_scu.SUCCESS or fetch.here > before or fetch.refused or fetch.desk.stopped.is_set():
        if silent is not None:
            raise silent
        return status or dimse_scu.SUCCESS
    # Some negotiate C-GET and then do not serve it, or end the association at it.
    moved = await _by_move(fetch, wanted)
    if moved is not None:
        return moved
    if silent is not None:
        raise silent
    if status is None:
        raise PeerRefused("The peer serves neither C-GET nor C-MOVE.")
    return status


async def _by_get(fetch: _Fetch, wanted: "Sequence[_Wanted]") -> int | None:
    """The status of C-GET; None where the peer does not serve it."""
    contexts = storage_contexts(fetch.remote.classes, fetch.peer.syntaxes)
    async with _calling(fetch, GET, contexts) as association:
        context = None if association is None else context_of(association, GET)
        if association is None or context is None:
            return None
        if not any(one.as_scp for one in association.contexts.values()):
            return None
        return await _get(fetch, association, context, wanted)


async def _by_move(fetch: _Fetch, wanted: "Sequence[_Wanted]") -> int | None:
    """The status of C-MOVE to ourselves; None where the peer does not serve it."""
    async with _calling(fetch, MOVE) as association:
        context = None if association is None else context_of(association, MOVE)
        if association is None or context is None:
            return None
        return await _move(fetch, association, context, wanted)


@asynccontextmanager
async def _calling(
    fetch: _Fetch, service: str, more: Sequence[Proposed] = ()
) -> AsyncIterator[Association | None]:
    """An association for a service, watched while it lasts; None where the peer does not want it."""
    proposed = [Proposed(abstract_syntax=service, transfer_syntaxes=PLAIN), *more]
    try:
        association = await dimse_scu.called(fetch.box, fetch.peer, proposed, patient=True)
    except PeerRefused:
        yield None
        return
    watching = asyncio.create_task(_watch(fetch, association))
    try:
        yield association
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await dimse_scu.ended(association)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What one request asks for."""

    level: Level
    uids: Mapping[str, str]


def _wanted(fetch: _Fetch, missing: set[str]) -> Iterator[_Wanted]:
    """The fewest requests for what is missing: the study, series, or lists of instances."""
    study = {"StudyInstanceUID": fetch.item.study_uid}
    if missing == fetch.remote.uids:
        yield _Wanted(level="study", uids=study)
        return
    for series_uid, instances in fetch.remote.instances.items():
        of_series = {**study, "SeriesInstanceUID": series_uid}
        lacking = sorted(missing & instances.keys())
        if len(lacking) == len(instances):
            yield _Wanted(level="series", uids=of_series)
            continue
        # PS3.4 C.4.2.1.4: a list of UIDs at the level of the request.
        for some in chunks(lacking, _AT_ONCE):
            yield _Wanted(level="instance", uids={**of_series, "SOPInstanceUID": "\\".join(some)})


async def _get(fetch: _Fetch, association: Association, context: Context, wanted: Sequence[_Wanted]) -> int:
    """C-GET (PS3.4 C.4.3): the instances come over the same association."""
    serving = asyncio.create_task(_serve(fetch, association))
    try:
        return await _ask_all(fetch, association, context, commands.C_GET_RQ, wanted)
    finally:
        association.leave()
        await serving


async def _serve(fetch: _Fetch, association: Association) -> None:
    """Store what comes, and answer for each once it is durable."""
    try:
        while (message := await association.receive()) is not None:
            await _store(fetch, association, message)
    except UpperLayerError as error:
        log.debug("retrieval from %s: %s", fetch.peer.name, error)
    except BaseException:
        # Nobody would answer any more: the peer must not wait for us, nor we for it.
        await association.abort()
        raise


async def _store(fetch: _Fetch, association: Association, message: Message) -> None:
    status, comment = 0x0211, "only C-STORE is served here"
    if message.command["CommandField"] == commands.C_STORE_RQ:
        transfer = fetch.desk.batch.transfer
        outcome = await arrivals.arrived(
            fetch.box,
            association,
            message,
            source=f"dimse:{fetch.peer.ae_title}",
            actor=transfer.asked_by,
            scope=transfer.seen,
            sent_by=fetch.peer.ae_title,
        )
        if isinstance(outcome, Stored):
            status, comment = 0x0000, ""
            fetch.more(int(not outcome.already))
        else:
            status, comment = int(outcome.reason), outcome.message
            fetch.refused.append(outcome)
            fetch.more()
    await association.send(message.context, _response(message, status, comment))


def _response(message: Message, status: int, comment: str) -> Mapping[str, object]:
    return {
        "AffectedSOPClassUID": message.command.get("AffectedSOPClassUID"),
        "AffectedSOPInstanceUID": message.command.get("AffectedSOPInstanceUID"),
        "CommandField": message.command["CommandField"] | commands.RESPONSE,
        "MessageIDBeingRespondedTo": message.command.get("MessageID", 0),
        "Status": status,
        "ErrorComment": comment[:64] or None,
    }


async def _move(fetch: _Fetch, association: Association, context: Context, wanted: Sequence[_Wanted]) -> int:
    """C-MOVE to ourselves (PS3.4 C.4.2): the instances come to our own storage SCP, wherever it runs."""
    return await _ask_all(
        fetch,
        association,
        context,
        commands.C_MOVE_RQ,
        wanted,
        MoveDestination=fetch.box.settings.ae_title,
    )


async def _ask_all(
    fetch: _Fetch,
    association: Association,
    context: Context,
    field: int,
    wanted: Sequence[_Wanted],
    **more: str,
) -> int:
    worst = dimse_scu.SUCCESS
    for number, one in enumerate(wanted, 1):
        if fetch.desk.stopped.is_set():
            break
        command = {
            "CommandField": field,
            "AffectedSOPClassUID": context.abstract_syntax,
            "MessageID": number % 0x8000,
            "Priority": 0,
            **more,
        }
        data = remote_query.unique_keys(one.level, one.uids, transfer_syntax=context.transfer_syntax)
        status = await _asked(fetch, association, context, command, data)
        worst = status if worst == dimse_scu.SUCCESS else worst
    return worst


async def _asked(
    fetch: _Fetch, association: Association, context: Context, command: Mapping[str, object], data: bytes
) -> int:
    status = dimse_scu.SUCCESS
    number = int(str(command["MessageID"]))
    cancelling = asyncio.create_task(_cancel(fetch, association, context, number))
    try:
        async with aclosing(association.ask(context, command, data)) as answers:
            async for message in answers:
                status = message.command.get("Status", 0)
                fetch.more()
    finally:
        cancelling.cancel()
        with suppress(asyncio.CancelledError):
            await cancelling
    return int(status)


async def _cancel(fetch: _Fetch, association: Association, context: Context, message_id: int) -> None:
    await fetch.desk.stopped.wait()
    with suppress(UpperLayerError):
        await association.cancel(context, message_id)


async def _watch(fetch: _Fetch, association: Association) -> None:
    """Abort where nothing is heard for long: neither answers (pending ones are optional) nor instances."""
    fetch.more()
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        before = fetch.here
        if context_of(association, GET) is None:
            fetch.here = len(await here(fetch.box, fetch.remote.uids))
        if fetch.here != before:
            fetch.more()
        silent = asyncio.get_running_loop().time() - fetch.heard
        if silent > _SILENCE * fetch.peer.response_timeout:
            log.warning("peer %s was silent for %d seconds", fetch.peer.name, silent)
            await association.abort()
            return
