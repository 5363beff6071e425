"""The identifier of a C-FIND request: which rows are searched for, and which attributes are answered.

PS3.4 C.4.1: Query/Retrieve Level, unique keys, and keys to match or to return, in the request's own character
set. Where the standard leaves it open we are lenient: keys of other levels are matched where that can be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal

from dicomweb_box.dicom.attribute_path import LABELS, AttributePath, Step, path_of, step_of, vr_of
from dicomweb_box.dicom.attributes import SERIES_LEVEL_TAGS, STUDY_LEVEL_TAGS, Level
from dicomweb_box.dicom.charset import charset
from dicomweb_box.dicom.identifier_reader import Element, elements, is_number, numbers
from dicomweb_box.dicom.matches import Exact, Match
from dicomweb_box.dicom.matching import Options, Query, combine, read_tests
from dicomweb_box.dicom.query_options import QueryOptions
from dicomweb_box.errors import BadRequest

Root = Literal["patient", "study"]
FindLevel = Literal["patient", "study", "series", "instance"]
_LEVELS: Final[Mapping[str, FindLevel]] = {
    "PATIENT": "patient",
    "STUDY": "study",
    "SERIES": "series",
    "IMAGE": "instance",
}
_WORDS: Final = {level: word for word, level in _LEVELS.items()}
_UNIQUE: Final = {"patient": "00100020", "study": "0020000D", "series": "0020000E", "instance": "00080018"}
_NAMES: Final = {
    "00100020": "PatientID",
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00080018": "SOPInstanceUID",
}
CHARACTER_SET, LEVEL, RETRIEVE_AE, AVAILABILITY = "00080005", "00080052", "00080054", "00080056"
_VIEW, _TIMEZONE, _RETRIEVE_URL, _MODALITY, _MODALITIES = (
    "00080053", "00080201", "00081190", "00080060", "00080061",
)  # fmt: skip
# Said by us or about the request itself; never matched.
_UNMATCHED: Final = frozenset((CHARACTER_SET, LEVEL, _VIEW, RETRIEVE_AE, AVAILABILITY, _TIMEZONE))
_COUNTED_STUDY: Final = frozenset((_MODALITIES, "00201206", "00201208"))
_COUNTED_SERIES: Final = frozenset(("00201209",))
COUNTED_PATIENT: Final = frozenset(("00201200", "00201202", "00201204"))
"""Numbers of a patient's studies, series and instances."""
_SEVERAL_VRS: Final = frozenset(("AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"))

_ODD: Final = "13579BDF"
"""What the group of a private attribute ends in."""
_MOST_MATCHED: Final = 200
"""Keys with values: each may have to be compared with what every row holds."""


class WrongIdentifier(BadRequest):
    """An identifier that does not fit the SOP class (status A900); `tag` is the attribute at fault."""

    def __init__(self, message: str, tag: str) -> None:
        super().__init__(message)
        self.tag = tag


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One attribute to return."""

    tag: str
    """As the request has it."""
    step: Step
    vr: str
    items: tuple["Key", ...] = ()
    """What of a sequence's items is returned; (): all."""
    tests: tuple[Match, ...] = ()
    """What an item must match to be returned (C.2.2.2.6)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What one request asks for."""

    level: FindLevel
    query: Query
    """At PATIENT level of studies: patients are views of those."""
    keys: tuple[Key, ...]
    charset: str
    """The request's Specific Character Set; empty: none."""
    unsupported: bool
    """A key cannot be returned at this level (status FF01)."""

    @property
    def word(self) -> str:
        """Query/Retrieve Level, as it is answered."""
        return _WORDS[self.level]

    def accepts(self, row: Mapping[str, Any]) -> bool:
        """Whether one item of each sequence has all that is asked of it; the query looks over all items."""
        return all(_has_item(key, row) for key in self.keys if len(key.tests) > 1)


def _has_item(key: Key, row: Mapping[str, Any]) -> bool:
    items = (row.get(key.step.tag) or {}).get("Value") or []
    return any(item_matches(key, item) for item in items if isinstance(item, Mapping))


def item_matches(key: Key, item: Mapping[str, Any]) -> bool:
    """Whether an item of the sequence that a key names has all that is asked of it."""
    return all(test.accepts(item) for test in key.tests)


def read(data: bytes, transfer_syntax: str, root: Root, options: QueryOptions) -> Asked:
    """What an identifier asks for.

    Raises WrongIdentifier where it does not fit the SOP class, BadRequest (BadQuery, BadIdentifier) for what
    cannot be understood; messages name attributes, never values.
    """
    found = elements(data, transfer_syntax)
    by_tag = {element.tag: element for element in found}
    level = _level(by_tag, root)
    charset_value = _ascii(by_tag.get(CHARACTER_SET))
    decoder = charset(charset_value.encode("latin-1", "replace"))
    reader = KeyReader(options=options, level=level, syntax=transfer_syntax, decode=decoder.decode)
    for element in found:
        reader.add(element)
    if not options.relational:
        _need_unique_keys(reader, level, root)
    return Asked(
        level=level,
        query=_query(reader, level, options),
        keys=tuple(reader.returned),
        charset=charset_value,
        unsupported=reader.unsupported,
    )


def _level(by_tag: Mapping[str, Element], root: Root) -> FindLevel:
    word = _ascii(by_tag.get(LEVEL)).upper()
    level = _LEVELS.get(word)
    if level is None or (level == "patient" and root != "patient"):
        raise WrongIdentifier("Query/Retrieve Level is none of this information model.", LEVEL)
    return level


def _ascii(element: Element | None) -> str:
    return element.value.decode("latin-1").strip(" \0") if element else ""


class KeyReader:
    """Gathers what is matched and what is returned."""

    def __init__(self, *, options: QueryOptions, level: FindLevel, syntax: str, decode: Any) -> None:
        self.matches: list[Match] = []
        self.returned: list[Key] = []
        self.include: list[AttributePath] = []
        self.unsupported = False
        self._options = Options(fuzzy=options.fuzzy, empty_value_matching=options.empty_values)
        self._several = options.multiple_values
        self._relational = options.relational
        self._level = level
        self._syntax = syntax
        self._decode = decode
        self._creators: dict[str, str] = {}

    def add(self, element: Element) -> None:
        """One element of the identifier."""
        tag = element.tag
        if tag in (CHARACTER_SET, LEVEL, RETRIEVE_AE) or tag < "00080000":
            return
        if _is_creator(tag):
            self._creators[tag[:4] + tag[6:]] = self._text(element)
            return
        step = self._step(tag)
        if tag not in _UNMATCHED:
            self.matches.extend(self._at_level(match) for match in self._matches((step,), element))
            if len(self.matches) > _MOST_MATCHED:
                raise BadRequest(f"The identifier has more than {_MOST_MATCHED} keys to match.")
        elif tag in (_VIEW, _TIMEZONE):
            # Neither enhanced views nor timezones are ever agreed on.
            return
        if not self._is_held(step):
            self.unsupported = True
            return
        self.returned.append(self._key(step, element))
        if tag not in COUNTED_PATIENT:
            own = step.creator is not None
            path = AttributePath((step,), element.vr) if own else path_of(tag, element.vr)
            self.include.append(path)

    def _at_level(self, match: Match) -> Match:
        # As in searches of the web: Modality of a study is meant of its series.
        if self._level == "study" and str(match.path) == _MODALITY:
            return replace(match, path=AttributePath((Step(_MODALITIES),), "CS"))
        return match

    def _step(self, tag: str) -> Step:
        creator = self._creators.get(tag[:6]) if tag[3] in _ODD else None
        return step_of(tag) if creator is None else Step(f"{tag[:4]}xx{tag[6:]}", creator)

    def _is_held(self, step: Step) -> bool:
        """Whether rows of this level have the attribute (PS3.4 C.2.2.1.3: else it is not returned)."""
        tag = step.tag
        if tag == _RETRIEVE_URL:
            # It would be that of a web service, which this peer was not told of.
            return False
        if tag == AVAILABILITY or (step.creator is not None and step == LABELS.steps[0]):
            return True
        if self._level == "patient":
            return tag in COUNTED_PATIENT or (tag[:4] == "0010" and tag in STUDY_LEVEL_TAGS)
        if tag in _COUNTED_STUDY:
            return self._level == "study" or self._relational
        if tag in _COUNTED_SERIES:
            return self._level == "series"
        if self._level == "study":
            return tag in STUDY_LEVEL_TAGS
        if self._level == "series":
            return tag in STUDY_LEVEL_TAGS or tag in SERIES_LEVEL_TAGS
        return tag not in COUNTED_PATIENT

    def _key(self, step: Step, element: Element) -> Key:
        if element.vr != "SQ":
            if step.creator is None:
                return _standard_key(element.tag, element.vr)
            return Key(tag=element.tag, step=step, vr=element.vr)
        inner = [one for item in element.items for one in item if one.tag != CHARACTER_SET]
        items = tuple(self._key(self._step(one.tag), one) for one in inner if not _is_creator(one.tag))
        tests = tuple(
            test for one in inner if not _is_creator(one.tag) for test in self._matches((Step(one.tag),), one)
        )
        return Key(tag=element.tag, step=step, vr="SQ", items=items, tests=tests)

    def _matches(self, steps: tuple[Step, ...], element: Element) -> Iterator[Match]:
        if element.vr == "SQ":
            for item in element.items[:1]:
                for one in item:
                    if not _is_creator(one.tag) and one.tag != CHARACTER_SET:
                        yield from self._matches((*steps, self._step(one.tag)), one)
            return
        if not element.value or not (text := self._text(element)):
            return
        path = self._path(steps, element.vr)
        name = _name(steps[-1].tag)
        for value in self._apart(path, text):
            tests = read_tests(path, value, name, self._options)
            if tests:
                yield Match(path, tests, name)

    def _path(self, steps: tuple[Step, ...], vr: str) -> AttributePath:
        # What the dictionary says counts: the index was filled by it.
        known = vr_of(steps[-1].tag) if steps[-1].creator is None else ""
        return AttributePath(steps, LABELS.vr if steps == LABELS.steps else known or vr)

    def _apart(self, path: AttributePath, text: str) -> list[str]:
        """The values that must each be matched (C.2.2.2.8); without it any of them may be."""
        if not self._several or path.vr not in _SEVERAL_VRS or "\\" not in text or _is_single(path):
            return [text]
        return [value for value in text.split("\\") if value.strip()]

    def _text(self, element: Element) -> str:
        if is_number(element.vr):
            return "\\".join(numbers(element, self._syntax))
        text: str = self._decode(element.value)
        return text.strip(" \0")


@lru_cache(maxsize=4096)
def _standard_key(tag: str, vr: str) -> Key:
    # Most requests name the same attributes.
    return Key(tag=tag, step=step_of(tag), vr=vr)


def _is_creator(tag: str) -> bool:
    return tag[3] in _ODD and tag[4:6] == "00" and tag[6:] >= "10"


def _is_single(path: AttributePath) -> bool:
    """Whether the attribute never has more than one value."""
    from pydicom.datadict import dictionary_VM

    try:
        return dictionary_VM(int(path.steps[-1].tag, 16)) == "1"
    except (KeyError, ValueError):
        return False


def _name(tag: str) -> str:
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(int(tag.replace("xx", "10"), 16)) or f"({tag[:4]},{tag[4:]})"


def _need_unique_keys(keys: KeyReader, level: FindLevel, root: Root) -> None:
    """C.4.1.2.1: a hierarchical search names one entity of each level above, by single values."""
    named = {match.path.head: match.tests for match in keys.matches if len(match.path.steps) == 1}
    levels = list(_UNIQUE)
    for above in levels[levels.index(root) : levels.index(level)]:
        tag = _UNIQUE[above]
        tests = named.get(tag, ())
        if not tests or not all(isinstance(test, Exact) for test in tests):
            raise WrongIdentifier(f"{_NAMES[tag]} is missing: this is no relational query.", tag)


def _query(keys: KeyReader, level: FindLevel, options: QueryOptions) -> Query:
    rows: Level = "study" if level == "patient" else level
    query = Query(level=rows, keys=tuple(keys.matches), include=tuple(keys.include))
    if rows != "study" and not any(path.head in _COUNTED_STUDY for path in keys.include):
        query = _within(query)
    if not options.combined:
        return query
    found, combined = combine(query.keys)
    return replace(query, keys=found, combined=combined)


def _within(query: Query) -> Query:
    """The same where one study (and series) is named: then rows need not be looked for in the archive."""
    study = _only(query, _UNIQUE["study"])
    if study is None:
        return query
    query = replace(query, study_uid=study, keys=_without(query, _UNIQUE["study"]))
    series = _only(query, _UNIQUE["series"]) if query.level == "instance" else None
    if series is None:
        return query
    return replace(query, series_uid=series, keys=_without(query, _UNIQUE["series"]))


def _only(query: Query, tag: str) -> str | None:
    tests = [test for key in query.keys if str(key.path) == tag for test in key.tests]
    return str(tests[0].value) if len(tests) == 1 and isinstance(tests[0], Exact) else None


def _without(query: Query, tag: str) -> tuple[Match, ...]:
    return tuple(key for key in query.keys if str(key.path) != tag)
