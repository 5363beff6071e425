"""Texts for addresses that do not tell what they stand for: sealed with a secret of this database.

The same text always has the same seal (AES-SIV, RFC 5297), so that an address can be kept and compared;
without the secret nobody can read one or make one.
"""

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.errors import NotFound

_MARK = "key of opaque addresses"
_KEY_BYTES = 64


async def seal(box: Box, purpose: str, text: str) -> str:
    """The text as letters, digits, `-` and `_`; another for each purpose."""
    sealed = (await _cipher(box)).encrypt(text.encode("utf-8"), [purpose.encode()])
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")


async def unseal(box: Box, purpose: str, sealed: str) -> str:
    """What was sealed for this purpose; raises NotFound for anything else."""
    cipher = await _cipher(box)
    try:
        padded = sealed.encode("ascii") + b"=" * (-len(sealed) % 4)
        return cipher.decrypt(base64.b64decode(padded, b"-_", validate=True), [purpose.encode()]).decode()
    except (InvalidTag, ValueError, binascii.Error):
        raise NotFound("this address was not made here") from None


class _Secret:
    """The database's secret, read once in a process."""

    def __init__(self, box: Box) -> None:
        del box
        self.cipher: AESSIV | None = None

    async def close(self) -> None:
        """Forget it."""
        self.cipher = None


async def _cipher(box: Box) -> AESSIV:
    secret = box.resource(_Secret, _Secret)
    if secret.cipher is None:
        found = await box.database.fetch_value("select value from mark where name = :name", {"name": _MARK})
        secret.cipher = AESSIV(bytes.fromhex(found if found is not None else await box.database.write(_made)))
    return secret.cipher


async def _made(w: Writer) -> str:
    # Two processes may be first at once: what is there then counts.
    await w.execute(
        "insert into mark (name, value) values (:name, :value) on conflict (name) do nothing",
        {"name": _MARK, "value": secrets.token_hex(_KEY_BYTES)},
    )
    return str(await w.fetch_value("select value from mark where name = :name", {"name": _MARK}))
