"""Asks for associations (PS3.8 9.2, AE-1 to AE-4)."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from dicomweb_box.upper_layer import agreement, framing, negotiation
from dicomweb_box.upper_layer.agreement import Proposed
from dicomweb_box.upper_layer.association import Agreed, Association
from dicomweb_box.upper_layer.connection import Connection
from dicomweb_box.upper_layer.errors import Aborted, Rejected, TimedOut, Unreachable
from dicomweb_box.upper_layer.first_pdu import FirstPdu
from dicomweb_box.upper_layer.framing import Violation
from dicomweb_box.upper_layer.limits import PDU_SIZE, Timeouts
from dicomweb_box.upper_layer.message import Context

__all__ = ["Proposed", "request"]


async def request(
    host: str,
    port: int,
    *,
    calling: str,
    called: str,
    contexts: Sequence[Proposed],
    extended: Mapping[str, bytes] | None = None,
    tls: ssl.SSLContext | None = None,
    tls_host: str | None = None,
    timeouts: Timeouts | None = None,
    pdu_size: int = PDU_SIZE,
) -> Association:
    """An association in which the peer accepted at least one of the contexts.

    `tls_host` is the name that its certificate has to hold for, where that is not `host`.

    Raises Rejected, Unreachable, and ValueError for what cannot be proposed.
    """
    times = timeouts or Timeouts()
    proposed = agreement.numbered(contexts)
    pdu = negotiation.write_request(
        calling=calling, called=called, proposed=proposed, extended=extended or {}, pdu_size=pdu_size
    )
    first = FirstPdu(framing.ASSOCIATE_AC, framing.ASSOCIATE_RJ)
    connection = Connection(first, times)
    await _connect(connection, (host, port), tls, tls_host, times)
    try:
        connection.put(pdu)
        async with asyncio.timeout(times.associate):
            kind, body = await first.pdu_that_came()
        if kind == framing.ASSOCIATE_RJ:
            _rejected(connection, body)
        accepted, agreed_on, most_pdu, implementation = negotiation.read_acceptance(body, proposed)
        _some(accepted)
    except Violation as violation:
        connection.end(Aborted(str(violation)), abort=(2, violation.reason))
        raise Unreachable(f"{host}:{port} answered with {violation}", at="answer") from None
    except TimeoutError:
        connection.end(TimedOut("no answer"), abort=(0, 0))
        sentence = f"{host}:{port} did not answer within {times.associate:g} seconds"
        raise Unreachable(sentence, at="answer") from None
    except Aborted as error:
        raise Unreachable(f"{host}:{port} gave no answer: {error}", at="answer") from error
    except BaseException:
        connection.close(Aborted("the association was aborted by us"), abort=(0, 0))
        raise
    agreed = Agreed(
        calling_ae_title=calling.strip(),
        called_ae_title=called.strip(),
        peer_address=host,
        contexts={context.id: context for context in accepted},
        extended=agreed_on,
        most_pdu=most_pdu,
        implementation=implementation,
        requestor=True,
    )
    association = Association(connection, agreed, times)
    try:
        first.pass_on(association)
    except Violation as violation:
        association.end(Aborted(f"the peer sent {violation}"), abort=(2, violation.reason))
    return association


async def _connect(
    connection: Connection,
    address: tuple[str, int],
    tls: ssl.SSLContext | None,
    tls_host: str | None,
    times: Timeouts,
) -> None:
    host, port = address
    more: dict[str, Any] = {}
    if tls is not None:
        more = {"ssl_handshake_timeout": times.associate, "ssl_shutdown_timeout": times.close}
        more |= {"server_hostname": tls_host or host}
    try:
        async with asyncio.timeout(times.connect + (times.associate if tls else 0)):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, host, port, ssl=tls, **more
            )
    except TimeoutError:
        raise Unreachable(f"{host}:{port} could not be reached within {times.connect:g} seconds") from None
    except ssl.SSLError as error:
        raise Unreachable(f"no TLS with {host}:{port}: {error.reason or error}", at="tls") from error
    except OSError as error:
        raise Unreachable(f"{host}:{port} could not be reached: {error.strerror or error}") from error


def _rejected(connection: Connection, body: bytes) -> NoReturn:
    connection.close(Aborted("the association was rejected"))
    result, source, reason = body[1:4] if len(body) >= 4 else (1, 1, 1)
    raise Rejected(result=result or 1, source=source, reason=reason)


def _some(accepted: Sequence[Context]) -> None:
    if not accepted:
        raise Rejected()
