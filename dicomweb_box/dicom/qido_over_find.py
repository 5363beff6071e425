"""QIDO-RS parameters as questions of C-FIND, level by level, and its answers as rows of QIDO-RS.

A peer is asked hierarchically (PS3.4 C.4.1.3.1.1): keys of a level above are asked at that level first, and
the rows of a level carry what was found above them (PS3.18 10.6.3.3).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from dicomweb_box.dicom.attribute_path import parse
from dicomweb_box.dicom.attributes import (
    BY_LEVEL,
    BY_TAG,
    DERIVED,
    INSTANCE_ANSWER,
    LEVELS,
    SERIES_ANSWER,
    SERIES_LEVEL_TAGS,
    STUDY_ANSWER,
    STUDY_LEVEL_TAGS,
    Level,
)
from dicomweb_box.dicom.matches import Combined, Match
from dicomweb_box.dicom.matching import Query, at_level, from_parameters
from dicomweb_box.dicom.remote_query import MATCHED
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import BadQuery

UNIQUE: Final[Mapping[Level, str]] = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}
_ANSWER: Final[Mapping[Level, tuple[str, ...]]] = {
    "study": (*STUDY_ANSWER, "00080056", "00080061", "00201206", "00201208"),
    "series": (*SERIES_ANSWER, "00201209"),
    "instance": INSTANCE_ANSWER,
}
_NOT_ASKED: Final = frozenset({"00080005", "00080052", "00080054", "00081190", "00080201"})
"""What is made up for each answer, or tells of the peer's own ways."""
_OWN_LEVEL: Final = {"00080056", "00080201"}
_LEFT_OUT: Final = {
    "fuzzymatching": (
        "The fuzzymatching parameter is not supported. Only literal matching has been performed."
    ),
    "emptyvaluematching": "The emptyvaluematching parameter is not supported by a proxy and is ignored.",
    "multiplevaluematching": (
        "The multiplevaluematching parameter is not supported by a proxy and is ignored."
    ),
    "orderby": "The orderby parameter is not supported by a proxy and is ignored.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked of a peer: keys by level and tag, an empty text for what is only returned."""

    level: Level
    keys: Mapping[Level, Mapping[int, str]]
    uids: Mapping[Level, str]
    """One UID for a level, by the resource's path or a key of a single value."""
    filters: Sequence[Match | Combined] = ()
    """What C-FIND does not have without negotiation, as several values of a key (PS3.4 C.2.2.2)."""
    offset: int = 0
    limit: int | None = None

    def is_asked(self, level: Level) -> bool:
        """Whether a level has to be asked: its UID is not known, or more of it is matched or returned."""
        return level not in self.uids or any(tag != int(UNIQUE[level], 16) for tag in self.keys[level])


@dataclass(kw_only=True, slots=True)
class _Reading:
    level: Level
    keys: dict[Level, dict[int, str]] = field(default_factory=lambda: {level: {} for level in LEVELS})
    warnings: list[str] = field(default_factory=list)

    def add(self, tag: str, text: str) -> None:
        self.keys[_level_of(tag, self.level)][int(tag, 16)] = text


def question_of(
    level: Level, pairs: Sequence[tuple[str, str]], path_uids: Mapping[str, str]
) -> tuple[Question, list[str]]:
    """The question for decoded parameters, and a sentence for each part that is left out of it.

    Raises BadQuery for what cannot be meant, with `strict=1` also for what would be left out.
    """
    if any(clean_uid(uid.encode("ascii", "replace")) != uid for uid in path_uids.values()):
        # A peer would take it as a list, or as a pattern.
        raise BadQuery("The address holds what is no UID.")
    query, warnings = from_parameters(level, pairs, path_uids)
    reading = _Reading(level=level, warnings=warnings)
    several = [one for one in query.keys if one.tests and not _can_be_asked(one)]
    filters: list[Match | Combined] = [one for one in several if len(one.path.steps) == 1]
    filters += query.combined
    # Of a range of moments the peer is asked for the days (PS3.4 C.2.2.2.5.3).
    filtered = {str(one.path) for one in several} | {str(one.time.path) for one in query.combined}
    for name, text in pairs:
        _read(reading, name.strip(), text, filtered, query)
    for name, sentence in _LEFT_OUT.items():
        if any(given == name and value.lower() not in ("", "false", "0") for given, value in pairs):
            reading.warnings.append(sentence)
    if query.strict and reading.warnings:
        raise BadQuery(reading.warnings[0])
    uids = _uids(reading, path_uids)
    _ask_for_answers(reading, query)
    question = Question(
        level=level,
        keys=reading.keys,
        uids=uids,
        filters=filters,
        offset=query.offset,
        limit=query.limit,
    )
    return question, reading.warnings


def _can_be_asked(match: Match) -> bool:
    """Whether it is one value, a list of UIDs, or a pattern of text: what C-FIND matches."""
    return match.path.vr in MATCHED and (len(match.tests) == 1 or match.kind == "uid")


def _matches(query: Query) -> Iterable[Match]:
    yield from query.keys
    for both in query.combined:
        yield from (both.date, both.time)


def _read(reading: _Reading, name: str, text: str, filtered: set[str], query: Query) -> None:
    try:
        path = at_level(reading.level, parse(name))
    except BadQuery:
        return  # a parameter, or what `from_parameters` has a sentence on
    if len(path.steps) > 1 or path.steps[0].creator is not None or not _is_standard(path.head):
        reading.warnings.append("A key within a sequence or of a private attribute is ignored by a proxy.")
        return
    matched = next((one for one in _matches(query) if one.path == path), None)
    if path.vr == "UI":
        text = "\\".join(one.strip() for one in text.replace(",", "\\").split("\\") if one.strip())
    # What means everything, and what is applied to the answers, is asked for without a value.
    universal = matched is None or not matched.tests or str(path) in filtered
    reading.add(path.head, "" if universal else text.strip())


def _uids(reading: _Reading, path_uids: Mapping[str, str]) -> dict[Level, str]:
    """Those of the path, which beat keys, and single ones among the keys."""
    found: dict[Level, str] = {}
    for level in LEVELS[:2]:
        tag = int(UNIQUE[level], 16)
        given = path_uids.get(level) or reading.keys[level].get(tag, "")
        if given and "\\" not in given and (level == "study" or "study" in found):
            found[level] = given
            reading.keys[level][tag] = given
    return found


def _ask_for_answers(reading: _Reading, query: Query) -> None:
    for path in query.include:
        if len(path.steps) == 1 and path.steps[0].creator is None and _is_standard(path.head):
            level = _level_of(path.head, reading.level)
            reading.keys[level].setdefault(int(path.head, 16), "")
        else:
            reading.warnings.append(
                "includefield of a private attribute or one within a sequence is ignored by a proxy."
            )
    wanted = [*_ANSWER[reading.level]]
    if query.include_all:
        wanted += [one.tag for one in BY_LEVEL[reading.level]]
    for tag in wanted:
        if tag not in _NOT_ASKED:
            reading.keys[reading.level].setdefault(int(tag, 16), "")


def _level_of(tag: str, asked: Level) -> Level:
    """At which level an attribute is asked for; what no level has, where the search is."""
    if tag in _OWN_LEVEL:
        return asked
    for level, uid in UNIQUE.items():
        if tag == uid:
            return level
    known = BY_TAG[tag].level if tag in BY_TAG else DERIVED[tag][2] if tag in DERIVED else None
    if known is None:
        in_study, in_series = tag in STUDY_LEVEL_TAGS, tag in SERIES_LEVEL_TAGS
        known = "study" if in_study and not in_series else "series" if in_series else asked
    # Of a level below nothing can be asked; a peer that does not know it says so.
    return known if LEVELS.index(known) < LEVELS.index(asked) else asked


def _is_standard(tag: str) -> bool:
    from pydicom.datadict import dictionary_has_tag

    return tag.isalnum() and "x" not in tag and int(tag[:4], 16) % 2 == 0 and dictionary_has_tag(int(tag, 16))


def row_of(answer: Mapping[str, Any], above: Mapping[str, Any], level: Level, base: str) -> dict[str, Any]:
    """An answer of the peer as a row, with what is known above it and its Retrieve URL; in tag order."""
    row = {**above, **{tag: element for tag, element in answer.items() if tag not in _NOT_ASKED}}
    path = base
    for one, name in zip(LEVELS[: LEVELS.index(level) + 1], ("studies", "series", "instances"), strict=False):
        path += f"/{name}/{quote(first(row, UNIQUE[one]), safe='')}"
    row["00081190"] = {"vr": "UR", "Value": [path]}
    # PS3.18 8.8: what is answered is UTF-8, whatever the peer wrote.
    row["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    return dict(sorted(row.items()))


def first(row: Mapping[str, Any], tag: str) -> str:
    """The first value of an attribute as text; empty: none."""
    values = (row.get(tag) or {}).get("Value") or [""]
    return str(values[0] or "").strip()


def is_named(row: Mapping[str, Any], level: Level) -> bool:
    """Whether an answer says of what it is: some do not."""
    return bool(first(row, UNIQUE[level]))
