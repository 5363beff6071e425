"""The box's master keys, and what is sealed or derived with them.

What must be read again is sealed with AES-256-GCM under a key of its purpose (HKDF, RFC 5869); what signs is
derived for its purpose. The newest key seals and signs; every key unseals and proves what was signed.
"""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dicomweb_box.accounts import key_sources
from dicomweb_box.accounts.key_sources import Found
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Writer
from dicomweb_box.errors import BadSetting, Damaged

MARK = "master key"
"""Under which the database keeps the name of the key that everything in it was last sealed with."""
_FORM = "k1"
_NONCE = 12


async def seal(box: Box, purpose: str, secret: bytes) -> str:
    """The secret as a text that only these keys open, and only for this purpose.

    Name the row in the purpose too, so that nobody who writes in the database can put one in another's place.
    Raises BadSetting where the keys cannot be had.
    """
    return (await ring(box)).seal(purpose, secret)


async def unseal(box: Box, purpose: str, text: str) -> bytes:
    """What was sealed; raises Damaged where it was not sealed for this purpose, or its key is gone."""
    found = await ring(box)
    if not found.knows(text):
        found = await _look_again(box)
    return found.unseal(purpose, text)


async def derived(box: Box, purpose: str) -> bytes:
    """32 bytes for this purpose, from the newest key: to sign with."""
    return (await ring(box)).derived(purpose)


async def derived_all(box: Box, purpose: str) -> list[bytes]:
    """Those of every key, the newest first: one of them made a signature that holds."""
    return (await ring(box)).derived_all(purpose)


class Ring:
    """The master keys in this process; does its work without waiting."""

    def __init__(self, found: Found) -> None:
        self._keys = {key_name(key): key for key in found.keys}
        self.origin, self.stamp = found.origin, found.stamp
        self._derived: dict[tuple[str, str], bytes] = {}

    @property
    def names(self) -> list[str]:
        """Those of the keys, the newest first; they tell nothing about them."""
        return list(self._keys)

    def seal(self, purpose: str, secret: bytes) -> str:
        """See `keys.seal`."""
        name, nonce = self.names[0], os.urandom(_NONCE)
        sealed = AESGCM(self._of(name, f"seal {purpose}")).encrypt(nonce, secret, _bound(name, purpose))
        return f"{_FORM}.{name}.{base64.urlsafe_b64encode(nonce + sealed).rstrip(b'=').decode()}"

    def unseal(self, purpose: str, text: str) -> bytes:
        """See `keys.unseal`."""
        name, sealed = _parts(text)
        if name not in self._keys:
            raise Damaged("A secret was sealed with a master key that is not here.")
        try:
            cipher = AESGCM(self._of(name, f"seal {purpose}"))
            return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(name, purpose))
        except (InvalidTag, ValueError):
            raise Damaged("A sealed secret is not what was sealed.") from None

    def knows(self, text: str) -> bool:
        """Whether the key is here that a sealed text names."""
        return name_in(text) in self._keys

    def derived(self, purpose: str) -> bytes:
        """See `keys.derived`."""
        return self._of(self.names[0], f"derive {purpose}")

    def derived_all(self, purpose: str) -> list[bytes]:
        """See `keys.derived_all`."""
        return [self._of(name, f"derive {purpose}") for name in self._keys]

    def _of(self, name: str, purpose: str) -> bytes:
        # Few purposes are used often; those of single rows are not worth being kept.
        key = (name, purpose)
        if key not in self._derived:
            if len(self._derived) >= 1000:
                self._derived.clear()
            self._derived[key] = _hkdf(self._keys[name], purpose)
        return self._derived[key]


class _Kept:
    """This process's ring."""

    def __init__(self, box: Box) -> None:
        del box
        self.ring: Ring | None = None

    async def close(self) -> None:
        """Forget it."""
        self.ring = None


async def ring(box: Box) -> Ring:
    """The keys as they are now; a first one is made where there is none, and nothing was ever sealed.

    Raises BadSetting where they cannot be had, or are not those of this database.
    """
    kept = box.resource(_Kept, _Kept)
    if kept.ring is None or kept.ring.stamp != key_sources.stamp(box.settings):
        kept.ring = await _opened(box)
    return kept.ring


async def _look_again(box: Box) -> Ring:
    """The keys anew: another process may have rotated them."""
    box.resource(_Kept, _Kept).ring = None
    return await ring(box)


async def _opened(box: Box) -> Ring:
    mark = await box.database.fetch_value("select value from mark where name = :name", {"name": MARK})
    found = await in_thread(box, key_sources.find, box.settings)
    if found is None:
        if mark is not None:
            raise BadSetting(
                f"key file {key_sources.key_file(box.settings)} is not there, and secrets are sealed with it"
            )
        await in_thread(box, key_sources.make, box.settings)
        found = await in_thread(box, key_sources.find, box.settings)
        assert found is not None  # noqa: S101  (it was made)
    opened = Ring(found)
    mark = mark or await _marked(box, opened.names[0])
    if mark not in opened.names:
        raise BadSetting(
            f"{opened.origin} has not the key {mark}, with which secrets of this database are sealed"
        )
    return opened


async def _marked(box: Box, name: str) -> str:
    """The key that the database belongs to: this one, unless another process was first."""

    async def work(w: Writer) -> str:
        await w.execute(
            "insert into mark (name, value) values (:name, :value) on conflict (name) do nothing",
            {"name": MARK, "value": name},
        )
        return str(await w.fetch_value("select value from mark where name = :name", {"name": MARK}))

    return await box.database.write(work)


def key_name(key: bytes) -> str:
    """What a key is called where it is not to be told: 48 bits derived from it."""
    return base64.urlsafe_b64encode(_hkdf(key, "name")[:6]).decode()


def name_in(text: str) -> str:
    """The name of the key that a sealed text was sealed with."""
    return _parts(text)[0]


def _parts(text: str) -> tuple[str, bytes]:
    form, _, rest = text.partition(".")
    name, _, sealed = rest.partition(".")
    try:
        return (name if form == _FORM else "", base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    except (binascii.Error, ValueError):
        raise Damaged("A sealed secret is not what was sealed.") from None


def _bound(name: str, purpose: str) -> bytes:
    """What a sealed text is bound to, beside its key."""
    return f"{_FORM}.{name}.{purpose}".encode()


def _hkdf(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=f"dicomweb_box {purpose}".encode()).derive(key)
