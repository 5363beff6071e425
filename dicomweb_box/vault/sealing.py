"""What a project's key gives the vault: indexes of what may be searched for, the wrapping of patients' keys.

Texts are sealed with AES-256-GCM under the key of their patient; it is wrapped under one that follows from
the project's (HKDF, RFC 5869). An index is HMAC-SHA256 of what it stands for (RFC 2104), cut to 128 bits.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import unicodedata
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dicomweb_box.accounts.keys import key_name
from dicomweb_box.deid.pseudonyms import Keyed, Patient
from dicomweb_box.errors import Damaged

DATA_KEY_BYTES: Final = 32
_NONCE: Final = 12
_PADDED_TO: Final = 64
_INDEX_BYTES: Final = 16


class ProjectKeys:
    """All that follows from the key of one project."""

    def __init__(self, project: str, key: bytes) -> None:
        self.project, self.name = project, key_name(key)
        self.pseudonyms = Keyed(key)
        self._wrapping = AESGCM(_derived(key, project, "wrap"))
        self._mac = hmac.new(_derived(key, project, "index"), digestmod=hashlib.sha256)

    def index(self, kind: str, value: str) -> str:
        """32 hexadecimal digits that stand for a value of a kind, and tell nothing of it without the key."""
        mac = self._mac.copy()
        # What looks the same is the same, however it was composed (Unicode, UAX 15).
        mac.update(f"{kind}|{unicodedata.normalize('NFC', value)}".encode(errors="surrogateescape"))
        return mac.digest()[:_INDEX_BYTES].hex()

    def whose(self, patient: Patient) -> str:
        """The index of a patient."""
        composed = Patient(
            patient_id=unicodedata.normalize("NFC", patient.patient_id),
            issuer=unicodedata.normalize("NFC", patient.issuer),
        )
        return self.index("whose", composed.whole)

    def wrap(self, patient: str, data_key: bytes) -> str:
        """A patient's key as it may lie in a file."""
        nonce = os.urandom(_NONCE)
        wrapped = self._wrapping.encrypt(nonce, data_key, self._bound(patient))
        return base64.b64encode(nonce + wrapped).decode("ascii")

    def unwrap(self, patient: str, text: str) -> bytes:
        """A patient's key again; raises Damaged where it was not wrapped under this project's key."""
        try:
            wrapped = base64.b64decode(text, validate=True)
            return self._wrapping.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], self._bound(patient))
        except (binascii.Error, InvalidTag, ValueError):
            raise Damaged("A patient's data key is not what was wrapped under this project's key.") from None

    def _bound(self, patient: str) -> bytes:
        return f"data key {self.project} {patient}".encode()


def seal(data_key: bytes, bound: str, content: Mapping[str, str]) -> bytes:
    """The content as bytes that only this key opens, and only for the row it is bound to."""
    # Padded, so that a length does not tell one name from another.
    text = json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass")
    text += b" " * (-len(text) % _PADDED_TO)
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(data_key).encrypt(nonce, text, bound.encode())


def unseal(data_key: bytes, bound: str, sealed: bytes) -> dict[str, str]:
    """What was sealed; raises Damaged where it was not, with this key and for this row."""
    try:
        text = AESGCM(data_key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound.encode())
    except (InvalidTag, ValueError):
        raise Damaged("An entry of the vault is not what was sealed.") from None
    content: dict[str, str] = json.loads(text.decode(errors="surrogatepass"))
    return content


def _derived(key: bytes, project: str, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=f"dicomweb_box vault {purpose} {project}".encode()).derive(key)
