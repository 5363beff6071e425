"""Brings what is wanted of a peer into its cache: by C-GET, else by C-MOVE.

C-MOVE goes to an AE title of its own (`proxy_ae_title`), by which our door knows that what comes is for the
cache: an instance that comes so looks like any other that the peer stores. It must not end in the archive,
nor what is to be kept for good in the cache.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from dicomweb_box.accounts.access import SYSTEM, Scope
from dicomweb_box.archive import proxied
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.box import Box
from dicomweb_box.database import chunks
from dicomweb_box.dicom import remote_query
from dicomweb_box.dicom.remote_query import Level
from dicomweb_box.errors import PeerRefused, PeerUnreachable
from dicomweb_box.outbound import arrivals, dimse_scu
from dicomweb_box.outbound.bringing_here import AT_ONCE, calling, here, taking
from dicomweb_box.outbound.dimse_scu import GET, MOVE, context_of
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.proxy_leases import Thing
from dicomweb_box.outbound.remote_studies import Remote
from dicomweb_box.outbound.retrieval_contexts import storage_contexts
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.message import Context, Message

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.2
"""Seconds between two looks at what comes by another process."""
_NEITHER: Final = "The peer serves neither C-GET nor C-MOVE."
_NO_GET: Final = "The peer does not serve C-GET; for C-MOVE this box needs the setting proxy_ae_title."
_SENT: Final = (dimse_scu.SUCCESS, 0xB000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is fetched: a series, or of it one instance alone."""

    realm: str
    study_uid: str
    series_uid: str
    alone: str | None = None

    @property
    def thing(self) -> Thing:
        """As processes tell one another of it."""
        return Thing(realm=self.realm, study_uid=self.study_uid, what=self.alone or self.series_uid)


@dataclass(kw_only=True, eq=False)
class Coming:
    """What has come so far, and what somebody waits for first."""

    box: Box
    peer: Peer
    wanted: Wanted
    first: str | None
    moved: Callable[[], None]
    """Called whenever something was heard of it."""
    here: set[str] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)
    came: bool = False
    heard: float = 0.0

    def more(self) -> None:
        """Something was heard of it."""
        self.heard = asyncio.get_running_loop().time()
        self.moved()

    @property
    def proxy_title(self) -> str | None:
        """The AE title that C-MOVE goes to; never the archive's own."""
        settings = self.box.settings
        return None if settings.proxy_ae_title == settings.ae_title else settings.proxy_ae_title


async def bring(coming: Coming, remote: Remote, asked: set[str]) -> int:
    """The status of the last request; raises PeerRefused where the peer serves none that would do."""
    status, silent = None, None
    try:
        status = await _get(coming, remote, asked)
    except PeerUnreachable as error:
        silent = error
    if coming.came or status == dimse_scu.SUCCESS:
        if silent is not None:
            raise silent
        return status or dimse_scu.SUCCESS
    # Some negotiate C-GET and then do not serve it, or end the association at it.
    moved = await _move(coming, remote, asked) if coming.proxy_title is not None else None
    if moved is not None:
        return moved
    if silent is not None:
        raise silent
    if status is None:
        raise PeerRefused(_NEITHER if coming.proxy_title else _NO_GET)
    return status


async def _get(coming: Coming, remote: Remote, asked: set[str]) -> int | None:
    """The status of C-GET (PS3.4 C.4.3), by which instances come over the same association.

    None where the peer does not serve it.
    """
    contexts = storage_contexts(remote.classes, coming.peer.syntaxes)
    async with calling(coming, GET, contexts) as association:
        context = None if association is None else context_of(association, GET)
        if association is None or context is None:
            return None
        if not any(one.as_scp for one in association.contexts.values()):
            return None
        async with taking(association, partial(_take, coming, association), coming.peer.name):
            return await _ask_all(coming, association, context, remote, asked)


async def _move(coming: Coming, remote: Remote, asked: set[str]) -> int | None:
    """The status of C-MOVE (PS3.4 C.4.2) to the AE title under which our door stores into the cache.

    None where the peer does not serve it.
    """
    async with calling(coming, MOVE) as association:
        context = None if association is None else context_of(association, MOVE)
        if association is None or context is None:
            return None
        looking = asyncio.create_task(_look(coming, asked))
        try:
            status = await _ask_all(coming, association, context, remote, asked)
            if status in _SENT:
                # Some answer before they have sent.
                with suppress(TimeoutError):
                    async with asyncio.timeout(coming.peer.response_timeout):
                        await looking
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
    return status


async def _look(coming: Coming, asked: set[str]) -> None:
    """Hear of what comes to our door, in whichever process, until all is here."""
    while not asked <= coming.here:
        wanted = coming.wanted
        came = await here(
            coming.box,
            asked - coming.here,
            realm=wanted.realm,
            study_uid=wanted.study_uid,
            series_uid=wanted.series_uid,
        )
        if came:
            coming.here |= came
            coming.came = True
            coming.more()
            await proxied.used(coming.box, coming.wanted.realm, coming.wanted.study_uid)
        await asyncio.sleep(LOOK_EVERY)


async def _ask_all(
    coming: Coming, association: Association, context: Context, remote: Remote, asked: set[str]
) -> int:
    status = dimse_scu.SUCCESS
    for level, uids in _requests(coming, remote, asked):
        status = await _ask(coming, association, context, level, uids)
    return status


def _requests(coming: Coming, remote: Remote, asked: set[str]) -> Iterator[tuple[Level, str]]:
    """What somebody waits for, then the series, or what of it is lacking."""
    if coming.first is not None and coming.first not in coming.here:
        yield "instance", coming.first
    lacking = asked - coming.here
    if len(lacking) > 1 and len(lacking) >= len(remote.uids) - 1:
        yield "series", ""
        return
    # PS3.4 C.4.2.1.4: a list of UIDs at the level of the request.
    for some in chunks(sorted(lacking - {coming.first}), AT_ONCE):
        yield "instance", "\\".join(some)


async def _ask(coming: Coming, association: Association, context: Context, level: Level, uids: str) -> int:
    keys = {"StudyInstanceUID": coming.wanted.study_uid, "SeriesInstanceUID": coming.wanted.series_uid}
    if uids:
        keys["SOPInstanceUID"] = uids
    data = remote_query.unique_keys(level, keys, transfer_syntax=context.transfer_syntax)
    command: dict[str, object] = {
        "CommandField": commands.C_GET_RQ,
        "AffectedSOPClassUID": context.abstract_syntax,
        "Priority": 0,
    }
    if context.abstract_syntax == MOVE:
        command |= {"CommandField": commands.C_MOVE_RQ, "MoveDestination": coming.proxy_title}
    status = dimse_scu.SUCCESS
    async with aclosing(association.ask(context, command, data)) as answers:
        async for message in answers:
            status = int(message.command.get("Status", 0))
            coming.heard = asyncio.get_running_loop().time()
    return status


async def _take(coming: Coming, association: Association, message: Message) -> Outcome:
    wanted = coming.wanted
    outcome = await arrivals.arrived(
        coming.box,
        association,
        message,
        source=f"dimse:{coming.peer.ae_title}",
        actor=SYSTEM,
        scope=Scope(realm=wanted.realm),
        sent_by=coming.peer.ae_title,
        realm=wanted.realm,
        study_uid=wanted.study_uid,
    )
    if isinstance(outcome, Stored):
        # A peer may give what it was not asked for.
        if outcome.series_uid == wanted.series_uid:
            coming.here.add(outcome.instance_uid)
        coming.came = True
    else:
        coming.refused.append(outcome)
    coming.more()
    await proxied.used(coming.box, wanted.realm, wanted.study_uid)
    return outcome
