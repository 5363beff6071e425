"""What of a proposal is accepted: which SOP classes are storage, in which transfer syntax (PS3.8 9.3.3)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from pydicom.uid import UID

from dicomweb_box.dicom import uids

UNCOMPRESSED: Final = frozenset({uids.IMPLICIT_LITTLE, uids.EXPLICIT_LITTLE, uids.EXPLICIT_BIG})
"""What identifiers are read in, and what a peer gets that decodes nothing."""
_NO_DATA_SETS: Final = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.")
"""Mail, XML and real-time video: none of them is a data set in a message."""
_NOT_OVER_A_NETWORK: Final = frozenset(
    {"1.2.840.10008.1.3.10", "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.2"}
)
"""Media Storage Directory, and Storage Commitment, which have the word in their names."""
_VIDEO: Final = frozenset(f"1.2.840.10008.5.1.4.1.1.77.1.{number}.1" for number in (1, 2, 4))
"""What is hardly ever uncompressed: Video Endoscopic, Microscopic and Photographic Image Storage."""


@lru_cache(maxsize=4096)
def is_storage(sop_class_uid: str) -> bool:
    """Whether instances of a SOP class can be stored: each that is not known for something else.

    So private classes are, and those newer than this program.
    """
    if not _is_uid(sop_class_uid):
        return False
    known = UID(sop_class_uid)
    if not known.type:
        return True
    if known.type != "SOP Class" or known in _NOT_OVER_A_NETWORK:
        return False
    # Retired ones have lost their names.
    return "Storage" in known.name or not known.keyword


def storage_syntax(proposed: Sequence[str], *, uncompressed_only: bool = False) -> str | None:
    """The first of the transfer syntaxes that a sender prefers, in its order; a private one where it has no
    other. None where none can be taken.
    """
    taken = [one for one in proposed if one in UNCOMPRESSED or (not uncompressed_only and _is_taken(one))]
    return next((one for one in taken if _is_known(one)), taken[0] if taken else None)


def retrieval_syntax(
    sop_class_uid: str, proposed: Sequence[str], *, uncompressed_only: bool = False
) -> str | None:
    """The one of the transfer syntaxes in which whoever gets instances of a class is given them (C-GET).

    One that most of them can be given in, whatever they are stored in; who wants them as they are stored
    proposes a context for each transfer syntax.
    """
    if sop_class_uid not in _VIDEO:
        for one in (uids.EXPLICIT_LITTLE, uids.IMPLICIT_LITTLE):
            if one in proposed:
                return one
    return storage_syntax(proposed, uncompressed_only=uncompressed_only)


def identifier_syntax(proposed: Sequence[str]) -> str | None:
    """The first transfer syntax in which identifiers are read and written; None where none is."""
    return next((one for one in proposed if one in UNCOMPRESSED), None)


@lru_cache(maxsize=1024)
def _is_taken(transfer_syntax_uid: str) -> bool:
    if not _is_uid(transfer_syntax_uid):
        return False
    known = UID(transfer_syntax_uid)
    return not known.type or (known.type == "Transfer Syntax" and not known.startswith(_NO_DATA_SETS))


@lru_cache(maxsize=1024)
def _is_known(transfer_syntax_uid: str) -> bool:
    return UID(transfer_syntax_uid).type == "Transfer Syntax"


def _is_uid(text: str) -> bool:
    return uids.clean_uid(text.encode("ascii", "replace")) is not None
