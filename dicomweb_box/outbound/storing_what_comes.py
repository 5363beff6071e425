"""The SCP's side of a C-GET of ours: each instance that the peer sends is answered once it is durable."""

import logging
from collections.abc import Awaitable, Callable

from dicomweb_box.archive.outcomes import Outcome, Stored
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response

log = logging.getLogger(__name__)

Take = Callable[[Message], Awaitable[Outcome]]


async def serve(association: Association, take: Take, peer: str) -> None:
    """Give each C-STORE to `take` and answer what became of it, until the association ends or we leave."""
    try:
        while (message := await association.receive()) is not None:
            await _serve(association, message, take)
    except UpperLayerError as error:
        log.debug("retrieval from %s: %s", peer, error)
    except BaseException:
        # Nobody would answer any more: the peer must not wait for us, nor we for it.
        await association.abort()
        raise


async def _serve(association: Association, message: Message, take: Take) -> None:
    status, comment = 0x0211, "only C-STORE is served here"
    if message.command["CommandField"] == commands.C_STORE_RQ:
        outcome = await take(message)
        status, comment = (
            (0x0000, "") if isinstance(outcome, Stored) else (int(outcome.reason), outcome.message)
        )
    await association.send(message.context, response(message, status, comment))
