"""The matching kinds of PS3.4 C.2.2.2: one key, and whether a data set matches it.

Declared where the standard leaves a choice: person names match without case, accents and width in each
component group; other text matches as written; IS and DS match as numbers; a time or date-time given to the
minute matches every moment of that minute; of several values of a key, or of the attribute, any pair
suffices.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from dicomweb_box.dicom import person_name
from dicomweb_box.dicom.attribute_path import AttributePath, values
from dicomweb_box.dicom.attributes import Kind, indexed_value, kind_of


@dataclass(frozen=True, slots=True)
class Exact:
    """Single value matching (C.2.2.2.1): a folded name, a padded date, a number, or text as written."""

    value: Any


@dataclass(frozen=True, slots=True)
class Pattern:
    """Wild card matching (C.2.2.2.4): `*` any text, `?` any one character."""

    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """Range matching (C.2.2.2.5), both ends included; an open end is None. Never matches what is empty."""

    low: str | None
    high: str | None
    one: bool = False
    """One moment that was given less exactly than it can be, such as an hour."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """Fuzzy semantic matching of person names; see `person_name.sounds_like`."""

    text: str


@dataclass(frozen=True, slots=True)
class Empty:
    """Empty value matching (C.2.2.2.7): the attribute is absent or without value."""


Test = Exact | Pattern | Range | Sounds | Empty


@dataclass(frozen=True)
class Match:
    """One matching key; matches if any of its tests does. Without tests it matches everything (C.2.2.2.3)."""

    path: AttributePath
    tests: tuple[Test, ...]
    name: str
    """As the request wrote it, for sentences about it."""

    @cached_property
    def kind(self) -> Kind:
        """How values of this attribute are compared."""
        return kind_of(self.path.vr)

    def accepts(self, dataset: Mapping[str, Any]) -> bool:
        """Whether a data set (a DICOM JSON object) matches."""
        indexed = (indexed_value(self.kind, value) for value in values(dataset, self.path))
        return self.accepts_values([value for value in indexed if value not in ("", None)])

    def accepts_values(self, indexed: Sequence[Any]) -> bool:
        """Whether an attribute with these values, as the index compares them, matches; [] is an empty one."""
        if not self.tests:
            return True
        if not indexed:
            return any(isinstance(test, Empty) for test in self.tests)
        return any(_accepts(test, self.kind, value) for test in self.tests for value in indexed)


@dataclass(frozen=True, kw_only=True)
class Combined:
    """A date and a time range read as one (PS3.4 C.2.2.2.5.3); ends as YYYYMMDDHHMMSS.FFFFFF."""

    date: Match
    time: Match
    low: str | None
    high: str | None

    def accepts(self, dataset: Mapping[str, Any]) -> bool:
        """Whether date and time lie in the range; on its first and last day the time must be known."""
        date = _first(dataset, self.date)
        return bool(date) and self.accepts_moment(date, _first(dataset, self.time))

    def accepts_moment(self, date: str, time: str) -> bool:
        """The same for a date and time as the index keeps them."""
        if not time:
            return (self.low is None or date > self.low[:8]) and (self.high is None or date < self.high[:8])
        return (self.low is None or date + time >= self.low) and (
            self.high is None or date + time <= self.high
        )


def _first(dataset: Mapping[str, Any], match: Match) -> str:
    found = values(dataset, match.path)
    return str(indexed_value(match.kind, found[0])) if found else ""


def _accepts(test: Test, kind: Kind, value: Any) -> bool:
    match test:
        case Exact(asked):
            return _is_name(asked, value, _same) if kind == "name" else bool(value == asked)
        case Pattern(asked):
            return _is_name(asked, value, _like) if kind == "name" else _like(asked, str(value))
        case Range(low=low, high=high):
            return (low is None or value >= low) and (high is None or value <= high)
        case Sounds(asked):
            return person_name.sounds_like(value, asked)
        case Empty():
            return False


def _is_name(asked: str, folded: str, same: Any) -> bool:
    """Any component group matches; a key that names groups itself matches them one by one."""
    if "=" not in asked:
        return any(same(asked, group) for group in person_name.groups(folded))
    groups = [*folded.split("="), "", "", ""]
    return all(not part or same(part, groups[number]) for number, part in enumerate(asked.split("=")[:3]))


def _same(asked: str, value: str) -> bool:
    return asked == value


def _like(asked: str, value: str) -> bool:
    return _regex(asked).fullmatch(value) is not None


_WILDCARDS = {"*": ".*", "?": "."}


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    parts = (
        ".*" if part == "*" else "." if part == "?" else re.escape(part)
        for part in re.split(r"([*?])", pattern)
    )
    return re.compile("".join(parts), re.DOTALL)
