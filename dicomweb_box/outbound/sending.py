"""Sends instances of the archive to a DICOM peer by C-STORE, and writes what the peer answered for each."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from dicomweb_box.archive import retrieve_keys
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.retrieve_keys import Keys
from dicomweb_box.box import Box
from dicomweb_box.errors import PeerUnreachable
from dicomweb_box.outbound import confirmations
from dicomweb_box.outbound.services import Service
from dicomweb_box.outbound.storing import Result, store_to
from dicomweb_box.outbound.transfers import Item
from dicomweb_box.outbound.worker import Desk

MOST = 200
"""Instances of a batch, and so of an association."""


async def send(box: Box, desk: Desk) -> None:
    """Send the instances of a batch; raises PeerUnreachable."""
    peer = await desk.peer()
    if peer is None:
        return
    left = {item.instance_uid: item for item in desk.batch.items}
    transfer = desk.batch.transfer
    confirmed = Service.COMMIT in peer.may
    if confirmed:
        await desk.write(lambda w: confirmations.expect(w, box, desk.batch))
    found = await retrieve_keys.find(
        box, Keys(level="instance", instance_uids=tuple(left)), scope=transfer.seen, actor=transfer.asked_by
    )
    taken: set[str] = set()
    async with aclosing(
        store_to(box, peer, _until_stopped(desk, found.instances(), taken), kinds=found.kinds)
    ) as results:
        async for result in results:
            await _settle(desk, left.pop(result.instance.instance_uid), result)
    for uid, item in left.items():
        if uid not in taken and not desk.stopped.is_set():
            await desk.settle(item.number, "failed", "It is not in the archive any more.")
    if confirmed:
        await desk.write(lambda w: confirmations.expect(w, box, desk.batch))


async def _until_stopped(
    desk: Desk, instances: AsyncIterator[Instance], taken: set[str]
) -> AsyncIterator[Instance]:
    async for instance in instances:
        if desk.stopped.is_set():
            return
        taken.add(instance.instance_uid)
        yield instance


async def _settle(desk: Desk, item: Item, result: Result) -> None:
    words = f"{result.words[:1].upper()}{result.words[1:]}."
    if result.verdict != "failed":
        await desk.settle(item.number, "delivered", "" if result.verdict == "stored" else words, done=1)
    elif not result.again:
        await desk.settle(item.number, "refused", words)
    elif result.unreached:
        # It says nothing of this instance: nobody was there to take it.
        raise PeerUnreachable(words)
    else:
        await desk.settle(item.number, "again", words)
