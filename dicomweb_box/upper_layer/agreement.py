"""What is proposed for an association, what is accepted of it, and why not (PS3.8 9.3, PS3.7 D.3.3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

ACCEPTED, REFUSED, NO_REASON, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = range(5)
"""PS3.8 Table 9-18."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    result: int = 1
    source: int = 1
    reason: int = 1


VERSION_NOT_SUPPORTED = Rejection(result=1, source=2, reason=2)
CONTEXT_NAME_NOT_SUPPORTED = Rejection(result=1, source=1, reason=2)
CALLING_NOT_RECOGNIZED = Rejection(result=1, source=1, reason=3)
CALLED_NOT_RECOGNIZED = Rejection(result=1, source=1, reason=7)
LIMIT_EXCEEDED = Rejection(result=2, source=3, reason=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposed:
    """A presentation context that is proposed; with `as_scp` the requestor wants to be SCP as well."""

    abstract_syntax: str
    transfer_syntaxes: Sequence[str]
    as_scp: bool = False
    id: int = 0
    """Given by the negotiation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AssociationRequest:
    """What an A-ASSOCIATE-RQ says, and who sent it."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    peer_certificate: bytes | None
    proposed: Sequence[Proposed]
    roles: Mapping[str, tuple[bool, bool]]
    """By SOP class, whether the requestor proposes to be SCU, and SCP (PS3.7 D.3.3.4)."""
    extended: Mapping[str, bytes]
    """Service class application information by SOP class (PS3.7 D.3.3.5)."""
    related: Mapping[str, Sequence[str]]
    """Related general SOP classes by SOP class (PS3.7 D.3.3.6)."""
    most_pdu: int
    implementation: str
    window: bool = False
    """Whether the requestor has an asynchronous operations window to negotiate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """What is accepted of an association request.

    `contexts` says by context ID the transfer syntax, or why none (PS3.8 Table 9-18); those left out are
    refused as of an abstract syntax that is not supported. `roles` says by SOP class whether the requestor
    may be SCU, and SCP.
    """

    contexts: Mapping[int, str | int]
    extended: Mapping[str, bytes] = field(default_factory=dict)
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    pdu_size: int = 0
    """Most bytes of a PDU that the requestor is told to send; 0: as the limits have it."""
    idle: float | None = None
    """Seconds between its messages; None: as the limits have it."""
    let_go: Callable[[], None] = lambda: None
    """Called once the association is over, or could not be after all."""


def choose(request: AssociationRequest, supported: Mapping[str, Sequence[str]]) -> dict[int, str | int]:
    """For Acceptance.contexts: by abstract syntax the first of `supported` that is proposed."""
    chosen: dict[int, str | int] = {}
    for proposed in request.proposed:
        ours = supported.get(proposed.abstract_syntax)
        if ours is not None:
            fits = (syntax for syntax in ours if syntax in proposed.transfer_syntaxes)
            chosen[proposed.id] = next(fits, NO_TRANSFER_SYNTAX)
    return chosen


def numbered(proposed: Sequence[Proposed]) -> list[Proposed]:
    """The same with context IDs; raises ValueError for more than an association can have."""
    if not 1 <= len(proposed) <= 128:
        raise ValueError(f"an association proposes 1 to 128 presentation contexts, not {len(proposed)}")
    return [
        Proposed(
            id=2 * number + 1,
            abstract_syntax=one.abstract_syntax,
            transfer_syntaxes=one.transfer_syntaxes,
            as_scp=one.as_scp,
        )
        for number, one in enumerate(proposed)
    ]
