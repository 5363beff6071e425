"""What `serve` listens on: the sockets by the settings, and what is refused before any is bound."""

import errno
import ipaddress
import logging
import socket
from dataclasses import dataclass
from typing import Any

from dicomweb_box.errors import BadSetting, OutOfResources
from dicomweb_box.settings import Settings

log = logging.getLogger(__name__)

KINDS = ("web", "dimse", "worker")
"""The kinds of role, in the order in which they are started."""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listening socket and the kind of role that accepts on it."""

    kind: str
    socket: socket.socket
    secured: bool


def kinds(settings: Settings) -> tuple[str, ...]:
    return KINDS if settings.role == "all" else (settings.role,)


def refuse_unsafe(settings: Settings) -> None:
    """BadSetting where what is served could be overheard or read by anybody, or is half told."""
    _refuse_beyond_loopback(settings)
    _refuse_dimse_half_told(settings)


def bound(settings: Settings) -> list[Listener]:
    """The bound and listening sockets; OutOfResources where an address is taken."""
    served = kinds(settings)
    made = []
    if "web" in served:
        secured = settings.tls_cert is not None
        made.append(
            Listener(kind="web", socket=_listen(settings, settings.host, settings.port), secured=secured)
        )
    if "dimse" in served:
        host = settings.dimse_host or settings.host
        if settings.dimse_port and (plain := _listen_plain_dimse(settings, host)):
            made.append(Listener(kind="dimse", socket=plain, secured=False))
        if settings.dimse_tls_port:
            secure = _listen(settings, host, settings.dimse_tls_port)
            made.append(Listener(kind="dimse", socket=secure, secured=True))
    return made


def _listen_plain_dimse(settings: Settings, host: str) -> socket.socket | None:
    """The socket of the DIMSE port; None where nobody chose that port and another program has it."""
    try:
        return _listen(settings, host, settings.dimse_port)
    except OutOfResources as error:
        if settings.role != "all" or settings.origins.get("dimse_port", "default") != "default":
            raise
        # Many a machine has a PACS on this port already, and whoever tries the pages does not need it.
        log.warning("DIMSE is not served: %s; choose another one with --dimse-port", error)
        return None


def line(listener: Listener, settings: Settings) -> str:
    """What is printed of a listening address (docs/settings.md)."""
    host, port = listener.socket.getsockname()[:2]
    address = f"{f'[{host}]' if ':' in host else host}:{port}"
    if listener.kind == "dimse":
        return f"DICOM{'-TLS' if listener.secured else ''} {settings.ae_title}@{address}"
    scheme = "https" if listener.secured else "http"
    return f"{scheme.upper()} {scheme}://{address}"


def _refuse_beyond_loopback(settings: Settings) -> None:
    """BadSetting where what is served could be overheard, or read by whoever can connect."""
    if "web" in kinds(settings) and not _is_loopback("host", settings.host):
        _refuse_http_beyond_loopback(settings)
    if "dimse" in kinds(settings) and (settings.dimse_port or settings.dimse_tls_port):
        name = "host" if settings.dimse_host is None else "dimse_host"
        host = settings.dimse_host or settings.host
        if _is_loopback(name, host):
            return
        if settings.no_auth:
            raise BadSetting(f"{name} {host} is not loopback; without accounts only this machine is served")
        if settings.dimse_port:
            # Most that speak DIMSE cannot speak TLS, so that this is told and not refused.
            log.warning("plain DIMSE is served beyond this machine: names and pictures can be overheard")


def _refuse_http_beyond_loopback(settings: Settings) -> None:
    if settings.no_auth:
        raise BadSetting(
            f"host {settings.host} is not loopback; without accounts only this machine is served"
        )
    if settings.tls_cert is None and not settings.insecure_http:
        raise BadSetting(
            f"host {settings.host} is not loopback; beyond it HTTPS is served (tls_cert, tls_key),"
            " or plain HTTP with insecure_http"
        )
    if settings.tls_cert is None:
        log.warning("plain HTTP is served beyond this machine: passwords and pictures can be overheard")


def _refuse_dimse_half_told(settings: Settings) -> None:
    """BadSetting where DIMSE cannot be served as it is set."""
    ports = [port for port in (settings.dimse_port, settings.dimse_tls_port) if port]
    if settings.role == "dimse" and not ports:
        raise BadSetting("the dimse role needs dimse_port or dimse_tls_port")
    if len(set(ports)) < len(ports):
        raise BadSetting("dimse_tls_port must be another port than dimse_port")


def _is_loopback(name: str, host: str) -> bool:
    return all(
        ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
        for _, address in _addresses(name, host, 0)
    )


def _addresses(name: str, host: str, port: int) -> list[tuple[int, Any]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BadSetting(f"{name} {host!r} is no address of this machine") from error
    # A name of both kinds, such as localhost, is served where most clients look first.
    return sorted(
        ((family, address) for family, _, _, _, address in found), key=lambda one: one[0] != socket.AF_INET
    )


def _listen(settings: Settings, host: str, port: int) -> socket.socket:
    """The bound and listening socket; OutOfResources where the address is taken."""
    family, address = _addresses("host", host, port)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(settings.backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        kind = BadSetting if error.errno == errno.EADDRNOTAVAIL else OutOfResources
        raise kind(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
