"""One series on its way from a peer into the cache: by C-GET, what somebody waits for first.

Each instance can be served as soon as it is stored. Of several processes one fetches; in the others a Fetch
only lasts as long as that (`proxy_leases`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from dicomweb_box.accounts.access import SYSTEM, Scope
from dicomweb_box.archive import proxied
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.box import Box
from dicomweb_box.database import chunks, in_list
from dicomweb_box.dicom import remote_query
from dicomweb_box.dicom.remote_query import Level
from dicomweb_box.errors import NotFound, PeerRefused, PeerUnreachable
from dicomweb_box.outbound import arrivals, dimse_scu, proxy_leases, remote_studies, storing_what_comes
from dicomweb_box.outbound.dimse_scu import GET, PLAIN, context_of, sentence
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.proxy_leases import Thing
from dicomweb_box.outbound.remote_studies import Remote
from dicomweb_box.outbound.retrieval_contexts import storage_contexts
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Context, Message
from dicomweb_box.upper_layer.requestor import Proposed

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.2
"""Seconds between two looks at what another process fetches."""
_AT_ONCE: Final = 500
_SILENCE: Final = 5
"""So many times its time to answer a peer may be silent while it fetches: from tape, say."""

Calling = Callable[[], AbstractAsyncContextManager[None]]
"""A turn among the associations that the peer may have."""


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


class Fetch:
    """One in this process; `task` ends when all has come, or raises why it has not."""

    def __init__(self, box: Box, peer: Peer, wanted: Wanted, calling: Calling, first: str | None) -> None:
        self.box, self.peer, self.wanted = box, peer, wanted
        self.here: set[str] = set()
        self.leads = True
        self._calling = calling
        self._first = first or wanted.alone
        self._refused: list[Refused] = []
        self._heard = 0.0
        self._moved = asyncio.Event()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._end)

    async def until(self, instance_uid: str) -> None:
        """Return once the instance has come, or the fetch has ended or looks elsewhere; raises as `task`."""
        while instance_uid not in self.here and not self.task.done() and self.leads:
            await self._moved.wait()
        if instance_uid not in self.here and self.task.done():
            await self.task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._more()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("peer %s: %s", self.peer.name, type(error).__name__)

    def _more(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        self._heard = asyncio.get_running_loop().time()

    async def _run(self) -> None:
        async with proxy_leases.held(self.box, self.wanted.thing) as ours:
            if ours:
                await self._fetch()
                return
        self.leads = False
        self._more()
        # It is another process that ends it.
        while await proxy_leases.is_held(self.box, self.wanted.thing):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)

    async def _fetch(self) -> None:
        box, wanted = self.box, self.wanted
        async with self._calling():
            remote = await remote_studies.look(box, self.peer, wanted.study_uid, wanted.series_uid)
            if not remote.uids or (wanted.alone and wanted.alone not in remote.uids):
                raise NotFound("the peer has no such study, series or instance")
            asked = {wanted.alone} if wanted.alone else remote.uids
            self.here = await here(box, wanted.realm, remote.uids)
            self._more()
            if self._first is not None and self._first not in remote.uids:
                self._first = None
            status = dimse_scu.SUCCESS
            if not asked <= self.here:
                await proxied.check_room(box)
                status = await self._get(remote, asked)
        self._check(asked, status)

    def _check(self, asked: set[str], status: int) -> None:
        lacking = len(asked - self.here)
        if not lacking:
            return
        if self._refused:
            raise PeerRefused(
                f"{lacking} of {len(asked)} instances of the peer could not be taken:"
                f" {self._refused[0].message}."
            )
        raise PeerUnreachable(
            f"{lacking} of {len(asked)} instances have not come from the peer (status {status:04X})."
        )

    async def _get(self, remote: Remote, asked: set[str]) -> int:
        """The status of the last C-GET (PS3.4 C.4.3): the instances come over the same association."""
        contexts = storage_contexts(remote.classes, self.peer.syntaxes)
        proposed = [Proposed(abstract_syntax=GET, transfer_syntaxes=PLAIN), *contexts]
        async with self._association(proposed) as association:
            context = context_of(association, GET)
            if context is None or not any(one.as_scp for one in association.contexts.values()):
                raise PeerRefused("The peer does not serve C-GET, which a proxy needs.")
            serving = asyncio.create_task(
                storing_what_comes.serve(association, partial(self._take, association), self.peer.name)
            )
            status = dimse_scu.SUCCESS
            try:
                for level, uids in self._requests(remote, asked):
                    status = await self._ask(association, context, level, uids)
            finally:
                association.leave()
                await serving
            return status

    def _requests(self, remote: Remote, asked: set[str]) -> Iterator[tuple[Level, str]]:
        """What somebody waits for, then the series, or what of it is lacking."""
        if self._first is not None and self._first not in self.here:
            yield "instance", self._first
        lacking = asked - self.here
        if len(lacking) > 1 and len(lacking) >= len(remote.uids) - 1:
            yield "series", ""
            return
        # PS3.4 C.4.2.1.4: a list of UIDs at the level of the request.
        for some in chunks(sorted(lacking - {self._first}), _AT_ONCE):
            yield "instance", "\\".join(some)

    async def _ask(self, association: Association, context: Context, level: Level, uids: str) -> int:
        keys = {"StudyInstanceUID": self.wanted.study_uid, "SeriesInstanceUID": self.wanted.series_uid}
        if uids:
            keys["SOPInstanceUID"] = uids
        data = remote_query.unique_keys(level, keys, transfer_syntax=context.transfer_syntax)
        command = {
            "CommandField": commands.C_GET_RQ,
            "AffectedSOPClassUID": context.abstract_syntax,
            "Priority": 0,
        }
        status = dimse_scu.SUCCESS
        async with aclosing(association.ask(context, command, data)) as answers:
            async for message in answers:
                status = int(message.command.get("Status", 0))
                self._heard = asyncio.get_running_loop().time()
        return status

    async def _take(self, association: Association, message: Message) -> Outcome:
        wanted = self.wanted
        outcome = await arrivals.arrived(
            self.box,
            association,
            message,
            source=f"dimse:{self.peer.ae_title}",
            actor=SYSTEM,
            scope=Scope(realm=wanted.realm),
            sent_by=self.peer.ae_title,
            realm=wanted.realm,
            study_uid=wanted.study_uid,
        )
        if isinstance(outcome, Stored):
            self.here.add(outcome.instance_uid)
        else:
            self._refused.append(outcome)
        self._more()
        await proxied.used(self.box, wanted.realm, wanted.study_uid)
        return outcome

    @asynccontextmanager
    async def _association(self, proposed: list[Proposed]) -> AsyncIterator[Association]:
        association = await dimse_scu.called(self.box, self.peer, proposed, patient=True)
        watching = asyncio.create_task(self._watch(association))
        try:
            yield association
        except UpperLayerError as error:
            raise PeerUnreachable(sentence(error)) from error
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await dimse_scu.ended(association)

    async def _watch(self, association: Association) -> None:
        """Abort where nothing is heard for long: pending answers are optional (PS3.4 C.4.3.2.2)."""
        self._heard = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(1.0)
            silent = asyncio.get_running_loop().time() - self._heard
            if silent > _SILENCE * self.peer.response_timeout:
                log.warning("peer %s was silent for %d seconds", self.peer.name, silent)
                await association.abort()
                return


async def here(box: Box, realm: str, uids: set[str]) -> set[str]:
    """Which of these instances are in the cache."""
    found: set[str] = set()
    for some in chunks(sorted(uids), _AT_ONCE):
        names, params = in_list("uid", some)
        rows = await box.database.fetch_all(
            "select instance_uid from instance where realm = :realm and state = 'current'"
            f" and instance_uid in {names}",
            params | {"realm": realm},
        )
        found.update(row["instance_uid"] for row in rows)
    return found
