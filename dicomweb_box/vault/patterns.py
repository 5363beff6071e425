"""How a project names its patients: a text with one thing in it that tells them apart."""

import re
from dataclasses import dataclass
from typing import Final

from dicomweb_box.errors import BadSetting

_FIELD: Final = re.compile(r"\{(token|service|n|n:0?([1-9])|hash:([0-9]{1,2}))\}")
_LEAST_HASH, _MOST_HASH = 6, 16
_LONGEST: Final = 64  # PS3.5 6.2: of LO, and of a component group of PN
_REFUSED: Final = frozenset("\\{}^=*?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """Such a text in its parts."""

    before: str
    after: str
    digits: int | None = None
    """Least digits of a number that counts the patients; None: a token instead."""
    asks: bool = False
    """Whether an identity service says what is filled in."""
    token: int = _MOST_HASH
    """How many characters of the token."""

    @property
    def counts(self) -> bool:
        """Whether it numbers the patients as they come."""
        return self.digits is not None

    def with_token(self, token: str) -> str:
        """The pseudonym of whom the token is worked out of."""
        return f"{self.before}{token[: self.token]}{self.after}"

    def with_answer(self, answer: str) -> str:
        """The pseudonym of whom an identity service gave this answer for; it may be none (`is_plain`)."""
        return f"{self.before}{answer}{self.after}"

    def filled_in(self, pseudonym: str) -> str:
        """What the pseudonym has beside what is the same for all patients."""
        return pseudonym.removeprefix(self.before).removesuffix(self.after)

    def with_number(self, number: int) -> str:
        """The pseudonym of the patient with this number."""
        return f"{self.before}{number:0{self.digits or 1}}{self.after}"


def parsed(text: str) -> Pattern:
    """The pattern; raises BadSetting where it is none."""
    fields = list(_FIELD.finditer(text))
    if len(fields) != 1:
        raise BadSetting("a pattern holds one of {token}, {hash:8}, {n:04} and {service}, once")
    found = fields[0]
    before, after = text[: found.start()], text[found.end() :]
    if not is_plain(f"{before}x{after}"):
        raise BadSetting("beside what it fills in, a pattern has letters, digits and plain signs")
    length = int(found[3] or _MOST_HASH)
    if not _LEAST_HASH <= length <= _MOST_HASH:
        raise BadSetting(f"{{hash:…}} has {_LEAST_HASH} to {_MOST_HASH} characters")
    if len(before + after) > _LONGEST - _MOST_HASH:
        raise BadSetting(f"a pattern has at most {_LONGEST - _MOST_HASH} characters beside what it fills in")
    counts, asks = found[1].startswith("n"), found[1] == "service"
    return Pattern(
        before=before, after=after, token=length, asks=asks, digits=int(found[2] or 1) if counts else None
    )


def is_plain(pseudonym: str) -> bool:
    """Whether it may stand as Patient ID and Patient's Name, whatever the character set."""
    return (
        0 < len(pseudonym) <= _LONGEST
        and pseudonym.isascii()
        and pseudonym.isprintable()
        and not set(pseudonym) & _REFUSED
        and pseudonym == pseudonym.strip()
    )
