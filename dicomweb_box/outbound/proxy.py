"""A peer as a read-through proxy: what is asked for is in the cache when these return.

Equal wants are one fetch in this process, and by leases one among processes. A want of one instance brings
its series, the instance first, and returns as soon as that is here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from dicomweb_box.archive import proxied
from dicomweb_box.archive.realms import cache_of
from dicomweb_box.archive.retrieve import Recent
from dicomweb_box.box import Box
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import NotFound, OutOfResources
from dicomweb_box.outbound import remote_studies
from dicomweb_box.outbound.bringing_here import here
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.proxy_bringing import LOOK_EVERY, Wanted
from dicomweb_box.outbound.proxy_fetch import Fetch
from dicomweb_box.outbound.remote_studies import Remote

SURE_FOR: Final = 60.0
"""Seconds for which what was whole a moment ago is not looked for again."""
PATIENCE: Final = 30.0
"""Seconds to wait for a turn among the associations with a peer."""
_SERIES_AT_ONCE: Final = 4
_NOTHING: Final = "the peer has no such study, series or instance"


class _Sure(Recent):
    """When something was found to be here whole, by realm and UIDs."""


class Proxies:
    """What this process is fetching, and how many associations it has with each peer for that."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._fetches: dict[Wanted, Fetch] = {}
        self._turns: dict[tuple[str, int], asyncio.Semaphore] = {}

    def fetch(self, peer: Peer, wanted: Wanted, first: str | None = None) -> Fetch:
        """The one that runs, or a new one."""
        found = self._fetches.get(wanted)
        if found is None or found.task.done():
            found = self._fetches[wanted] = Fetch(self.box, peer, wanted, partial(self.turn, peer), first)
            found.task.add_done_callback(lambda task: self._forget(wanted, task))
        return found

    def _forget(self, wanted: Wanted, task: asyncio.Task[None]) -> None:
        # The next one may have begun already.
        if (found := self._fetches.get(wanted)) is not None and found.task is task:
            del self._fetches[wanted]

    @asynccontextmanager
    async def turn(self, peer: Peer) -> AsyncIterator[None]:
        """One of the associations that the peer may have at once; raises OutOfResources after a while."""
        turns = self._turns.setdefault((peer.id, peer.associations), asyncio.Semaphore(peer.associations))
        try:
            async with asyncio.timeout(PATIENCE):
                await turns.acquire()
        except TimeoutError:
            raise OutOfResources(
                "as many associations with this peer as it may have are in use; ask again later"
            ) from None
        try:
            yield
        finally:
            turns.release()

    async def close(self) -> None:
        """Fetch no more."""
        tasks = [one.task for one in self._fetches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def proxies(box: Box) -> Proxies:
    """Those of this process."""
    return box.resource(Proxies, Proxies)


async def instance(box: Box, peer: Peer, study_uid: str, series_uid: str | None, instance_uid: str) -> None:
    """Have one instance here; raises NotFound, PeerUnreachable, PeerRefused, OutOfResources."""
    _check(study_uid, series_uid, instance_uid)
    realm = cache_of(peer.id)
    await proxied.used(box, realm, study_uid)
    key = (realm, study_uid, series_uid or "", instance_uid)
    while not (
        _is_sure(box, key)
        or await here(box, {instance_uid}, realm=realm, study_uid=study_uid, series_uid=series_uid)
    ):
        if series_uid is None:
            series_uid = _series_of(await _looked(box, peer, study_uid), instance_uid)
        wanted = Wanted(realm=realm, study_uid=study_uid, series_uid=series_uid)
        fetch = proxies(box).fetch(peer, wanted, instance_uid)
        await fetch.until(instance_uid)
        if fetch.leads and fetch.task.done() and instance_uid not in fetch.here:
            raise NotFound(_NOTHING)
        if not fetch.leads:
            await asyncio.sleep(LOOK_EVERY)
    box.resource(_Sure, _Sure).put(key, time.monotonic())


async def series(box: Box, peer: Peer, study_uid: str, series_uid: str) -> None:
    """Have a whole series here; raises as `instance`, also where a part of it does not come."""
    _check(study_uid, series_uid)
    realm = cache_of(peer.id)
    await proxied.used(box, realm, study_uid)
    await _whole(box, peer, Wanted(realm=realm, study_uid=study_uid, series_uid=series_uid))


async def study(box: Box, peer: Peer, study_uid: str) -> None:
    """Have a whole study here; raises as `series`."""
    _check(study_uid)
    realm = cache_of(peer.id)
    await proxied.used(box, realm, study_uid)
    if _is_sure(box, (realm, study_uid)):
        return
    remote = await _looked(box, peer, study_uid)
    if not remote.uids:
        raise NotFound(_NOTHING)
    some = asyncio.Semaphore(_SERIES_AT_ONCE)

    async def one(series_uid: str) -> None:
        async with some:
            await _whole(box, peer, Wanted(realm=realm, study_uid=study_uid, series_uid=series_uid))

    await _all(one(name) for name in remote.instances)
    box.resource(_Sure, _Sure).put((realm, study_uid), time.monotonic())


async def picture(box: Box, peer: Peer, study_uid: str, series_uid: str | None) -> None:
    """Have something here that a thumbnail can be made of, and no more; raises as `instance`."""
    _check(study_uid, series_uid)
    realm = cache_of(peer.id)
    await proxied.used(box, realm, study_uid)
    if await _has_some(box, realm, study_uid, series_uid):
        return
    async with proxies(box).turn(peer):
        remote = await remote_studies.look(box, peer, study_uid, series_uid)
    if not remote.uids:
        raise NotFound(_NOTHING)
    name, held = next(iter(remote.instances.items()))
    middle = list(held)[len(held) // 2]
    wanted = Wanted(realm=realm, study_uid=study_uid, series_uid=name, alone=middle)
    await asyncio.shield(proxies(box).fetch(peer, wanted).task)


async def _whole(box: Box, peer: Peer, wanted: Wanted) -> None:
    sure, key = box.resource(_Sure, _Sure), (wanted.realm, wanted.study_uid, wanted.series_uid)
    while not _is_sure(box, key):
        fetch = proxies(box).fetch(peer, wanted)
        # Whoever asked may leave; others wait for the same.
        await asyncio.shield(fetch.task)
        if fetch.leads:
            sure.put(key, time.monotonic())


def _is_sure(box: Box, key: tuple[str, ...]) -> bool:
    known: float | None = box.resource(_Sure, _Sure).get(key)
    return known is not None and time.monotonic() - known < SURE_FOR


async def _all(works: Iterable[object]) -> None:
    """Every one of them, or the first that is raised once all have ended."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):  # type: ignore[call-overload]
        if isinstance(outcome, BaseException):
            raise outcome


async def _looked(box: Box, peer: Peer, study_uid: str) -> Remote:
    async with proxies(box).turn(peer):
        return await remote_studies.look(box, peer, study_uid)


def _series_of(remote: Remote, instance_uid: str) -> str:
    for series_uid, held in remote.instances.items():
        if instance_uid in held:
            return series_uid
    raise NotFound(_NOTHING)


async def _has_some(box: Box, realm: str, study_uid: str, series_uid: str | None) -> bool:
    found = await box.database.fetch_value(
        "select 1 from study join series on series.study_id = study.id where study.realm = :realm"
        " and study.study_uid = :study and series.instance_count > 0"
        + ("" if series_uid is None else " and series.series_uid = :series")
        + " limit 1",
        {"realm": realm, "study": study_uid} | ({} if series_uid is None else {"series": series_uid}),
    )
    return found is not None


def _check(*uids: str | None) -> None:
    """Raises NotFound for what is no UID: a peer would take it as a pattern."""
    if any(uid is not None and clean_uid(uid.encode("ascii", "replace")) != uid for uid in uids):
        raise NotFound(_NOTHING)
