"""Who the new names, UIDs and dates come from: a protocol, and what a project's key alone gives.

Everything here follows from the key and the original (HMAC-SHA256, RFC 2104), so that two processes in any
order give the same, and another key has nothing in common with it.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from dicomweb_box.deid.policy import Dates

_TOKEN_BYTES: Final = 10
_KEY_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """Who an instance is of, as it says itself."""

    patient_id: str
    issuer: str = ""

    @property
    def whole(self) -> str:
        """Both in one, so that no two patients have the same."""
        return f"{len(self.issuer)}|{self.issuer}|{self.patient_id}"


class Pseudonyms(Protocol):
    """What an instance's originals become; each answer is the same whenever it is asked for."""

    def uid(self, original: str) -> str:
        """The UID in the place of another one."""
        ...

    def token(self, kind: str, original: str) -> str:
        """16 letters and digits in the place of an identifier of some kind."""
        ...

    def patient(self, patient: Patient, pattern: str) -> str:
        """What stands for Patient ID and Patient's Name; ASCII, by the policy's pattern or a project's."""
        ...

    def days(self, patient: Patient, dates: Dates) -> int:
        """By how many days the dates of a patient move; never 0."""
        ...


class Keyed:
    """Pseudonyms of a project by its key alone, without a vault."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise ValueError("a project's key has 32 bytes")
        self._mac = hmac.new(key, digestmod=hashlib.sha256)
        self.uid = lru_cache(maxsize=65536)(self._uid)
        """See `Pseudonyms`."""

    def _uid(self, original: str) -> str:
        # RFC 9562 5.8: 122 bits of our own, version and variant; PS3.5 B.2 puts a UUID beneath 2.25.
        number = int.from_bytes(self._digest("uid", original)[:16], "big")
        number = number & ~(0xF << 76) | 0x8 << 76
        number = number & ~(0x3 << 62) | 0x2 << 62
        return f"2.25.{number}"

    def token(self, kind: str, original: str) -> str:
        """See `Pseudonyms`."""
        return base64.b32encode(self._digest(f"token {kind}", original)[:_TOKEN_BYTES]).decode("ascii")

    def patient(self, patient: Patient, pattern: str) -> str:
        """See `Pseudonyms`."""
        return pattern.replace("{token}", self.token("patient", patient.whole))

    def days(self, patient: Patient, dates: Dates) -> int:
        """See `Pseudonyms`."""
        unit = 7 if dates.whole_weeks else 1
        steps = dates.most_days // unit
        digest = self._digest("days", patient.whole)
        drawn = int.from_bytes(digest[:16], "big") % (2 * steps)
        return unit * (drawn - steps if drawn < steps else drawn - steps + 1)

    def _digest(self, purpose: str, original: str) -> bytes:
        mac = self._mac.copy()
        mac.update(f"{purpose}|{original}".encode())
        return mac.digest()
