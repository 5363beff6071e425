"""Statuses of DIMSE responses (PS3.7 Annex C, PS3.4 B.2.3)."""

from typing import Final

from dicomweb_box.archive.outcomes import Outcome, Stored
from dicomweb_box.errors import FailureReason

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
PENDING_OPTIONAL: Final = 0xFF01
"""A match, where a key of the request is not supported (PS3.4 Table C.4-1)."""
CANCELLED: Final = 0xFE00
PROCESSING_FAILURE: Final = 0x0110
INVALID_ATTRIBUTE_VALUE: Final = 0x0106
DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
MISSING_ATTRIBUTE: Final = 0x0120
INVALID_INSTANCE: Final = 0x0117
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORIZED: Final = 0x0124
UNRECOGNIZED_OPERATION: Final = 0x0211
OUT_OF_RESOURCES: Final = 0xA700
DATA_SET_DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
UNABLE_TO_PROCESS: Final = 0xC001

_ELSEWHERE: Final = {
    # Of STOW-RS alone (PS3.18 Table I.2-2).
    FailureReason.BULK_DATA_MISSING: DATA_SET_DOES_NOT_MATCH,
    FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED: CANNOT_UNDERSTAND,
}


def of_outcome(outcome: Outcome) -> tuple[int, str]:
    """The status of a C-STORE response and its Error Comment, which is empty for a success.

    Coerced or odd data sets are successes too: some senders take B000 for an error, and send again for ever.
    """
    if isinstance(outcome, Stored):
        return SUCCESS, ""
    return _ELSEWHERE.get(outcome.reason, int(outcome.reason)), outcome.message
