"""Presentation contexts in which a C-GET of ours takes instances: the peer stores, in whatever it has."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from pydicom._uid_dict import UID_dictionary

from dicomweb_box.dicom.uids import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.upper_layer.requestor import Proposed

MOST: Final = 126
"""Of the 128 of an association, what two services leave."""
_UNCOMPRESSED: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
_NO_DATA_SETS: Final = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.")
# Where a peer does not tell the classes: what archives hold most, before the rest by number.
_COMMON: Final = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.104.1",
)


def storage_contexts(classes: Iterable[str], syntaxes: str) -> Sequence[Proposed]:
    """A context for each class and transfer syntax, as far as there is room; else one of all for each class.

    In a context of several the peer has one chosen for it, and may have to transcode (PS3.8 9.3.2.2).
    """
    wanted = sorted(classes) or [*_common()]
    offered = _UNCOMPRESSED if syntaxes == "uncompressed" else _every_syntax()
    if len(wanted) * len(offered) <= MOST:
        return [_context(one, (syntax,)) for one in wanted for syntax in offered]
    return [_context(one, offered) for one in wanted[:MOST]]


def _context(sop_class_uid: str, syntaxes: tuple[str, ...]) -> Proposed:
    return Proposed(abstract_syntax=sop_class_uid, transfer_syntaxes=syntaxes, as_scp=True)


@cache
def _every_syntax() -> tuple[str, ...]:
    known = [
        uid
        for uid, (_, kind, _, retired, _) in UID_dictionary.items()
        if kind == "Transfer Syntax" and not retired and not uid.startswith(_NO_DATA_SETS)
    ]
    return (*_UNCOMPRESSED, *(uid for uid in known if uid not in _UNCOMPRESSED))


@cache
def _common() -> tuple[str, ...]:
    known = [
        uid
        for uid, (name, kind, _, retired, _) in UID_dictionary.items()
        if kind == "SOP Class" and not retired and name.endswith("Storage")
    ]
    return (*_COMMON, *(uid for uid in known if uid not in _COMMON))
