"""What is to become of instances: a named set of profile, options and ways with pixels."""

from dataclasses import dataclass, field
from typing import Final, Literal

from dicomweb_box.deid.pixel_rules import NO_RULES, PixelRules
from dicomweb_box.deid.table import EDITION, OPTIONS, Option
from dicomweb_box.errors import BadSetting

OFFERED: Final[frozenset[Option]] = frozenset(
    (
        "retain-uids",
        "retain-device-identity",
        "retain-institution-identity",
        "retain-patient-characteristics",
        "retain-full-dates",
        "modify-dates",
    )
)
"""The options that this version carries out; the others need tables or cleaning that it has not."""

# PS3.16 CID 7050.
CODES: Final[dict[str, tuple[str, str]]] = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "clean-graphics": ("113103", "Clean Graphics Option"),
    "clean-structured-content": ("113104", "Clean Structured Content Option"),
    "clean-descriptors": ("113105", "Clean Descriptors Option"),
    "retain-full-dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "modify-dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "retain-patient-characteristics": ("113108", "Retain Patient Characteristics Option"),
    "retain-device-identity": ("113109", "Retain Device Identity Option"),
    "retain-uids": ("113110", "Retain UIDs Option"),
    "retain-safe-private": ("113111", "Retain Safe Private Option"),
    "retain-institution-identity": ("113112", "Retain Institution Identity Option"),
}
REDACTED: Final = ("113101", "Clean Pixel Data Option")
_MOST_DAYS: Final = 36525


@dataclass(frozen=True, kw_only=True, slots=True)
class Dates:
    """How far the dates of a patient may move under the option `modify-dates`."""

    most_days: int = 365
    whole_weeks: bool = False
    """Days of the week stay what they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The Basic Profile with some options. Raises BadSetting where they cannot be meant together."""

    name: str
    version: str = "1"
    options: frozenset[Option] = frozenset()
    dates: Dates = field(default_factory=Dates)
    pixels: Literal["refuse", "redact", "allow"] = "refuse"
    """What becomes of instances whose pixels may show who the patient is."""
    pixel_rules: PixelRules = NO_RULES
    """Where they show it, beside what follows from the standard."""
    reason: str = ""
    """Why their pixels are allowed."""
    pattern: str = "{token}"
    """Patient ID and Patient's Name; `{token}` stands for what is worked out of the original."""

    def __post_init__(self) -> None:
        for option in self.options:
            if option not in OPTIONS:
                raise BadSetting(f"{option} is no option of PS3.15 Table E.1-1")
            if option not in OFFERED:
                raise BadSetting(f"the option {option} is not carried out by this version")
        if {"retain-full-dates", "modify-dates"} <= self.options:
            raise BadSetting("retain-full-dates and modify-dates exclude each other (PS3.15 E.3.6)")
        if not (7 if self.dates.whole_weeks else 1) <= self.dates.most_days <= _MOST_DAYS:
            raise BadSetting(f"dates move by 1 to {_MOST_DAYS} days, by whole weeks from 7")
        if self.pixels == "allow" and not self.reason.strip():
            raise BadSetting("to allow pixels that may show who the patient is takes a reason")
        _check_pattern(self.pattern)

    @property
    def method(self) -> str:
        """What De-identification Method (0012,0063) says."""
        return f"dicomweb_box {self.name} {self.version}: PS3.15 {EDITION} Basic Profile"

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """(Code Value, Code Meaning) of all that is applied (PS3.16 CID 7050)."""
        redacted = (REDACTED,) if self.pixels == "redact" else ()
        return (CODES["basic"], *redacted, *sorted(CODES[option] for option in self.options))


def _check_pattern(pattern: str) -> None:
    rest = pattern.replace("{token}", "", 1)
    if rest == pattern or not rest.isascii() or not rest.isprintable() or set(rest) & set("\\{}^=*?"):
        raise BadSetting("a pattern holds {token} once, and else letters, digits and plain signs")
    if len(rest) > 32:
        raise BadSetting("a pattern has at most 32 characters beside {token}")


BASIC: Final = Policy(name="basic")
RESEARCH: Final = Policy(
    name="research", options=frozenset(("modify-dates", "retain-patient-characteristics"))
)
BUILT_IN: Final[dict[str, Policy]] = {policy.name: policy for policy in (BASIC, RESEARCH)}
