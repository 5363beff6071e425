"""Which services are offered: by SOP class and command, who answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dicomweb_box.dimse import echo_scp, store_scp
from dicomweb_box.dimse.call import Call
from dicomweb_box.dimse.negotiation import is_storage
from dicomweb_box.outbound.services import Service
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Message

Handler = Callable[[Call, Message], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A service that can be asked for in a presentation context."""

    service: Service
    handler: Handler


VERIFICATION: Final = "1.2.840.10008.1.1"

SERVICES: dict[str, Mapping[int, Offer]] = {
    VERIFICATION: {commands.C_ECHO_RQ: Offer(service=Service.ECHO, handler=echo_scp.echo)},
}
"""By abstract syntax and Command Field; storage classes are without number."""

STORAGE: Mapping[int, Offer] = {commands.C_STORE_RQ: Offer(service=Service.STORE, handler=store_scp.store)}

EXTENDED: dict[str, Callable[[bytes], bytes]] = {}
"""By abstract syntax, what is answered to service class application information (PS3.7 D.3.3.5)."""


def offers(abstract_syntax: str) -> Mapping[int, Offer]:
    """What can be asked for under an abstract syntax; nothing where it is not supported."""
    found = SERVICES.get(abstract_syntax)
    if found is None:
        found = STORAGE if is_storage(abstract_syntax) else {}
    return found
