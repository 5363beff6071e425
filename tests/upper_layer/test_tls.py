"""Associations over TLS, with certificates of both sides."""

import ssl
from pathlib import Path

import pytest

from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import Aborted, Unreachable
from dicomweb_box.upper_layer.limits import Limits, Timeouts
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.certificates import make_certificate
from tests.upper_layer.peers import CT, EXPLICIT, IMPLICIT, QUICK, VERIFICATION, Archive, run, serving, wire


class Certificates:
    def __init__(self, folder: Path) -> None:
        for name in ("server", "client"):
            make_certificate(folder / f"{name}.crt", folder / f"{name}.key")
        self.folder = folder

    def context(self, name: str, *, trusts: str | None) -> ssl.SSLContext:
        server = name == "server"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        if trusts is not None:
            context.load_verify_locations(self.folder / f"{trusts}.crt")
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def asked(port: int, tls: ssl.SSLContext | None, timeouts: Timeouts = QUICK) -> Association:
    return await request(
        "127.0.0.1",
        port,
        calling="BOX",
        called="TLS",
        contexts=[
            Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
            Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT]),
        ],
        tls=tls,
        timeouts=timeouts,
    )


@pytest.mark.dicom("PS3.15 B.9")
async def test_both_sides_see_the_others_certificate(certificates: Certificates):
    archive = Archive()
    data = bytes(range(256)) * 10_000
    async with serving(archive.talk, tls=certificates.context("server", trusts="client")) as port:
        association = await asked(port, certificates.context("client", trusts="server"))
        command = {
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": "1.2.3",
            "CommandField": commands.C_STORE_RQ,
            "Priority": 0,
        }
        assert (await association.ask_one(association.contexts[3], command, data)).command.Status == 0
        await association.release()
        pem = (certificates.folder / "server.crt").read_text()
        assert association.peer_certificate == ssl.PEM_cert_to_DER_cert(pem)
    pem = (certificates.folder / "client.crt").read_text()
    assert archive.associations[0].peer_certificate == ssl.PEM_cert_to_DER_cert(pem)
    assert archive.stored == {"1.2.3": (EXPLICIT, data)}


async def test_a_certificate_that_is_not_trusted_is_not_talked_to(certificates: Certificates):
    async with serving(Archive().talk, tls=certificates.context("server", trusts=None)) as port:
        with pytest.raises(Unreachable, match="no TLS with"):
            await asked(port, certificates.context("client", trusts="client"))


async def test_who_shows_no_certificate_where_one_is_wanted_gets_no_association(certificates: Certificates):
    archive = Archive()
    bare = ssl.create_default_context(cafile=certificates.folder / "server.crt")
    async with serving(archive.talk, tls=certificates.context("server", trusts="client")) as port:
        # TLS 1.3 tells the client only after its handshake.
        with pytest.raises((Unreachable, Aborted)):
            await asked(port, bare)
    assert archive.associations == []


async def test_plain_peers_of_a_tls_port_and_silent_ones_are_dropped(certificates: Certificates):
    brief = Limits(timeouts=Timeouts(connect=1, associate=0.4, close=0.3))
    async with serving(Archive().talk, tls=certificates.context("server", trusts=None), limits=brief) as port:
        with pytest.raises(Unreachable):
            await asked(port, None)
        async with wire(port) as silent:
            await silent.ended()


async def test_dcmtk_over_tls_with_certificates(certificates: Certificates):
    archive = Archive()
    folder = certificates.folder
    async with serving(archive.talk, tls=certificates.context("server", trusts="client")) as port:
        await run(
            *("echoscu", "+tls", folder / "client.key", folder / "client.crt"),
            *("+cf", folder / "server.crt", "-rc", "127.0.0.1", str(port)),
        )
    assert archive.ended == ["released"]
    assert archive.associations[0].peer_certificate is not None
