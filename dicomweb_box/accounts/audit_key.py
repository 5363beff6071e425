"""The keys that audit chains are made with, derived from the box's master keys (HKDF, RFC 5869).

A chain keeps the key that it began with: after a rotation the older keys stay, and hold what they signed.
"""

import base64
import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import Settings

_INFO = b"dicomweb_box derive audit chain\x01"
_SPELLED = re.compile(r"dwbkey_([\w-]{43})")


def audit_keys(settings: Settings) -> list[bytes]:
    """One for each master key, the newest first; a first one is made where there is none.

    Raises BadSetting where they cannot be read. Reads a file: call it in a thread where that matters.
    """
    path = settings.data / "keys" / "box.key"
    if not path.exists():
        _make(path)
    found = [
        base64.urlsafe_b64decode(word + "=") for word in _SPELLED.findall(path.read_text(encoding="ascii"))
    ]
    if not found:
        raise BadSetting(f"key file {path} holds no key")
    return [hmac.digest(hmac.digest(bytes(32), key, "sha256"), _INFO, "sha256") for key in found]


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".box.key-{secrets.token_hex(8)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(b"dwbkey_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    # A link does not replace what another process made meanwhile, as a rename would.
    with suppress(FileExistsError):
        path.hardlink_to(new)
    new.unlink()
