"""Calling peers by TLS: what is shown to them, and which of theirs is believed."""

import hashlib
import ssl
from pathlib import Path

import pytest

from dicomweb_box.box import Box
from dicomweb_box.outbound.calling import associate
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import Unreachable
from dicomweb_box.upper_layer.requestor import Proposed
from tests.certificates import make_certificate
from tests.conftest import MakeBox
from tests.outbound.told import made
from tests.upper_layer.peers import IMPLICIT, VERIFICATION, Archive, serving

ECHO = [Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT])]


def certificate(folder: Path, name: str, **more: object) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    make_certificate(cert, key, **more)  # type: ignore[arg-type]
    return cert, key


def digest(cert: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).hexdigest()


def listening(cert: Path, key: Path, *, ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def call(box: Box, port: int, **more: object) -> Association:
    title = f"T{len(await _peers(box))}"
    place = {"host": "127.0.0.1", "port": port, "tls": True, "connect_timeout": 30}
    return await associate(box, await made(box, name=title, ae_title=title, **place | more), ECHO)


async def _peers(box: Box) -> list[object]:
    return list(await box.database.fetch_all("select id from peer"))


@pytest.mark.dicom("PS3.15 B.12")
async def test_a_peer_that_asks_for_a_certificate_is_shown_that_of_the_box(
    make_box: MakeBox, tmp_path: Path
) -> None:
    own, own_key = certificate(tmp_path, "own")
    theirs, key = certificate(tmp_path, "theirs")
    archive = Archive()
    flags = {"dimse_tls_cert": str(own), "dimse_tls_key": str(own_key)}
    async with make_box(**flags) as box, serving(archive.talk, tls=listening(theirs, key, ca=own)) as port:
        association = await call(box, port, certificate=digest(theirs))
        assert hashlib.sha256(association.peer_certificate or b"").hexdigest() == digest(theirs)
        await association.release()
        # Renewed, it is the new one that is shown, which nobody here vouches for.
        certificate(tmp_path, "own")
        with pytest.raises(Unreachable):
            await call(box, port, certificate=digest(theirs))
    (shown,) = archive.associations
    assert shown.peer_certificate is not None


async def test_a_box_without_a_certificate_has_none_to_show(box: Box, tmp_path: Path) -> None:
    theirs, key = certificate(tmp_path, "theirs")
    async with serving(Archive().talk, tls=listening(theirs, key, ca=theirs)) as port:
        with pytest.raises(Unreachable):
            await call(box, port, certificate=digest(theirs))


async def test_without_a_digest_the_certificate_holds_for_the_host_and_somebody_vouches_for_it(
    make_box: MakeBox, tmp_path: Path
) -> None:
    theirs, key = certificate(tmp_path, "theirs", names=("localhost",))
    async with serving(Archive().talk, tls=listening(theirs, key)) as port:
        async with make_box(dimse_tls_ca=str(theirs)) as box:
            await (await call(box, port, host="localhost")).release()
            with pytest.raises(Unreachable) as wrong:  # not its name
                await call(box, port, host="127.0.0.1")
            assert wrong.value.at == "tls"
        async with make_box() as box:
            with pytest.raises(Unreachable) as unknown:
                await call(box, port, host="localhost")
            assert unknown.value.at == "tls"


async def test_a_certificate_of_the_box_that_cannot_be_read_is_told(
    make_box: MakeBox, tmp_path: Path
) -> None:
    theirs, key = certificate(tmp_path, "theirs")
    locked, locked_key = certificate(tmp_path, "locked", password=b"secret")
    for cert, its_key in ((tmp_path / "none.pem", tmp_path / "none.key"), (locked, locked_key)):
        flags = {"dimse_tls_cert": str(cert), "dimse_tls_key": str(its_key)}
        async with make_box(**flags) as box, serving(Archive().talk, tls=listening(theirs, key)) as port:
            with pytest.raises(Unreachable, match="cannot be shown") as told:
                await call(box, port, certificate=digest(theirs))
            assert told.value.at == "tls"
