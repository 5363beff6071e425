"""What a DICOM peer may ask this box for, and what rights that takes."""

from collections.abc import Iterable
from enum import StrEnum

from dicomweb_box.accounts.rights import Right
from dicomweb_box.errors import BadRequest


class Service(StrEnum):
    """One kind of thing to ask for over an association."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    RETRIEVE = "retrieve"
    MOVE = "move"
    COMMIT = "commit"
    WORKLIST = "worklist"
    MPPS = "mpps"


EVERY_SERVICE = frozenset(Service)
NO_SERVICE: frozenset[Service] = frozenset()

MEANING = {
    Service.ECHO: "Ask whether the box is there (C-ECHO).",
    Service.STORE: "Bring instances (C-STORE).",
    Service.FIND: "Search, with the names of patients (C-FIND).",
    Service.RETRIEVE: "Get instances for itself (C-GET, C-MOVE to itself).",
    Service.MOVE: "Have instances sent to another peer (C-MOVE).",
    Service.COMMIT: "Ask whether instances are kept, and be asked it of what it was sent (Commitment).",
    Service.WORKLIST: "Ask what is to be done (Modality Worklist).",
    Service.MPPS: "Report what was done (Modality Performed Procedure Step).",
}
"""What each lets a peer do, in a sentence."""

_KNOWING = frozenset({Right.SEE, Right.IDENTITIES})

RIGHTS: dict[Service, frozenset[Right]] = {
    Service.ECHO: frozenset(),
    Service.STORE: frozenset({Right.STORE}),
    Service.FIND: _KNOWING,
    Service.RETRIEVE: _KNOWING,
    Service.MOVE: _KNOWING | {Right.SEND},
    Service.COMMIT: frozenset({Right.STORE}),
    Service.WORKLIST: _KNOWING,
    Service.MPPS: frozenset({Right.STORE}),
}
"""What somebody must have the right to who asks for it, and who lets a peer ask for it."""


def services_of(names: Iterable[str]) -> frozenset[Service]:
    """The services of these names; raises BadRequest for an unknown one."""
    found = set()
    for name in names:
        if name not in Service._value2member_map_:
            raise BadRequest(f"There is no service {name[:40]!r}; there are {', '.join(Service)}.")
        found.add(Service(name))
    return frozenset(found)


def rights_for(services: Iterable[Service]) -> frozenset[Right]:
    """All rights that they take."""
    return frozenset(right for service in services for right in RIGHTS[service])
