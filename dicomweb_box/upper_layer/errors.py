"""What can go wrong between two application entities.

UpperLayerError
├── Aborted       the association ended before its time: either side aborted, or the connection broke
│   └── TimedOut  … since nothing came, or nothing could be sent, for too long
├── Rejected      the peer does not want the association; carries its result, source and reason
├── Unreachable   no connection, no TLS, or no answer to the association request
└── TooLarge      a data set longer than whoever asked for it takes
"""

from typing import Literal

from dicomweb_box.errors import BoxError


class UpperLayerError(BoxError):
    """Anything that stops an association, or keeps one from being."""


class Aborted(UpperLayerError):
    """The association ended before its time; nothing more can be sent or received."""


class TimedOut(Aborted):
    """The association was aborted by us, since the peer kept us waiting too long."""


class Unreachable(UpperLayerError):
    """There is nobody at the address, or nobody who answers as DICOM does; trying again may help."""

    def __init__(self, message: str, *, at: Literal["connection", "tls", "answer"] = "connection") -> None:
        super().__init__(message)
        self.at = at
        """What could not be had; what comes before it could."""


class TooLarge(UpperLayerError):
    """A data set longer than whoever asked for it takes."""


class Rejected(UpperLayerError):
    """The peer answered A-ASSOCIATE-RJ, or accepted no presentation context (result 0)."""

    def __init__(self, *, result: int = 0, source: int = 0, reason: int = 0) -> None:
        super().__init__(_sentence(result, source, reason))
        self.result, self.source, self.reason = result, source, reason

    @property
    def transient(self) -> bool:
        """Whether the peer says that trying again may help."""
        return self.result == 2


# PS3.8 Table 9-21
_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


def _sentence(result: int, source: int, reason: int) -> str:
    if result == 0:
        return "the peer accepted none of the proposed presentation contexts"
    kind = {1: "permanently", 2: "for now"}.get(result, "")
    why = _REASONS.get((source, reason), f"source {source}, reason {reason}")
    return f"the peer rejected the association {kind}: {why}"
