"""TLS of both kinds of doors: the certificate that is shown, and its renewal while connections stand."""

import logging
import os
import ssl
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from dicomweb_box.errors import BadSetting

log = logging.getLogger(__name__)

# RFC 9325 4.2 (BCP 195): forward secrecy and authenticated encryption. TLS 1.3 has no other. PS3.15 B.12 and
# B.13 ask the same of DIMSE.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
SOON = timedelta(days=14)
"""Before the end of a certificate, the log says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A certificate that can be shown: its names, its end, and what handshakes are made with."""

    context: ssl.SSLContext
    names: frozenset[str]
    """Host names and addresses that it holds for, in lower case."""
    ends: datetime


class Certificate:
    """The certificate of two files, read anew when they change; a broken renewal leaves the present one.

    With `ca` who connects must show a certificate that leads to one of that file. `setting` begins the
    names of the settings that the files come from.
    """

    def __init__(
        self,
        cert: Path,
        key: Path | None,
        *,
        ca: Path | None = None,
        protocols: Sequence[str] = ("http/1.1",),
        setting: str = "tls",
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Raises BadSetting where the files cannot be served with."""
        self._cert, self._key, self._ca = cert, key or cert, ca
        self._protocols = tuple(protocols)
        self._setting = setting
        self._clock = clock or (lambda: datetime.now(UTC))
        self._stamp = self._looked()
        self._shown = self._read()
        self.context = _context(self._protocols)
        # The context that a listener was given cannot be another one; what is asked at each handshake can.
        self._load(self.context)
        self.context.sni_callback = self._swap
        self._warn()

    @property
    def names(self) -> frozenset[str]:
        """What the server may be called, as far as the present certificate says."""
        return self._shown.names

    def refresh(self, *, anew: bool = False) -> bool:
        """Read the files where they changed, or `anew`; whether handshakes have another one from now on."""
        stamp = self._looked()
        if stamp == self._stamp and not anew:
            return False
        self._stamp = stamp
        try:
            self._shown = self._read()
        except BadSetting as error:
            log.error("the present certificate is kept: %s", error)  # noqa: TRY400  (an operator's line)
            return False
        log.info("a certificate that ends on %s is served from now on", self._shown.ends.date())
        self._warn()
        return True

    def _swap(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._shown.context

    def _looked(self) -> tuple[Any, ...]:
        return tuple(file_stamp(path) for path in (self._cert, self._key, self._ca) if path is not None)

    def _read(self) -> Shown:
        context = _context(self._protocols)
        self._load(context)
        told = f"{self._setting}_cert {self._cert}"
        names, begins, ends = _facts(self._cert, told)
        now = self._clock()
        if ends <= now:
            raise BadSetting(f"{told}: the certificate ended on {ends:%Y-%m-%d %H:%M} UTC")
        if begins > now + timedelta(days=1):
            raise BadSetting(f"{told}: the certificate begins only on {begins:%Y-%m-%d}")
        return Shown(context=context, names=names, ends=ends)

    def _load(self, context: ssl.SSLContext) -> None:
        for name, path in (("cert", self._cert), ("key", self._key), ("ca", self._ca)):
            if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
                raise BadSetting(f"{self._setting}_{name} {path} cannot be read")
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except ssl.SSLError as error:
            why = {
                "KEY_VALUES_MISMATCH": "the key is another certificate's",
                "EE_KEY_TOO_SMALL": "the key is too short",
            }.get(error.reason, "they hold no certificate with its key in PEM")
            told = f"{self._setting}_cert {self._cert} with {self._setting}_key {self._key}"
            raise BadSetting(f"{told}: {why}") from None
        except OSError as error:
            raise BadSetting(f"{self._setting}_cert {self._cert}: {error.strerror}") from error
        if self._ca is not None:
            self._ask_for_certificates(context, self._ca)

    def _ask_for_certificates(self, context: ssl.SSLContext, ca: Path) -> None:
        """PS3.15 B.12: both sides are authenticated."""
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError:
            raise BadSetting(f"{self._setting}_ca {ca}: there is no certificate in PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED
        # So that a device's own certificate can stand in the file, whoever made it and whatever its name.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    def _warn(self) -> None:
        left = self._shown.ends - self._clock()
        if left < SOON:
            log.warning("the certificate ends in %d days, on %s", left.days, self._shown.ends.date())
        mode = self._key.stat().st_mode
        if mode & (stat.S_IRWXO):
            log.warning(
                "the key file can be read by every user of this machine (mode %o): make it 600 or 640",
                stat.S_IMODE(mode),
            )


def _context(protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _no_password() -> NoReturn:
    raise BadSetting("the key file is locked by a password: give one that is not, with mode 600")


def file_stamp(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _facts(path: Path, told: str) -> tuple[frozenset[str], datetime, datetime]:
    """Names, beginning and end of the first certificate in a file."""
    from cryptography import x509  # only who serves HTTPS pays for it

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (ValueError, OSError) as error:
        raise BadSetting(f"{told}: there is no certificate in PEM") from error
    try:
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *named.get_values_for_type(x509.DNSName),
            *map(str, named.get_values_for_type(x509.IPAddress)),
        ]
    except (x509.ExtensionNotFound, ValueError):
        names = []
    return frozenset(map(str.lower, names)), found.not_valid_before_utc, found.not_valid_after_utc
