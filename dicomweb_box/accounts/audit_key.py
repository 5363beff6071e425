"""The keys that audit chains are made with, derived from the box's master keys.

A chain keeps the key that it began with: after a rotation the older keys stay, and hold what they signed.
"""

from dicomweb_box.accounts import key_sources
from dicomweb_box.accounts.keys import Ring
from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import Settings


def audit_keys(settings: Settings) -> list[bytes]:
    """One for each master key, the newest first; a first one is made where there is none.

    Raises BadSetting where they cannot be had. Without the database, since a transaction may be under way:
    `keys.ring`, which looks there whether they are the right ones, is asked first wherever that is possible.
    """
    found = key_sources.find(settings)
    if found is None:
        key_sources.make(settings)
        found = key_sources.find(settings)
    if found is None:
        raise BadSetting("the key file is gone")
    return Ring(found).derived_all("audit chain")
