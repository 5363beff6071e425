"""Which presentation contexts are proposed to store instances, and in which of the accepted ones each goes.

Each transfer syntax has a context of its own: in a context that names several the receiver chooses one, and
whatever is stored in another would have to be rewritten (PS3.8 9.3.2.2).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from dicomweb_box.archive.dataset_body import UNCOMPRESSED, uncompressed
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.retrieve_keys import Kind
from dicomweb_box.dicom.transcode import LOSSY, TARGETS
from dicomweb_box.outbound.particulars import Syntaxes
from dicomweb_box.upper_layer.message import Context
from dicomweb_box.upper_layer.requestor import Proposed

MOST = 128
"""Presentation contexts of an association: their IDs are the odd numbers of a byte (PS3.8 9.3.2.2)."""

ENCODED = tuple(syntax for syntax in TARGETS if syntax not in LOSSY)
"""What instances can be encoded in without loss, for receivers that take nothing else."""

Accepted = Mapping[tuple[str, str], Context]
"""Contexts by SOP class and transfer syntax."""


def groups(kinds: Iterable[Kind], syntaxes: Syntaxes = "any") -> list[list[Proposed]]:
    """What is proposed for instances of these kinds, an association each; no SOP class is in two."""
    found: list[list[Proposed]] = []
    for proposed in (of_class(uid, stored, syntaxes) for uid, stored in sorted(_by_class(kinds).items())):
        if not found or len(found[-1]) + len(proposed) > MOST:
            found.append([])
        found[-1] += proposed
    return [group for group in found if group]


def of_class(sop_class_uid: str, stored: Iterable[str], syntaxes: Syntaxes = "any") -> list[Proposed]:
    """The contexts of one SOP class whose instances are given in these transfer syntaxes; best first."""
    own = sorted(stored)
    # PS3.5 10.1: Implicit VR Little Endian as well, wherever it can be made.
    native = dict.fromkeys(syntax for one in own for syntax in uncompressed(one))
    wanted = native if syntaxes == "uncompressed" else dict.fromkeys([*own, *native])
    return [
        Proposed(abstract_syntax=sop_class_uid, transfer_syntaxes=(syntax,)) for syntax in [*wanted][:MOST]
    ]


def encoded_of_class(sop_class_uid: str) -> list[Proposed]:
    """What is proposed to a receiver that took none of those: what it may have to be encoded in."""
    return [Proposed(abstract_syntax=sop_class_uid, transfer_syntaxes=(syntax,)) for syntax in ENCODED]


def accepted(
    contexts: Iterable[Context], allowed: Callable[[Context], bool] = lambda one: one.as_scu
) -> Accepted:
    """The contexts that instances can be sent in."""
    return {(one.abstract_syntax, one.transfer_syntax): one for one in contexts if allowed(one)}


def preferred(instance: Instance) -> Sequence[str]:
    """Transfer syntaxes to give an instance in, that which costs nothing first."""
    own = instance.given_syntax
    return [own, *(syntax for syntax in uncompressed(own) if syntax != own)]


def context_of(instance: Instance, taken: Accepted) -> Context | None:
    """The context that an instance goes in, if it need not be encoded for it."""
    for syntax in preferred(instance):
        if (found := taken.get((instance.sop_class_uid, syntax))) is not None:
            return found
    return None


def encoded_context_of(instance: Instance, taken: Accepted, targets: Sequence[str]) -> Context | None:
    """The context that an instance goes in once it is encoded in one of the targets; never one with loss."""
    for syntax in targets:
        found = taken.get((instance.sop_class_uid, syntax))
        if found is not None and syntax not in LOSSY and syntax not in UNCOMPRESSED:
            return found
    return None


def _by_class(kinds: Iterable[Kind]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for kind in kinds:
        found[kind.sop_class_uid].add(kind.transfer_syntax_uid)
    return found
