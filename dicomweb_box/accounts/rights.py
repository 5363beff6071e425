"""What may be done: rights, and the roles that are sets of them."""

from collections.abc import Iterable
from enum import StrEnum

from dicomweb_box.errors import BadRequest


class Right(StrEnum):
    """One thing that somebody may do, within the part of the archive that is theirs."""

    SEE = "see"
    IDENTITIES = "identities"
    STORE = "store"
    LABEL = "label"
    RULES = "rules"
    CORRECT = "correct"
    DELETE = "delete"
    EXPORT = "export"
    SEND = "send"
    SHARE = "share"
    PEERS = "peers"
    VAULT = "vault"
    AUDIT = "audit"
    OPERATE = "operate"
    ADMINISTER = "administer"


MEANING = {
    Right.SEE: "Search and look at lists.",
    Right.IDENTITIES: "See who the patients are, and the objects themselves: pictures, attributes, files.",
    Right.STORE: "Bring instances: STOW-RS, uploads.",
    Right.LABEL: "Put labels on studies and series, and take them off.",
    Right.RULES: "Make the rules that label by themselves.",
    Right.CORRECT: "Correct attributes, and decide what disagrees.",
    Right.DELETE: "Reject, restore and erase.",
    Right.EXPORT: "Download whole studies, series and selections.",
    Right.SEND: "Send to peers.",
    Right.SHARE: "Make links that show a part to whoever has them.",
    Right.PEERS: "Say which peers there are, and what they may do.",
    Right.VAULT: "Look up who a pseudonym stands for.",
    Right.AUDIT: "Read who did what.",
    Right.OPERATE: "See how the box fares: status, metrics.",
    Right.ADMINISTER: "Say who may do what: accounts, roles, tokens, links.",
}
"""What each right lets somebody do, in a sentence."""

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
