"""What is told of a peer, and whether it can be so."""

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from dicomweb_box.accounts.access import Scope
from dicomweb_box.accounts.addresses import plain_address
from dicomweb_box.dicom import ae_title as ae_titles
from dicomweb_box.dicom.charset import charset
from dicomweb_box.errors import BadRequest
from dicomweb_box.outbound.services import NO_SERVICE, Service

Syntaxes = Literal["any", "uncompressed"]
SYNTAXES: tuple[Syntaxes, ...] = get_args(Syntaxes)

LONGEST_NAME = 64
MOST_ADDRESSES = 100
ANYWHERE = ("0.0.0.0/0", "::/0")
"""What `any` stands for among addresses."""
_NAME = re.compile(r"[^\W_](?:[\w .-]{0,62}[^\W_])?")
_RESERVED = frozenset({"new"})
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*)(?:\.[A-Za-z0-9_-]+)*\.?")
_CERTIFICATE = re.compile(r"[0-9a-f]{64}")


class BadParticular(BadRequest):
    """Something told of a peer that cannot be so; `field` names which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.field = name


@dataclass(frozen=True, kw_only=True, slots=True)
class Particulars:
    """How a DICOM peer is reached, recognised and talked to, and what it may."""

    name: str
    ae_title: str
    host: str | None = None
    """Where it listens; None: it only calls."""
    port: int | None = None
    tls: bool = False
    """Whether it is called by TLS."""
    certificate: str | None = None
    """SHA-256, in hexadecimal, of the certificate that it must show; None: it needs none."""
    addresses: tuple[str, ...] = ()
    """Networks that it calls from; none: the addresses of its host."""
    may: frozenset[Service] = NO_SERVICE
    scope: dict[str, Any] = field(default_factory=dict)
    """The part of the archive that is its own: lists of studies, sources, labels; a missing one: all."""
    syntaxes: Syntaxes = "any"
    """Transfer syntaxes that are offered to it and accepted from it."""
    charset: str | None = None
    """Specific Character Set that it is answered in; None: whatever fits."""
    pdu_size: int = 0
    """Most bytes of a PDU that it is told to send when called; 0: as for all."""
    connect_timeout: int = 10
    """Seconds that it may take to accept a connection and an association."""
    response_timeout: int = 60
    """… to answer a request."""
    idle_timeout: int = 300
    """… between two messages of its own."""
    associations: int = 8
    """Most at once: its own with all processes of a machine, and ours of one operation."""
    transfers: int = 2
    """Batches of transfers that it gets, or is asked for, at once."""
    proxy: bool = False
    """Whether it is offered as a read-through proxy under /dicom-web/proxy."""


_NUMBERS = {
    "connect_timeout": (1, 3600),
    "response_timeout": (1, 86400),
    "idle_timeout": (1, 86400),
    "associations": (1, 1000),
    "transfers": (1, 8),
}


def address_of(text: str) -> tuple[str, str | None, int | None]:
    """AE title, host and port of `AET@HOST:PORT`, or of an AE title alone; raises BadParticular.

    The last @ counts, since an AE title can have one; an IPv6 address stands in brackets.
    """
    title, at, place = text.rpartition("@")
    if not at:
        return text, None, None
    host, colon, port = place.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port):
        raise BadParticular(
            "host", "A DICOM peer is told as AET@HOST:PORT, or by its AE title if it only calls."
        )
    return title, host, int(port)


def checked(told: Particulars) -> Particulars:
    """The same as it is kept; raises BadParticular for the first that cannot be so."""
    host = _host(told.host)
    for name, (least, most) in _NUMBERS.items():
        if not least <= getattr(told, name) <= most:
            raise BadParticular(name, f"This is a number from {least} to {most}.")
    if told.pdu_size and not 4096 <= told.pdu_size <= 1 << 31:
        raise BadParticular("pdu_size", "A PDU has 4096 bytes or more; 0: as for all.")
    if told.proxy and host is None:
        raise BadParticular("proxy", "Only a peer with a host can be offered as a proxy: it is asked there.")
    if told.syntaxes not in SYNTAXES:
        raise BadParticular("syntaxes", f"Transfer syntaxes are {' or '.join(SYNTAXES)}.")
    addresses = _addresses(told.addresses)
    if host is None and not addresses:
        raise BadParticular(
            "addresses", "Without a host, say where it calls from: addresses, networks or any."
        )
    return replace(
        told,
        name=_name(told.name),
        ae_title=_ae_title(told.ae_title),
        host=host,
        port=_port(told.port, host),
        certificate=_certificate(told.certificate),
        addresses=addresses,
        scope=_scope(told.scope),
        charset=_charset(told.charset),
    )


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not _NAME.fullmatch(name) or name.casefold() in _RESERVED or name.casefold().endswith(".json"):
        raise BadParticular(
            "name",
            f"A peer's name has 1 to {LONGEST_NAME} letters, digits, spaces, dots, hyphens and underscores,"
            " a letter or digit at its ends, and is not “new”.",
        )
    return name


def _ae_title(text: str) -> str:
    title = ae_titles.ae_title_of(text)
    if title is None:
        raise BadParticular("ae_title", f"An AE title has {ae_titles.WORDS} (PS3.5 6.2).")
    return title


def _host(text: str | None) -> str | None:
    host = (text or "").strip().strip("[]")
    if not host:
        return None
    try:
        return str(plain_address(host))
    except ValueError:
        pass
    if not _HOST.fullmatch(host) or host.replace(".", "").isdecimal():
        raise BadParticular("host", "A host is a name or an address, without a port.")
    return host.lower().rstrip(".")


def _port(port: int | None, host: str | None) -> int | None:
    if host is None:
        return None
    if port is None or not 1 <= port <= 65535:
        raise BadParticular("port", "A port is a number from 1 to 65535; DICOM's own are 104 and 11112.")
    return port


def _certificate(text: str | None) -> str | None:
    digest = re.sub(r"[\s:]", "", text or "").lower().removeprefix("sha256").lstrip("=")
    if digest and not _CERTIFICATE.fullmatch(digest):
        raise BadParticular("certificate", "A certificate is known by its SHA-256: 64 hexadecimal digits.")
    return digest or None


def _addresses(given: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for text in given:
        if text.strip().lower() == "any":
            found.extend(ANYWHERE)
            continue
        try:
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError:
            raise BadParticular(
                "addresses",
                f"{text.strip()[:40]!r} is neither an address, a network such as 10.1.0.0/16, nor any.",
            ) from None
    if len(found) > MOST_ADDRESSES:
        raise BadParticular("addresses", f"These are more than {MOST_ADDRESSES} networks.")
    return tuple(dict.fromkeys(found))


def _scope(scope: dict[str, Any]) -> dict[str, Any]:
    try:
        Scope.from_json(scope)
    except BadRequest as error:
        raise BadParticular("scope", str(error)) from None
    return scope


def _charset(text: str | None) -> str | None:
    terms = (text or "").strip()
    if terms and (len(terms) > LONGEST_NAME or not terms.isascii() or charset(terms.encode()).unknown):
        raise BadParticular(
            "charset", "Character sets are defined terms as ISO_IR 100 or ISO_IR 192 (PS3.3 C.12.1.1.2)."
        )
    return terms or None
