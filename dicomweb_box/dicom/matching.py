"""Query: what is searched for, without SQL; and how QIDO-RS parameters become one (PS3.18 8.3.4)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dicomweb_box.dicom import person_name
from dicomweb_box.dicom.attribute_path import AttributePath, parse, standard
from dicomweb_box.dicom.attributes import BY_TAG, DERIVED, Kind, Level, indexed_value, kind_of, moment_range
from dicomweb_box.dicom.matches import Combined, Empty, Exact, Match, Pattern, Range, Sounds, Test
from dicomweb_box.errors import BadQuery

_WILDCARDS = re.compile(r"[*?]")
_SEPARATORS = re.compile(r"\\+")
_LISTS = re.compile(r"\\+|,")
_EMPTY = '""'
_NUMERIC: tuple[Kind, ...] = ("number", "decimal")
_MOMENTS: tuple[Kind, ...] = ("date", "time", "datetime")


@dataclass(frozen=True, slots=True)
class Order:
    """One attribute that rows are ordered by."""

    tag: str
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is searched for at one level, what is returned, and which part of the ordered answer."""

    level: Level
    study_uid: str | None = None
    """Only within this study."""
    series_uid: str | None = None
    """Only within this series."""
    keys: tuple[Match, ...] = ()
    combined: tuple[Combined, ...] = ()
    include: tuple[AttributePath, ...] = ()
    """Returned beyond the default attributes."""
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    order: tuple[Order, ...] = ()
    """Before the level's own total order."""
    strict: bool = False
    """Refuse what cannot be matched, instead of leaving it out with a warning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How the values of keys are read."""

    fuzzy: bool = False
    empty_value_matching: bool = False
    multiple_value_matching: bool = False


@dataclass(kw_only=True)
class Keys:
    """Collects matching keys; a second one for the same attribute widens the first."""

    options: Options = field(default_factory=Options)
    found: dict[AttributePath, Match] = field(default_factory=dict)

    def add(self, path: AttributePath, text: str, name: str) -> None:
        """One key with its text; raises BadQuery, which names the key alone, where it cannot be meant."""
        tests = read_tests(path, text, name, self.options)
        before = self.found.get(path)
        self.found[path] = Match(path, (*before.tests, *tests) if before else tests, name)

    def finish(self) -> tuple[tuple[Match, ...], tuple[Combined, ...]]:
        """The keys, and the date and time ranges among them that are one range."""
        return combine(tuple(self.found.values()))


_MOST_VALUES = 500
"""Of one key; each is a condition of its own. Lists of UIDs have no end but the request's."""


def read_tests(path: AttributePath, text: str, name: str, options: Options) -> tuple[Test, ...]:
    """The tests that a key's text asks for; () is universal matching."""
    kind = kind_of(path.vr)
    if path.vr == "SQ":
        if text.strip():
            raise BadQuery(f"{name} is a sequence: match an attribute within it, as {name}.Keyword.")
        return ()
    tests: list[Test] = []
    for value in _split(kind, path.vr, text, options):
        if not value:
            continue
        if "\0" in value:  # neither database takes it, and no value that is held has one
            raise BadQuery(f"{name} holds a NUL character.")
        if options.empty_value_matching and value == _EMPTY:
            tests.append(Empty())
        elif set(value) == {"*"}:
            return ()
        else:
            tests.extend(_read(kind, value, name, options))
        if len(tests) > _MOST_VALUES and kind != "uid":
            raise BadQuery(f"{name} has more than {_MOST_VALUES} values.")
    return tuple(tests)


def _split(kind: Kind, vr: str, text: str, options: Options) -> list[str]:
    # A backslash never belongs to a value, but in the long texts that have no second value; a comma may.
    if vr in ("LT", "ST", "UT", "UR"):
        return [text.strip()]
    comma = options.multiple_value_matching or kind not in ("text", "name") or vr == "CS"
    return [value.strip() for value in (_LISTS if comma else _SEPARATORS).split(text)]


def _read(kind: Kind, value: str, name: str, options: Options) -> list[Test]:
    if kind in _MOMENTS:
        return [_read_moment(kind, value, name)]
    if kind in _NUMERIC:
        number = indexed_value(kind, value)
        if number is None:
            raise BadQuery(f"{name} is not a number.")
        return [Exact(number)]
    if kind == "uid":
        return [Exact(value)]
    text = person_name.fold(value) if kind == "name" else value
    tests: list[Test] = [Pattern(text) if _WILDCARDS.search(text) else Exact(text)]
    if kind == "name" and options.fuzzy and person_name.tokens(text):
        tests.append(Sounds(text))
    return tests


def _read_moment(kind: Kind, value: str, name: str) -> Test:
    for low_text, high_text in _range_ends(value):
        low = moment_range(kind, low_text) if low_text else ("", "")
        high = moment_range(kind, high_text) if high_text else ("", "")
        if low and high and (low_text or high_text):
            return Range(low[0] or None, high[1] or None)
    one = moment_range(kind, value)
    if not one:
        words = {
            "date": "a date (YYYYMMDD)",
            "time": "a time (HHMMSS)",
            "datetime": "a date-time (YYYYMMDDHHMMSS)",
        }
        raise BadQuery(f"{name} is not {words[kind]} nor a range of them.")
    return Exact(one[0]) if one[0] == one[1] else Range(one[0], one[1], one=True)


def _range_ends(value: str) -> list[tuple[str, str]]:
    """Each way to read a hyphen as the one between the ends: offsets from UTC have their own."""
    return [
        (value[:place].strip(), value[place + 1 :].strip())
        for place, letter in enumerate(value)
        if letter == "-"
    ]


# Date and time attributes that are one moment.
_MOMENT_PAIRS = {
    "00080020": "00080030",
    "00080021": "00080031",
    "00080022": "00080032",
    "00080023": "00080033",
    "00400244": "00400245",
}


def combine(keys: tuple[Match, ...]) -> tuple[tuple[Match, ...], tuple[Combined, ...]]:
    """Date and time ranges of one moment become one range; the other keys stay (PS3.4 C.2.2.2.5.3)."""
    by_tag = {key.path.head: key for key in keys if len(key.path.steps) == 1}
    pairs = ((by_tag.get(date), by_tag.get(time)) for date, time in _MOMENT_PAIRS.items())
    combined = [one for date, time in pairs if date and time and (one := as_one_range(date, time))]
    taken = {id(key) for one in combined for key in (one.date, one.time)}
    return tuple(key for key in keys if id(key) not in taken), tuple(combined)


def as_one_range(date: Match, time: Match) -> Combined | None:
    """The range of moments that a range of dates and one of times stand for; None where they are not such."""
    days, times = _only_range(date), _only_range(time)
    if not days or not times:
        return None
    # A bounded time beside an open date has no day to belong to: then the two are matched apart.
    if (times.low and not days.low) or (times.high and not days.high):
        return None
    low = None if days.low is None else days.low + (times.low or "000000.000000")
    high = None if days.high is None else days.high + (times.high or "235959.999999")
    return Combined(date=date, time=time, low=low, high=high)


def _only_range(match: Match) -> Range | None:
    test = match.tests[0] if len(match.tests) == 1 else None
    return test if isinstance(test, Range) and not test.one else None


_CREATOR = re.compile(r"[0-9A-Fa-f]{3}[13579BDFbdf]00[0-9A-Fa-f]{2}")
_FLAGS = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching", "strict")
# Read by the door itself, for every resource (PS3.18 8.3.3).
_OTHERS = ("accept", "charset", "includefield", "orderby", "limit", "offset")
_MODALITY, _MODALITIES = "00080060", "00080061"
_NO_LIMIT = 2**31


def from_parameters(
    level: Level, pairs: Sequence[tuple[str, str]], path_uids: Mapping[str, str] | None = None
) -> tuple[Query, list[str]]:
    """The query of decoded QIDO-RS parameters, and a sentence for each part that is left out of it.

    `path_uids` may hold "study" and "series", from the resource's path. Raises BadQuery, naming the parameter
    and never its value, for what cannot be meant; with `strict=1` also for what would be left out.
    """
    pairs = [(name.strip(), value) for name, value in pairs if name.strip()]
    flags = {name: _flag(pairs, name) for name in _FLAGS}
    creators = {
        name.upper()[:4] + name.upper()[6:]: value for name, value in pairs if _CREATOR.fullmatch(name)
    }
    warnings: list[str] = []
    keys = Keys(
        options=Options(
            fuzzy=flags["fuzzymatching"],
            empty_value_matching=flags["emptyvaluematching"],
            multiple_value_matching=flags["multiplevaluematching"],
        )
    )
    for name, value in pairs:
        if name not in _FLAGS and name not in _OTHERS and not _CREATOR.fullmatch(name):
            _read_key(level, keys, name, value, creators, warnings)
    include, include_all = _read_include(level, pairs, creators, warnings)
    order = _read_order(pairs, warnings)
    if flags["strict"] and warnings:
        raise BadQuery(warnings[0])
    matches, combined = keys.finish()
    path_uids = path_uids or {}
    query = Query(
        level=level,
        study_uid=path_uids.get("study"),
        series_uid=path_uids.get("series"),
        keys=matches,
        combined=combined,
        include=include,
        include_all=include_all,
        limit=_whole_number(pairs, "limit"),
        offset=_whole_number(pairs, "offset") or 0,
        order=order,
        strict=flags["strict"],
    )
    return query, warnings


def _read_key(
    level: Level, keys: Keys, name: str, value: str, creators: Mapping[str, str], warnings: list[str]
) -> None:
    try:
        path = at_level(level, parse(name, creators))
    except BadQuery:
        # Sup 183: an unknown parameter is passed over. Its name may be anything, so it is not repeated.
        warnings.append(f"{_safe(name)} is neither a parameter nor an attribute and is ignored.")
        return
    keys.add(path, value, _safe(name))


def at_level(level: Level, path: AttributePath) -> AttributePath:
    """The path as it is meant at a level."""
    # OHIF asks Modality (0008,0060) of studies and means Modalities in Study.
    return standard(_MODALITIES) if level == "study" and str(path) == _MODALITY else path


def _safe(name: str) -> str:
    """A parameter's name where it looks like one: what a client mistyped may hold anything."""
    return name if re.fullmatch(r"[\w.,: -]{1,64}", name, re.ASCII) else "A parameter"


def _flag(pairs: Sequence[tuple[str, str]], name: str) -> bool:
    given = [value.strip().lower() for key, value in pairs if key == name]
    if any(value not in ("true", "false", "1", "0", "") for value in given):
        raise BadQuery(f"{name} is neither true nor false.")
    return any(value in ("true", "1") for value in given)


def _whole_number(pairs: Sequence[tuple[str, str]], name: str) -> int | None:
    given = [value.strip() for key, value in pairs if key == name and value.strip()]
    if not given:
        return None
    if len(set(given)) > 1 or not (given[0].isascii() and given[0].isdigit()):
        raise BadQuery(f"{name} is not one whole number.")
    return int(given[0][:12]) if len(given[0]) <= 12 else _NO_LIMIT


def _listed(pairs: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [item.strip() for key, value in pairs if key == name for item in value.split(",") if item.strip()]


def _read_include(
    level: Level, pairs: Sequence[tuple[str, str]], creators: Mapping[str, str], warnings: list[str]
) -> tuple[tuple[AttributePath, ...], bool]:
    found: dict[AttributePath, None] = {}
    include_all = False
    for item in _listed(pairs, "includefield"):
        if item.lower() == "all":
            include_all = True
            continue
        try:
            found[at_level(level, parse(item, creators))] = None
        except BadQuery:
            warnings.append(f"includefield={_safe(item)} names no attribute and is ignored.")
    return tuple(found), include_all


def _read_order(pairs: Sequence[tuple[str, str]], warnings: list[str]) -> tuple[Order, ...]:
    order = []
    for item in _listed(pairs, "orderby"):
        # "+" arrives as a space.
        name = item.lstrip("-+ ")
        try:
            path = parse(name)
        except BadQuery:
            path = None
        if path is None or len(path.steps) > 1 or (path.head not in BY_TAG and path.head not in COUNTED):
            warnings.append(
                f"orderby={_safe(name)} is no attribute that rows can be ordered by and is ignored."
            )
            continue
        order.append(Order(path.head, descending=item.startswith("-")))
    return tuple(order)


COUNTED = tuple(tag for tag, (_, vr, _) in DERIVED.items() if vr == "IS")
"""Attributes that are counted and can order rows."""
