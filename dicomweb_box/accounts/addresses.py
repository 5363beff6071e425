"""Network addresses, as far as they tell clients apart."""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its zone, IPv4 as IPv4; raises ValueError for what is none."""
    found = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped
    return found


@lru_cache(maxsize=4096)
def client_key(address: str) -> str:
    """An address; of IPv6 its network, since one machine has 2⁶⁴ addresses in it (RFC 6177)."""
    try:
        plain = plain_address(address)
    except ValueError:
        return address
    return str(plain) if plain.version == 4 else plain.exploded[:19]
