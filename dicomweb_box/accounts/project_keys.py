"""Keys of projects: what pseudonyms follow from. One file each, for our eyes alone, beside the master keys.

They do not follow from the master keys, which are rotated: a pseudonym must stay what it is.
"""

import re
import secrets
from pathlib import Path
from typing import Final

from dicomweb_box.accounts import key_sources
from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import Settings

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def project_key(settings: Settings, name: str) -> bytes:
    """The key of a project; a first one is made where there is none, and the project has no vault.

    Raises BadSetting for a name that is none, or a key that is gone, cannot be read or is open to others.
    """
    path = _folder(settings, name) / f"{name}.key"
    found = key_sources.read(path)
    if found is None:
        if vault_folder(settings, name).exists():
            # Another one could not read the vault, and would give everybody new pseudonyms.
            raise BadSetting(f"key file {path} is not there, and the project has a vault made with it")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_sources.make_at(path, secrets.token_bytes(key_sources.KEY_BYTES))
        found = key_sources.read(path)
        assert found is not None  # noqa: S101  (it was made)
    return found.keys[0]


def vault_folder(settings: Settings, name: str) -> Path:
    """Where a project with a vault has its patients' data keys; raises BadSetting for a name that is none."""
    return _folder(settings, name) / f"{name}.vault"


def service_file(settings: Settings, name: str) -> Path:
    """What tells of the project's identity service; raises BadSetting for a name that is none."""
    return _folder(settings, name) / f"{name}.service.toml"


def _folder(settings: Settings, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise BadSetting(
            "a project's name has up to 64 small letters, digits, - and _, a letter or digit first"
        )
    return settings.data / "keys" / "projects"
