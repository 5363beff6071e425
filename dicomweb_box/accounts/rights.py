"""What may be done: rights, and the roles that are sets of them."""

from collections.abc import Iterable
from enum import StrEnum

from dicomweb_box.errors import BadRequest


class Right(StrEnum):
    """One thing that somebody may do, within the part of the archive that is theirs."""

    SEE = "see"
    """Search, look at and retrieve."""
    IDENTITIES = "identities"
    """… also who the patients are."""
    STORE = "store"
    """Bring instances: STOW-RS, uploads."""
    LABEL = "label"
    """Put labels on studies and series, and take them off."""
    RULES = "rules"
    """Make the rules that label by themselves."""
    CORRECT = "correct"
    """Correct attributes, and decide what disagrees."""
    DELETE = "delete"
    """Reject, restore and erase."""
    EXPORT = "export"
    """Download whole studies, series and selections."""
    SEND = "send"
    """Send to peers."""
    SHARE = "share"
    """Make links that show a part to whoever has them."""
    PEERS = "peers"
    """Say which peers there are, and what they may do."""
    VAULT = "vault"
    """Look up who a pseudonym stands for."""
    AUDIT = "audit"
    """Read who did what."""
    OPERATE = "operate"
    """See how the box fares: status, metrics."""
    ADMINISTER = "administer"
    """Say who may do what: accounts, roles, tokens."""


EVERY_RIGHT = frozenset(Right)
NO_RIGHT: frozenset[Right] = frozenset()


def rights_of(names: Iterable[str]) -> frozenset[Right]:
    """The rights of these names, where `read` stands for `see`; raises BadRequest for an unknown one."""
    found = set()
    for name in names:
        wanted = "see" if name == "read" else name
        if wanted not in Right._value2member_map_:
            raise BadRequest(f"There is no right {name[:40]!r}; there are {', '.join(Right)}.")
        found.add(Right(wanted))
    return frozenset(found)
