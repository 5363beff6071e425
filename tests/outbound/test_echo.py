"""What calling a peer says of it."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
from pynetdicom.ae import ApplicationEntity

from conformance.server import free_port
from dicomweb_box.box import Box
from dicomweb_box.outbound import hosts
from dicomweb_box.outbound.echo import Echo, echo
from dicomweb_box.upper_layer.agreement import (
    CALLED_NOT_RECOGNIZED,
    Acceptance,
    AssociationRequest,
    Rejection,
)
from dicomweb_box.upper_layer.association import Association
from tests.certificates import make_certificate
from tests.outbound.told import made
from tests.upper_layer.peers import (
    CT,
    EXPLICIT,
    VERIFICATION,
    Archive,
    pynetdicom_acceptor,
    response,
    serving,
)


async def called(box: Box, port: int, **more: object) -> Echo:
    peer = await made(box, ae_title="NORTH", host="127.0.0.1", port=port, connect_timeout=30, **more)
    return await echo(box, peer)


def steps(found: Echo) -> dict[str, bool]:
    return {one.name: one.works for one in found.steps}


async def test_it_says_which_services_are_offered_and_that_c_echo_works(box: Box) -> None:
    seen: list[AssociationRequest] = []

    async def some(request: AssociationRequest) -> Acceptance:
        seen.append(request)
        wanted = (VERIFICATION, CT)
        return Acceptance(
            contexts={one.id: EXPLICIT for one in request.proposed if one.abstract_syntax in wanted}
        )

    archive = Archive()
    async with serving(archive.talk, admit=some) as port:
        found = await called(box, port)

    assert found.works
    assert steps(found) == {"Address": True, "Connection": True, "Association": True, "C-ECHO": True}
    offered = {one.service for one in found.services if one.accepted}
    assert offered == {"Verification", "Storage of CT images"}
    assert archive.ended == ["released"]
    assert (seen[0].calling_ae_title, seen[0].called_ae_title) == ("DICOMWEB_BOX", "NORTH")


async def test_pynetdicom_answers(box: Box) -> None:
    ae = ApplicationEntity("NORTH")
    ae.add_supported_context(VERIFICATION)
    with pynetdicom_acceptor(ae) as port:
        found = await called(box, port)
    assert found.works
    assert "PYNETDICOM" in found.steps[2].words


@pytest.mark.dicom("PS3.8 9.3.4")
async def test_a_rejection_is_told_in_the_words_of_the_standard(box: Box) -> None:
    async def nobody(request: AssociationRequest) -> Rejection:
        return CALLED_NOT_RECOGNIZED

    async with serving(Archive().talk, admit=nobody) as port:
        found = await called(box, port)
    assert steps(found) == {"Address": True, "Connection": True, "Association": False}
    assert "called AE title not recognized" in found.steps[-1].words


async def test_an_association_without_verification_is_told(box: Box) -> None:
    async def storage(request: AssociationRequest) -> Acceptance:
        return Acceptance(
            contexts={one.id: EXPLICIT for one in request.proposed if one.abstract_syntax == CT}
        )

    async with serving(Archive().talk, admit=storage) as port:
        found = await called(box, port)
    assert not found.works
    assert steps(found)["Association"]
    assert not steps(found)["C-ECHO"]


async def test_a_status_that_is_no_success_is_told(box: Box) -> None:
    async def failing(association: Association) -> None:
        message = await association.receive()
        assert message is not None
        await association.send(message.context, response(message, 0x0122))
        await association.receive()

    async with serving(failing) as port:
        found = await called(box, port)
    assert not found.works
    assert found.steps[-1].words == "Status 0122"


async def test_a_peer_that_hangs_up_on_c_echo_is_told(box: Box) -> None:
    async def aborting(association: Association) -> None:
        await association.receive()
        await association.abort()

    async with serving(aborting) as port:
        found = await called(box, port)
    assert steps(found) == {"Address": True, "Connection": True, "Association": True, "C-ECHO": False}


async def test_nobody_at_the_port_and_a_server_of_something_else_are_told_apart(box: Box) -> None:
    port = free_port()
    found = await called(box, port)
    assert steps(found) == {"Address": True, "Connection": False}

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await echo(box, await made(box, name="web", ae_title="WEB", host="127.0.0.1", port=port))
    assert steps(found) == {"Address": True, "Connection": True, "Association": False}


async def test_a_peer_that_only_calls_and_an_address_that_is_not_called_are_told(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await echo(box, await made(box, name="us", ae_title="US", host=None, addresses=("any",)))
    assert steps(found) == {"Address": False}
    peer = await made(box, host="pacs.example.org")

    async def moved(host: str) -> tuple[hosts.Address, ...]:
        return (hosts.plain_address("169.254.169.254"),)

    monkeypatch.setattr(hosts, "_looked_up", moved)
    hosts.hosts(box)._found.clear()
    assert "metadata" in (await echo(box, peer)).steps[-1].words


async def test_tls_works_with_the_peers_certificate_and_fails_with_another(box: Box, tmp_path: Path) -> None:
    make_certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())).hexdigest()
    async with serving(Archive().talk, tls=context) as port:
        place = {"host": "127.0.0.1", "port": port, "tls": True}
        good = await echo(box, await made(box, name="a", ae_title="A", certificate=digest, **place))
        other = await echo(box, await made(box, name="b", ae_title="B", certificate="0" * 64, **place))
        unknown = await echo(box, await made(box, name="c", ae_title="C", **place))
        plain = await echo(box, await made(box, name="d", ae_title="D", **place | {"tls": False}))
    assert steps(good) == {
        "Address": True,
        "Connection": True,
        "TLS": True,
        "Association": True,
        "C-ECHO": True,
    }
    assert steps(other) == steps(unknown) == {"Address": True, "Connection": True, "TLS": False}
    assert steps(plain) == {"Address": True, "Connection": True, "Association": False}
