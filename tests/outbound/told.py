"""Peers of the tests."""

from typing import Any

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
from dicomweb_box.accounts.granting import Giver
from dicomweb_box.accounts.rights import EVERY_RIGHT
from dicomweb_box.box import Box
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.services import EVERY_SERVICE

ON_A_PAGE = Giver(rights=EVERY_RIGHT, scope=EVERYTHING)
"""Who may give everything, but does not sit at the command line."""


def told(**more: Any) -> Particulars:
    """A modality that may do everything, with what is said otherwise."""
    given: dict[str, Any] = {"name": "north", "ae_title": "MODALITY1", "host": "10.1.2.3", "port": 104}
    return Particulars(**given | {"may": EVERY_SERVICE} | more)


async def made(box: Box, **more: Any) -> Peer:
    """The same, as a peer."""
    return await peers.add(box, told(**more), actor=SYSTEM)
