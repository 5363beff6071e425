"""Where peers are: names looked up and remembered for a moment, and addresses that are never called."""

import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict

from dicomweb_box.accounts.addresses import plain_address
from dicomweb_box.box import Box
from dicomweb_box.errors import BoxError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

REMEMBERED = 60.0
"""Seconds for which the addresses of a name are not looked up again."""
PATIENCE = 3.0
"""Seconds that a look-up may take."""
MOST = 1000
# Clouds (AWS, Alibaba) tell keys there to whatever runs on a machine; 169.254.169.254 is link-local.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))


class HostRefused(BoxError):
    """A host that is not called, or whose name nobody knows; the message says why."""


class Hosts:
    """What names stand for, as this process found out."""

    def __init__(self, box: Box) -> None:
        del box
        self._found: OrderedDict[str, tuple[float, tuple[Address, ...]]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[tuple[Address, ...]]] = {}

    async def addresses(self, host: str) -> tuple[Address, ...]:
        """The addresses of a name, or the one that is written; none where the name is not known."""
        try:
            return (plain_address(host),)
        except ValueError:
            pass
        until, found = self._found.get(host, (0.0, ()))
        if time.monotonic() < until:
            return found
        task = self._asking.get(host)
        if task is None:
            task = self._asking[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(lambda done: self._asking.pop(host, None))
        return await asyncio.shield(task)

    async def _ask(self, host: str) -> tuple[Address, ...]:
        found = await _looked_up(host)
        self._found[host] = (time.monotonic() + REMEMBERED, found)
        self._found.move_to_end(host)
        if len(self._found) > MOST:
            self._found.popitem(last=False)
        return found

    async def close(self) -> None:
        """Leave what is being looked up."""
        for task in list(self._asking.values()):
            task.cancel()


def hosts(box: Box) -> Hosts:
    """What this process knows of names."""
    return box.resource(Hosts, Hosts)


async def called_address(box: Box, host: str, *, loopback: bool) -> str:
    """The address to call a host at; raises HostRefused where its name is unknown or it is not to be called.

    Call the address and not the name: what a name stands for can change in between.
    """
    found = await hosts(box).addresses(host)
    if not found:
        raise HostRefused("The name of the host is not known.")
    for address in found:
        refuse(address, loopback=loopback)
    return str(found[0])


def refuse(address: Address, *, loopback: bool) -> None:
    """Raises HostRefused for an address that nobody's peer has."""
    if address.is_link_local or address in _METADATA:
        raise HostRefused("Link-local addresses and those of metadata services are not called.")
    if address.is_unspecified or address.is_multicast:
        raise HostRefused("This is no address of a single machine.")
    if address.is_loopback and not loopback:
        raise HostRefused("A peer on this machine itself is allowed by the setting peer_loopback.")


async def _looked_up(host: str) -> tuple[Address, ...]:
    asked = asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.wait_for(asked, PATIENCE)
    except (OSError, TimeoutError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(plain_address(str(one[4][0])) for one in found))
