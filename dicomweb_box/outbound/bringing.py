"""Asking for studies of a peer to be brought here."""

from collections.abc import Sequence

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.box import Box
from dicomweb_box.database import chunks, in_list
from dicomweb_box.outbound.enqueueing import Wanted, enqueue
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.transfers import Item

MOST_STUDIES = 1000
"""Of one transfer."""


async def bring(box: Box, peer: Peer, study_uids: Sequence[str], *, actor: Actor, scope: Scope) -> str:
    """The id of a new transfer that brings these studies here; it is durable."""
    wanted = Wanted(kind="retrieve", peer=peer.name, actor=actor, scope=scope)
    items = [
        Item(number=number, what="study", study_uid=uid)
        for number, uid in enumerate(dict.fromkeys(study_uids), 1)
    ]
    return await box.database.write(lambda w: enqueue(w, box, wanted, items))


async def studies_here(box: Box, study_uids: Sequence[str]) -> set[str]:
    """Which of these studies the archive has, or a part of them."""
    found: set[str] = set()
    for some in chunks(study_uids, 500):
        names, params = in_list("uid", some)
        rows = await box.database.fetch_all(
            f"select study_uid from study where realm = 'main' and study_uid in {names}", params
        )
        found.update(row["study_uid"] for row in rows)
    return found
