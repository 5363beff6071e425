"""What a receiver's status says of a stored instance, in words (PS3.4 B.2.3, PS3.7 C.5)."""

from typing import Literal

SUCCESS = 0x0000

Verdict = Literal["stored", "warning", "failed"]

_WARNINGS = {
    0xB000: "stored, with attributes coerced",
    0xB006: "stored, with elements discarded",
    0xB007: "stored, though the data set does not match the SOP class",
}
_FAILURES = {
    0x0110: "the receiver failed to process it",
    0x0111: "the receiver has another object of this UID",
    0x0117: "the receiver takes its UID for none",
    0x0122: "the receiver does not support its SOP class",
    0x0124: "the receiver does not let us store",
    0x0210: "the receiver takes the message for a second one",
    0x0211: "the receiver does not store",
    0x0212: "the receiver misses something in the message",
}
_AGAIN = frozenset({0x0110})


def verdict(status: int) -> Verdict:
    """Whether an instance is stored."""
    if status == SUCCESS:
        return "stored"
    # PS3.7 Table C-1: 0001, Bxxx, 0107 and 0116 are warnings.
    return "warning" if status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0116) else "failed"


def words(status: int) -> str:
    """A status in words."""
    said = verdict(status)
    if said == "stored":
        return "stored"
    if said == "warning":
        return f"{_WARNINGS.get(status, 'stored, with a warning')} ({status:04X})"
    return f"{_FAILURES.get(status) or _range(status)} ({status:04X})"


def helps_again(status: int) -> bool:
    """Whether sending the same once more could end otherwise."""
    return status in _AGAIN or status >> 8 == 0xA7


def _range(status: int) -> str:
    if status >> 8 == 0xA7:
        return "the receiver is out of resources"
    if status >> 8 == 0xA9:
        return "the receiver finds that the data set does not match its SOP class"
    if status >> 12 == 0xC:
        return "the receiver cannot understand the data set"
    return "the receiver refused it"
