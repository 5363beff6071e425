"""DIMSE over TLS on its own port: DCMTK with certificates, and who has none (PS3.15 B.12)."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from conformance.dimse import VERIFICATION, association, dcmtk
from conformance.objects import encode, plain
from conformance.server import Server, free_port, start
from tests.certificates import make_certificate
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("dimse tls"), pytest.mark.dicom("PS3.15 B.12")]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key."""

    cert: Path
    key: Path

    def make(self) -> int:
        return make_certificate(self.cert, self.key)


@dataclass(frozen=True, kw_only=True)
class Secured:
    """A server, and whom it knows."""

    server: Server
    own: Pair
    known: Pair
    stranger: Pair
    vouching: Path

    def flags(self, pair: Pair) -> list[str | Path]:
        """What DCMTK is told of certificates."""
        return ["+tls", pair.key, pair.cert, "+cf", self.own.cert]


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    pairs = [Pair(cert=tmp_path / f"{name}.pem", key=tmp_path / f"{name}.key") for name in ("own", "a", "b")]
    for pair in pairs:
        pair.make()
    own, known, stranger = pairs
    vouching = tmp_path / "vouching.pem"
    vouching.write_bytes(known.cert.read_bytes())
    settings = {
        "DICOMWEB_BOX_DIMSE_TLS_PORT": str(free_port()),
        "DICOMWEB_BOX_DIMSE_TLS_CERT": str(own.cert),
        "DICOMWEB_BOX_DIMSE_TLS_KEY": str(own.key),
        "DICOMWEB_BOX_DIMSE_TLS_CA": str(vouching),
    }
    server = start(tmp_path / "data", "--workers", "1", settings=settings, dimse=True)
    try:
        yield Secured(server=server, own=own, known=known, stranger=stranger, vouching=vouching)
    finally:
        assert server.stop() == 0


def context_of(pair: Pair | None) -> ssl.SSLContext:
    """A client's, that trusts whoever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def test_dcmtk_stores_by_tls_with_its_certificate_beside_the_plain_port(
    secured: Secured, tmp_path: Path
) -> None:
    server = secured.server
    assert server.dimse > 0
    assert server.dimse_tls > 0
    path = tmp_path / "one.dcm"
    path.write_bytes(encode(plain("tls", study="tls", series="tls").dataset))

    said = dcmtk("storescu", server.dimse_tls, *secured.flags(secured.known), path)

    assert "Received Store Response (Success)" in said
    assert "Received Echo Response (Success)" in dcmtk("echoscu", server.dimse)
    assert len(httpx.get(f"{server.dicomweb}/instances", timeout=60).json()) == 1


def test_who_shows_no_certificate_or_a_strangers_is_hung_up_on(secured: Secured) -> None:
    port = secured.server.dimse_tls

    dcmtk("echoscu", port, "+tla", "-ic", expected=1)
    dcmtk("echoscu", port, *secured.flags(secured.stranger), expected=1)
    dcmtk("echoscu", port, expected=1)  # without TLS

    assert "(Success)" in dcmtk("echoscu", port, *secured.flags(secured.known))


@pytest.mark.dicom("PS3.15 B.13")
def test_only_tls_of_today_is_agreed_on(secured: Secured) -> None:
    def handshake(**told: object) -> tuple[str | None, str]:
        context = context_of(secured.known)
        for name, value in told.items():
            setattr(context, name, value)
        with (
            socket.create_connection(("127.0.0.1", secured.server.dimse_tls), 15) as plain_socket,
            context.wrap_socket(plain_socket) as connection,
        ):
            cipher = connection.cipher()
            assert cipher is not None
            return connection.version(), cipher[0]

    assert handshake()[0] == "TLSv1.3"
    version, cipher = handshake(maximum_version=ssl.TLSVersion.TLSv1_2)
    assert version == "TLSv1.2"
    assert cipher.startswith("ECDHE-")
    assert "GCM" in cipher or "CHACHA20" in cipher
    weak = context_of(secured.known)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES256-SHA:AES256-SHA:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", secured.server.dimse_tls), 15) as plain_socket,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        weak.wrap_socket(plain_socket)


def test_renewed_files_hold_for_who_calls_next_while_associations_stand(secured: Secured) -> None:
    server = secured.server
    with association(
        server.dimse_tls,
        [(VERIFICATION, ImplicitVRLittleEndian)],
        tls_args=(context_of(secured.known), None),
    ) as standing:
        assert standing.is_established
        before = shown(secured, secured.known)

        secured.own.make()
        secured.vouching.write_bytes(secured.known.cert.read_bytes() + secured.stranger.cert.read_bytes())

        until(lambda: shown(secured, secured.known) not in (None, before))
        assert standing.send_c_echo().Status == 0
        until(lambda: "(Success)" in echoed(secured, secured.stranger))


def echoed(secured: Secured, pair: Pair) -> str:
    return dcmtk("echoscu", secured.server.dimse_tls, *secured.flags(pair), expected=None)


def shown(secured: Secured, pair: Pair) -> bytes | None:
    """The certificate that the server shows."""
    with (
        socket.create_connection(("127.0.0.1", secured.server.dimse_tls), 15) as plain_socket,
        context_of(pair).wrap_socket(plain_socket) as connection,
    ):
        return connection.getpeercert(binary_form=True)
