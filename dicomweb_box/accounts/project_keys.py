"""Keys of projects: what pseudonyms follow from. One file each, for our eyes alone, beside the master keys.

They do not follow from the master keys, which are rotated: a pseudonym must stay what it is.
"""

import re
import secrets
from typing import Final

from dicomweb_box.accounts import key_sources
from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import Settings

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def project_key(settings: Settings, name: str) -> bytes:
    """The key of a project; a first one is made where there is none.

    Raises BadSetting for a name that is none, or a key that cannot be read or is open to others.
    """
    if not _NAME.fullmatch(name):
        raise BadSetting(
            "a project's name has up to 64 small letters, digits, - and _, a letter or digit first"
        )
    path = settings.data / "keys" / "projects" / f"{name}.key"
    found = key_sources.read(path)
    if found is None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_sources.make_at(path, secrets.token_bytes(key_sources.KEY_BYTES))
        found = key_sources.read(path)
        assert found is not None  # noqa: S101  (it was made)
    return found.keys[0]
