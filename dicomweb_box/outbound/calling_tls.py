"""TLS of associations that this box asks for: what it shows, and whom it trusts (PS3.15 B.12, B.13)."""

import ssl
from pathlib import Path

from dicomweb_box.box import Box, in_thread
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.settings import Settings
from dicomweb_box.tls import CIPHERS, file_stamp
from dicomweb_box.upper_layer.errors import Unreachable

_Stamps = tuple[object, ...]


class CallingTls:
    """What handshakes are made with, read anew when a file changes."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._made: dict[bool, tuple[_Stamps, ssl.SSLContext]] = {}

    async def context(self, peer: Peer) -> ssl.SSLContext:
        """For a call to the peer; raises Unreachable where the files cannot be used."""
        try:
            return await in_thread(self.box, self._context, peer.certificate is not None)
        except (OSError, ssl.SSLError) as error:
            why = f"the certificate of this box cannot be shown: {type(error).__name__}"
            raise Unreachable(why, at="tls") from error

    def _context(self, by_digest: bool) -> ssl.SSLContext:
        files = [path for path in (*_own(self.box.settings), self.box.settings.dimse_tls_ca) if path]
        stamps = tuple(map(file_stamp, files))
        made = self._made.get(by_digest)
        if made is None or made[0] != stamps:
            made = self._made[by_digest] = (stamps, _context(self.box.settings, by_digest=by_digest))
        return made[1]

    async def close(self) -> None:
        """Nothing to let go of."""


def calling_tls(box: Box) -> CallingTls:
    """That of this process."""
    return box.resource(CallingTls, CallingTls)


def _context(settings: Settings, *, by_digest: bool) -> ssl.SSLContext:
    """`by_digest`: the peer's certificate is looked at after the handshake, whoever vouches for it."""
    context = ssl.create_default_context(cafile=settings.dimse_tls_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    cert, key = _own(settings)
    if cert is not None:
        # A key that is locked would be asked for at the terminal without one.
        context.load_cert_chain(cert, key, password="")
    if by_digest:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _own(settings: Settings) -> tuple[Path | None, Path | None]:
    """Certificate and key of this box, the same that it shows to callers."""
    if settings.dimse_tls_cert is not None:
        return settings.dimse_tls_cert, settings.dimse_tls_key
    return settings.tls_cert, settings.tls_key
