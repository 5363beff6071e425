"""Brings studies here from a DICOM peer: by C-GET where the peer serves it, else by C-MOVE to ourselves.

The peer is asked first what the study holds. What is here already is not asked for again, and a study is
delivered when all that the peer named is durable here, whatever counts the peer answers.
"""

from collections.abc import Mapping
from typing import Final

from dicomweb_box.box import Box
from dicomweb_box.errors import PeerRefused, PeerUnreachable
from dicomweb_box.outbound import dimse_scu
from dicomweb_box.outbound.bringing_here import here
from dicomweb_box.outbound.fetching import Fetch, by_get, by_move
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.remote_studies import look, requests
from dicomweb_box.outbound.transfers import Item
from dicomweb_box.outbound.worker import Desk

_FINAL: Final[Mapping[int, str]] = {
    0x0122: "The peer does not serve this (status 0122).",
    0x0124: "The peer does not let us retrieve (status 0124).",
    0xA801: "The peer does not know where to send it: this box has to be set up there (status A801).",
    0xA900: "The peer does not take the request (status A900).",
}
"""What trying again does not help (PS3.4 Table C.4-2, C.4-3)."""


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
    remote = await look(box, peer, item.study_uid)
    if not remote.instances:
        await desk.settle(item.number, "failed", "The peer does not have this study.")
        return
    missing = remote.uids - await here(box, remote.uids)
    fetch = Fetch(box=box, desk=desk, peer=peer, item=item, remote=remote)
    fetch.more(len(remote.uids) - len(missing))
    status = await _fetched(fetch, missing) if missing else dimse_scu.SUCCESS
    await _settle(fetch, status)


async def _settle(fetch: Fetch, status: int) -> None:
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
        reason = f"{done} of {expected} instances have come ({_said(status)})."
        await settle(number, "again", reason, done=done)


def _said(status: int) -> str:
    return "the peer said that it sent all" if status == dimse_scu.SUCCESS else f"status {status:04X}"


async def _fetched(fetch: Fetch, missing: set[str]) -> int:
    """The worst status of what was asked; raises PeerUnreachable, PeerRefused."""
    wanted = list(requests(fetch.remote, fetch.item.study_uid, missing))
    before, status, silent = fetch.here, None, None
    try:
        status = await by_get(fetch, wanted)
    except PeerUnreachable as error:
        silent = error
    if status == dimse_scu.SUCCESS or fetch.here > before or fetch.refused or fetch.desk.stopped.is_set():
        if silent is not None:
            raise silent
        return status or dimse_scu.SUCCESS
    # Some negotiate C-GET and then do not serve it, or end the association at it.
    moved = await by_move(fetch, wanted)
    if moved is not None:
        return moved
    if silent is not None:
        raise silent
    if status is None:
        raise PeerRefused("The peer serves neither C-GET nor C-MOVE.")
    return status
