"""What can go wrong, as a tree.

BoxError
├── BadSetting              a setting or command line that cannot be meant
├── BadRequest              a request that cannot be understood; the message names the part
│   ├── BadQuery            … a search parameter
│   ├── RequestTooLarge     a body longer than what is asked for can be
│   └── RequestStalled      a body that stopped arriving
├── Unauthenticated         who asks is not known, or could not prove it
├── Forbidden               who asks has not the right to it
├── TooMany                 asked too often; carries the seconds to wait
├── NotFound                nothing there that this actor may see
│   └── Gone                … any more: it was rejected
├── Conflict                what was asked does not fit what is there now
│   └── OffsetMismatch      a piece of an upload that does not begin where the last one ended; carries where
├── NotAcceptable           none of the asked representations can be given; carries what can
├── UnreadableInstance      bytes that are not a usable DICOM instance; carries the failure reason
│   └── NotDicom            … and do not look like one
├── PeerUnreachable         another system does not answer, or not now; trying again later may help
├── PeerRefused             another system says no; trying again does not help
├── OutOfResources          disk or store full; trying again later may help
└── Damaged                 stored bytes are not what the index says

A message never carries a patient attribute: messages end in logs and answers.
"""

from enum import IntEnum


class FailureReason(IntEnum):
    """Failure reasons of PS3.18 Table I.2-2 and PS3.4 Table B.2-1, as STOW-RS and C-STORE report them."""

    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    INVALID_INSTANCE = 0x0117  # PS3.7 C.5.8
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124  # PS3.7 C.5
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH = 0xA900
    BULK_DATA_MISSING = 0xA922
    CANNOT_UNDERSTAND = 0xC000
    TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122


class BoxError(Exception):
    """Anything this program itself reports."""


class BadSetting(BoxError):
    """A setting or command line that cannot be meant."""


class BadRequest(BoxError):
    """A request that cannot be understood; the message names the part and what is wrong with it."""


class BadQuery(BadRequest):
    """A search parameter that cannot be understood."""


class RequestTooLarge(BadRequest):
    """A request body that is longer than what is asked for can be."""


class RequestStalled(BadRequest):
    """A request body that stopped arriving."""


class Unauthenticated(BoxError):
    """Who asks is not known, or could not prove it."""


class Forbidden(BoxError):
    """Who asks has not the right to what is asked."""


class TooMany(BoxError):
    """Asked too often: it may be asked again after `seconds`."""

    def __init__(self, message: str, *, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotFound(BoxError):
    """Nothing there that this actor may see."""


class Gone(NotFound):
    """It was here, and was rejected; it may still be restored."""


class Conflict(BoxError):
    """What was asked does not fit what is there now, as a name that is taken."""


class OffsetMismatch(Conflict):
    """A piece of an upload that does not begin where the durable ones end."""

    def __init__(self, message: str, *, expected: int, provided: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.provided = provided


class NotAcceptable(BoxError):
    """None of the asked representations can be given."""

    def __init__(self, message: str, offered: tuple[str, ...]) -> None:
        super().__init__(message)
        self.offered = offered


class UnreadableInstance(BoxError):
    """Bytes that are not a usable DICOM instance."""

    def __init__(self, message: str, reason: FailureReason = FailureReason.CANNOT_UNDERSTAND) -> None:
        super().__init__(message)
        self.reason = reason


class NotDicom(UnreadableInstance):
    """Bytes that do not look like DICOM at all: a picture, a text, a program."""


class PeerUnreachable(BoxError):
    """Another system does not answer, or not now; trying again later may help."""


class PeerRefused(BoxError):
    """Another system says no to what is asked; trying again does not help."""


class OutOfResources(BoxError):
    """Disk or object store full or refusing; trying again later may help."""


class Damaged(BoxError):
    """Stored bytes are not what the index says they are."""
