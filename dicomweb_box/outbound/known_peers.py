"""The peers there are, as each process remembers them: whoever calls or is called costs no look-up.

Every change of a peer moves a revision; a process asks for it at most once a second, and reads all of them
anew when it moved. The process that makes the change forgets at once.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dicomweb_box.accounts.access import Actor, Identity, Scope
from dicomweb_box.accounts.known import moved, revision_of
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.services import rights_for, services_of

LOOK_EVERY = 1.0
"""Seconds in which what another process changed is heard of."""
_MARK = "peers revision"


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer(Particulars):
    """A DICOM system that this box knows."""

    id: str
    loopback: bool
    """Whether it was allowed to be on this machine itself, by whoever told of it."""
    made_at: str
    made_by: str
    changed_at: str
    kind: str = "dimse"

    @property
    def identity(self) -> Identity:
        """Who it is here, and what it may."""
        rights = rights_for(self.may)
        return Identity(
            actor=Actor(name=self.name, kind="peer"), scope=Scope.from_json(self.scope), rights=rights
        )


class KnownPeers:
    """What this process remembers of them."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._revision: int | None = None
        self._looked = float("-inf")
        self._looking = asyncio.Lock()
        self._peers: tuple[Peer, ...] = ()
        self._by_name: dict[str, Peer] = {}
        self._by_title: dict[str, Peer] = {}

    async def every(self) -> Sequence[Peer]:
        """All, by name."""
        await self._refresh()
        return self._peers

    async def by_name(self, name: str) -> Peer | None:
        """The peer of a name, in whatever case."""
        await self._refresh()
        return self._by_name.get(name.casefold())

    async def by_ae_title(self, title: str) -> Peer | None:
        """The peer of an AE title; spaces around it mean nothing (PS3.5 6.2)."""
        await self._refresh()
        return self._by_title.get(title.strip(" "))

    def forget(self) -> None:
        """That they are known, since something changed."""
        self._looked = float("-inf")

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _refresh(self) -> None:
        if time.monotonic() - self._looked <= LOOK_EVERY:
            return
        async with self._looking:
            if time.monotonic() - self._looked > LOOK_EVERY:
                await self._look(time.monotonic())

    async def _look(self, now: float) -> None:
        # In this order: what is read is never older than the revision that it is kept for.
        revision = await revision_of(self.box, _MARK)
        if revision != self._revision:
            found = await self.box.database.fetch_all("select * from peer order by folded")
            self._peers = tuple(map(_peer, found))
            self._by_name = {one.name.casefold(): one for one in self._peers}
            self._by_title = {one.ae_title: one for one in self._peers}
        self._revision, self._looked = revision, now


def known_peers(box: Box) -> KnownPeers:
    """The memory of this process."""
    return box.resource(KnownPeers, KnownPeers)


async def changed(w: Writer) -> None:
    """Move the revision, in the transaction of the change."""
    await moved(w, _MARK)


def _peer(row: Row) -> Peer:
    return Peer(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        ae_title=row["ae_title"],
        host=row["host"],
        port=row["port"],
        tls=bool(row["tls"]),
        certificate=row["certificate"],
        addresses=tuple(json.loads(row["addresses"])),
        may=services_of(json.loads(row["may"])),
        scope=json.loads(row["scope"]),
        made_at=row["made_at"],
        made_by=row["made_by"],
        changed_at=row["changed_at"],
        **json.loads(row["options"]),
    )
