"""The identifier of a C-FIND request for the Modality Worklist (PS3.4 K.4.1, K.6.1.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from dicomweb_box.dicom.charset import charset
from dicomweb_box.dicom.identifier import CHARACTER_SET, Key, KeyReader
from dicomweb_box.dicom.identifier_reader import elements
from dicomweb_box.dicom.matches import Combined, Exact, Match, Range
from dicomweb_box.dicom.matching import as_one_range
from dicomweb_box.dicom.query_options import QueryOptions
from dicomweb_box.dicom.scheduled_step import MATCHED, STEPS

_DATE: Final = f"{STEPS}.00400002"
_TIME: Final = f"{STEPS}.00400003"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorklistAsked:
    """What one request asks for."""

    keys: tuple[Key, ...]
    charset: str
    unsupported: bool
    """Something is to be matched that is not kept of steps (status FF01)."""
    _tests: tuple[Match | Combined, ...]
    days: tuple[str | None, str | None]
    """The first and last day that can be, YYYYMMDD."""

    def accepts(self, step: Mapping[str, Any]) -> bool:
        """Whether a step matches every key."""
        return all(test.accepts(step) for test in self._tests)


def read(data: bytes, transfer_syntax: str, options: QueryOptions) -> WorklistAsked:
    """What an identifier asks for; raises BadRequest (BadQuery, BadIdentifier) where it cannot be meant."""
    found = elements(data, transfer_syntax)
    said = next((one.value for one in found if one.tag == CHARACTER_SET), b"")
    reader = KeyReader(
        options=options, level="instance", syntax=transfer_syntax, decode=charset(said.strip(b" \0")).decode
    )
    for element in found:
        reader.add(element)
    matches = [match for match in reader.matches if str(match.path) in MATCHED]
    tests = _with_one_range(matches)
    return WorklistAsked(
        # Of the one item of a step's sequence, all is returned that is asked for.
        keys=tuple(replace(key, tests=()) for key in reader.returned),
        charset=said.decode("latin-1").strip(" \0"),
        unsupported=reader.unsupported or len(matches) < len(reader.matches),
        _tests=tests,
        days=_days(tests),
    )


def _with_one_range(matches: list[Match]) -> tuple[Match | Combined, ...]:
    """PS3.4 Table K.6-1: a range of days and one of times are always one range."""
    date = next((one for one in matches if str(one.path) == _DATE), None)
    time = next((one for one in matches if str(one.path) == _TIME), None)
    combined = as_one_range(date, time) if date and time else None
    if combined is None:
        return tuple(matches)
    return (*(one for one in matches if one not in (date, time)), combined)


def _days(tests: tuple[Match | Combined, ...]) -> tuple[str | None, str | None]:
    for test in tests:
        if isinstance(test, Combined):
            return test.low and test.low[:8], test.high and test.high[:8]
        if str(test.path) == _DATE and len(test.tests) == 1:
            match test.tests[0]:
                case Exact(day):
                    return day, day
                case Range(low=low, high=high):
                    return low, high
    return None, None
