"""What is to become of instances: a named set of profile, options and ways with pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Literal, get_args

from dicomweb_box.deid.dates import moved
from dicomweb_box.deid.own_rules import OwnRule
from dicomweb_box.deid.pixel_rules import NO_RULES, PixelRules
from dicomweb_box.deid.table import EDITION, OPTIONS, Option
from dicomweb_box.dicom.header_tables import standard_vr
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
Pixels = Literal["refuse", "redact", "allow"]
PSEUDONYM: Final = "{pseudonym}"
REDACTED: Final = ("113101", "Clean Pixel Data Option")
_MOST_DAYS: Final = 36525
_LONGEST_METHOD: Final = 64


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
    pixels: Pixels = "refuse"
    """What becomes of instances whose pixels may show who the patient is."""
    pixel_rules: PixelRules = NO_RULES
    """Where they show it, beside what follows from the standard."""
    reason: str = ""
    """Why their pixels are allowed, or identities kept."""
    keeps: bool = False
    """Identities are kept: instances go bit for bit as they are, and nothing is said of de-identification."""
    pattern: str = "{token}"
    """Patient ID and Patient's Name; `{token}` stands for what is worked out of the original."""
    rules: tuple[OwnRule, ...] = ()
    """Rules of its own: the first that is of an attribute decides."""
    trial: tuple[tuple[int, str], ...] = ()
    """What clinical trial attributes (0012,xxxx) say, by tag; `{pseudonym}` stands for Patient ID."""

    def __post_init__(self) -> None:
        _check_options(self.options)
        if not (7 if self.dates.whole_weeks else 1) <= self.dates.most_days <= _MOST_DAYS:
            raise BadSetting(f"dates move by 1 to {_MOST_DAYS} days, by whole weeks from 7")
        if self.keeps:
            _check_keeps(self)
        if self.pixels not in get_args(Pixels):
            raise BadSetting(f"pixels is one of {', '.join(get_args(Pixels))}")
        if self.pixels == "allow" and not self.reason.strip():
            raise BadSetting("to allow pixels that may show who the patient is takes a reason")
        if len(self.method) > _LONGEST_METHOD:
            raise BadSetting("a policy's name and version have at most 22 characters together")
        _check_pattern(self.pattern)
        for tag, text in self.trial:
            _check_trial(tag, text)

    @property
    def method(self) -> str:
        """What De-identification Method (0012,0063) says."""
        return f"dicomweb_box {self.name} {self.version}: PS3.15 {EDITION} Basic Profile"

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """(Code Value, Code Meaning) of all that is applied (PS3.16 CID 7050)."""
        redacted = (REDACTED,) if self.pixels == "redact" else ()
        return (CODES["basic"], *redacted, *sorted(CODES[option] for option in self.options))

    @property
    def asked(self) -> frozenset[int]:
        """The attributes that conditions of its rules are about."""
        return frozenset(condition.tag for rule in self.rules for condition in rule.when)

    @property
    def moves_dates(self) -> bool:
        """Whether some date moves."""
        return "modify-dates" in self.options or any(rule.action == "date" for rule in self.rules)

    def rule(self, tag: int, creator: str = "") -> OwnRule | None:
        """Its own rule for an attribute, if any."""
        return next((rule for rule in self.rules if rule.is_of(tag, creator)), None)


def applied(policy: Policy, raw: Mapping[int, bytes]) -> Policy:
    """The policy with those of its rules whose conditions hold; `raw` has the values of `asked`."""
    if not any(rule.when for rule in policy.rules):
        return policy
    return _holding(policy, tuple(all(one.holds(raw) for one in rule.when) for rule in policy.rules))


@lru_cache(maxsize=256)
def _holding(policy: Policy, holds: tuple[bool, ...]) -> Policy:
    kept = (rule for rule, one in zip(policy.rules, holds, strict=True) if one)
    return replace(policy, rules=tuple(replace(rule, when=()) for rule in kept))


def _check_options(options: frozenset[Option]) -> None:
    for option in options:
        if option not in OPTIONS:
            raise BadSetting(f"{option} is no option of PS3.15 Table E.1-1")
        if option not in OFFERED:
            raise BadSetting(f"the option {option} is not carried out by this version")
    if {"retain-full-dates", "modify-dates"} <= options:
        raise BadSetting("retain-full-dates and modify-dates exclude each other (PS3.15 E.3.6)")


def _check_keeps(policy: Policy) -> None:
    if not policy.reason.strip() or not policy.reason.isprintable():
        raise BadSetting("to keep identities takes a reason, in one line")
    if policy.options or policy.rules or policy.trial or policy.pixels != "refuse":
        raise BadSetting("a policy that keeps identities changes nothing: it has no options, rules or pixels")


_TRIAL_VRS: Final = {"LO": 64, "ST": 1024, "LT": 1024, "SH": 16, "DA": 8}


def _check_trial(tag: int, text: str) -> None:
    shown = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    vr = standard_vr(tag)
    if tag >> 16 != 0x0012 or tag in _METHODS or vr not in _TRIAL_VRS:
        raise BadSetting(f"{shown} is no clinical trial attribute (0012,xxxx) that a policy can fill")
    longest = _TRIAL_VRS[vr] - (_LONGEST_ID - len(PSEUDONYM) if PSEUDONYM in text else 0)
    if not text or not text.isascii() or not text.isprintable() or "\\" in text or len(text) > longest:
        raise BadSetting(
            f"{shown} takes {PSEUDONYM} alone, or up to {_TRIAL_VRS[vr]} letters, digits and plain signs"
        )
    if vr == "DA" and moved(text, vr, 0) != text:
        raise BadSetting(f"{shown} takes a date as YYYYMMDD")


_METHODS: Final = frozenset((0x00120062, 0x00120063, 0x00120064))
_LONGEST_ID: Final = 64


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
KEEP_NAME: Final = "keep"


def keeping(reason: str) -> Policy:
    """The policy that keeps identities. Raises BadSetting without a reason."""
    return Policy(name=KEEP_NAME, keeps=True, reason=reason)
