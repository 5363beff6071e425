"""One fetch of this process: of a series, or of one instance of it.

Each instance can be served as soon as it is stored. Of several processes one fetches; in the others a Fetch
only lasts as long as that (`proxy_leases`).
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from dicomweb_box.archive import proxied
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound, PeerRefused, PeerUnreachable
from dicomweb_box.outbound import dimse_scu, proxy_leases, remote_studies
from dicomweb_box.outbound.bringing_here import here
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.proxy_bringing import LOOK_EVERY, Coming, Wanted, bring

log = logging.getLogger(__name__)

Calling = Callable[[], AbstractAsyncContextManager[None]]
"""A turn among the associations that the peer may have."""


class Fetch:
    """One in this process; `task` ends when all has come, or raises why it has not."""

    def __init__(self, box: Box, peer: Peer, wanted: Wanted, calling: Calling, first: str | None) -> None:
        self.box, self.peer, self.wanted = box, peer, wanted
        self.leads = True
        self._calling = calling
        first = first or wanted.alone
        self._coming = Coming(box=box, peer=peer, wanted=wanted, first=first, moved=self._move)
        self._moved = asyncio.Event()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._end)

    @property
    def here(self) -> set[str]:
        """What has come so far, or was there before."""
        return self._coming.here

    async def until(self, instance_uid: str) -> None:
        """Return once the instance has come, or the fetch has ended or looks elsewhere; raises as `task`."""
        while instance_uid not in self.here and not self.task.done() and self.leads:
            await self._moved.wait()
        if instance_uid not in self.here and self.task.done():
            await self.task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._move()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("peer %s: %s", self.peer.name, type(error).__name__)

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _run(self) -> None:
        async with proxy_leases.held(self.box, self.wanted.thing) as ours:
            if ours:
                await self._fetch()
                return
        self.leads = False
        self._move()
        # It is another process that ends it.
        while await proxy_leases.is_held(self.box, self.wanted.thing):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)

    async def _fetch(self) -> None:
        box, wanted, coming = self.box, self.wanted, self._coming
        async with self._calling():
            remote = await remote_studies.look(box, self.peer, wanted.study_uid, wanted.series_uid)
            if not remote.uids or (wanted.alone and wanted.alone not in remote.uids):
                raise NotFound("the peer has no such study, series or instance")
            asked = {wanted.alone} if wanted.alone else remote.uids
            coming.here = await here(
                box,
                remote.uids,
                realm=wanted.realm,
                study_uid=wanted.study_uid,
                series_uid=wanted.series_uid,
            )
            coming.more()
            if coming.first not in remote.uids:
                coming.first = None
            status = dimse_scu.SUCCESS
            if not asked <= coming.here:
                await proxied.check_room(box)
                status = await bring(coming, remote, asked)
        self._check(asked, status)

    def _check(self, asked: set[str], status: int) -> None:
        lacking = len(asked - self.here)
        if not lacking:
            return
        if self._coming.refused:
            raise PeerRefused(
                f"{lacking} of {len(asked)} instances of the peer could not be taken:"
                f" {self._coming.refused[0].message}."
            )
        raise PeerUnreachable(
            f"{lacking} of {len(asked)} instances have not come from the peer (status {status:04X})."
        )
