"""What every retrieval from a DICOM peer does: call it, hear whether anything comes, know what is here.

An association on which nothing is heard for long is aborted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from dicomweb_box.box import Box
from dicomweb_box.database import chunks, in_list
from dicomweb_box.errors import PeerRefused, PeerUnreachable
from dicomweb_box.outbound import dimse_scu
from dicomweb_box.outbound.dimse_scu import PLAIN, sentence
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.storing_what_comes import Take, serve
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.requestor import Proposed

log = logging.getLogger(__name__)

AT_ONCE: Final = 500
"""UIDs that are asked for in one request."""
_WATCH_EVERY: Final = 2.0
_SILENCE: Final = 5
"""So many times its time to answer a peer may be silent while it fetches: from tape, say."""


class Retrieval(Protocol):
    """What is being brought here from a peer."""

    box: Box
    peer: Peer
    heard: float
    """When something was heard of it, by the loop's clock."""


async def here(
    box: Box,
    uids: Iterable[str],
    *,
    realm: str = "main",
    study_uid: str | None = None,
    series_uid: str | None = None,
) -> set[str]:
    """Which of these instances are served in a realm, in a study and series where they are named."""
    found: set[str] = set()
    place = {"study": study_uid, "series": series_uid}
    within = "".join(f" and {name}.{name}_uid = :{name}" for name, uid in place.items() if uid is not None)
    values = {"realm": realm} | {name: uid for name, uid in place.items() if uid is not None}
    for some in chunks(sorted(uids), AT_ONCE):
        names, params = in_list("uid", some)
        rows = await box.database.fetch_all(
            "select instance.instance_uid from instance join series on series.id = instance.series_id"
            " join study on study.id = series.study_id where instance.realm = :realm"
            f" and instance.state = 'current'{within} and instance.instance_uid in {names}",
            params | values,
        )
        found.update(row["instance_uid"] for row in rows)
    return found


@asynccontextmanager
async def calling(
    retrieval: Retrieval,
    service: str,
    more: Sequence[Proposed] = (),
    *,
    look: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Association | None]:
    """An association for a service, watched while it lasts; None where the peer does not want it.

    `look` is awaited every two seconds, to hear of what comes another way. Raises PeerUnreachable.
    """
    proposed = [Proposed(abstract_syntax=service, transfer_syntaxes=PLAIN), *more]
    try:
        association = await dimse_scu.called(retrieval.box, retrieval.peer, proposed, patient=True)
    except PeerRefused:
        yield None
        return
    watching = asyncio.create_task(_watch(retrieval, association, look))
    try:
        yield association
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await dimse_scu.ended(association)


@asynccontextmanager
async def taking(association: Association, take: Take, peer: str) -> AsyncIterator[None]:
    """Store what the peer sends over the same association, as for C-GET (PS3.4 C.4.3)."""
    serving = asyncio.create_task(serve(association, take, peer))
    try:
        yield
    finally:
        association.leave()
        await serving


async def _watch(
    retrieval: Retrieval, association: Association, look: Callable[[], Awaitable[None]] | None
) -> None:
    """Abort where nothing is heard for long: neither answers (pending ones are optional) nor instances."""
    loop, peer = asyncio.get_running_loop(), retrieval.peer
    retrieval.heard = loop.time()
    while True:
        await asyncio.sleep(_WATCH_EVERY)
        if look is not None:
            await look()
        silent = loop.time() - retrieval.heard
        if silent > _SILENCE * peer.response_timeout:
            log.warning("peer %s was silent for %d seconds", peer.name, silent)
            await association.abort()
            return
