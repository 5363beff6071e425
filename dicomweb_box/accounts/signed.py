"""Signed addresses: one address of the services with its proof in it, for what can send no headers.

`<video>`, `<img>` and downloads by other programs take an address alone. It holds for minutes, for this path
and query and for GET, and only as long as the log-in, account, token or link that had it signed.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicomweb_box.accounts import credentials, shares
from dicomweb_box.accounts.access import Identity
from dicomweb_box.accounts.keys import derived, derived_all
from dicomweb_box.box import Box
from dicomweb_box.errors import BadRequest, Unauthenticated

SERVICES = ("/dicom-web/", "/wado")
LONGEST = timedelta(hours=1)
MOST_CHARACTERS = 4096
_PURPOSE = "signed urls"
_WHO: dict[str, Callable[[Box, str], Awaitable[Identity | None]]] = {
    "s": credentials.of_session,
    "a": credentials.of_account,
    "t": credentials.of_token,
    "l": shares.of_link,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """What a signed address says."""

    path: str
    query: str
    """Without what was added to sign it."""
    expires: str
    who: str
    mac: str


async def sign(box: Box, identity: Identity, address: str, *, life: timedelta) -> tuple[str, datetime]:
    """The address with its proof, and when that ends; as it is, where nobody has to prove anything.

    Raises BadRequest for one that is none of the services, and for a life that cannot be.
    """
    path, query = _parts(address)
    if not timedelta(seconds=1) <= life <= LONGEST:
        raise BadRequest(f"A signed address holds for 1 to {int(LONGEST.total_seconds())} seconds.")
    ends = (box.clock() + life).replace(microsecond=0)
    who = _who(identity)
    if who is None:
        return address, ends
    expires = str(int(ends.timestamp()))
    mac = _mac(await derived(box, _PURPOSE), path, query, expires, who)
    return f"{path}?{query}{'&' if query else ''}expires={expires}&signature={who}.{mac}", ends


def taken_apart(path: str, query: str) -> Signature | None:
    """The signature of an address; None where it has none."""
    given, rest = {"expires": "", "signature": ""}, []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in given:
            given[name] = value
        else:
            rest.append(part)
    who, dot, mac = given["signature"].partition(".")
    if not (who and dot and mac):
        return None
    return Signature(path=path, query="&".join(rest), expires=given["expires"], who=who, mac=mac)


async def proved(box: Box, signature: Signature) -> Identity:
    """Who had it signed; raises Unauthenticated where it was changed, has ended, or holds no more."""
    asked = (signature.path, signature.query, signature.expires, signature.who)
    keys = await derived_all(box, _PURPOSE)
    good = [hmac.compare_digest(_mac(key, *asked), signature.mac) for key in keys if signature.mac.isascii()]
    if any(good) and int(signature.expires) > box.clock().timestamp():
        found = await _WHO[signature.who[0]](box, signature.who[1:])
        if found is not None:
            return found
    raise Unauthenticated("This signed address was changed, or has ended.")


def _who(identity: Identity) -> str | None:
    """The narrowest thing that lets it in: what ends first ends its signed addresses."""
    for letter, key in (
        ("l", identity.link),
        ("t", identity.token),
        ("s", identity.session),
        ("a", identity.account),
    ):
        if key is not None:
            return letter + key
    return None


def _parts(address: str) -> tuple[str, str]:
    path, _, query = address.partition("?")
    if path != "/wado" and not path.startswith("/dicom-web/"):
        raise BadRequest("A signed address begins with /dicom-web/ or is /wado.")
    if len(address) > MOST_CHARACTERS or not address.isascii() or not address.isprintable() or " " in address:
        raise BadRequest("An address is of printable ASCII characters, others percent-encoded.")
    if "#" in address or taken_apart(path, query) is not None:
        raise BadRequest("An address to sign has no fragment and no signature.")
    return path, query


def _mac(key: bytes, path: str, query: str, expires: str, who: str) -> str:
    text = "\n".join(("GET", path, query, expires, who))
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).rstrip(b"=").decode()
