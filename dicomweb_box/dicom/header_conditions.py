"""Conditions over a header: the one language of every rule.

A condition is an attribute and what its value must be, both written as QIDO-RS parameters write them
(PS3.18 8.3.4.1): keyword, tag or dotted path, a private one with its creator behind a colon; single value,
wildcard, range, list (`\\`) and empty value (`""`) matching of PS3.4 C.2.2.2. All conditions must hold of one
and the same instance. `source` is where an instance came from.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from dicomweb_box.dicom.attribute_path import LABELS, AttributePath, parse
from dicomweb_box.dicom.attributes import DERIVED
from dicomweb_box.dicom.matches import Combined, Empty, Match, Test
from dicomweb_box.dicom.matching import Keys, Options, read_tests
from dicomweb_box.errors import BadQuery

SOURCE = "source"
MOST = 20
LONGEST = 1024
_SOURCE_PATH = AttributePath((), "LO")
_NOT_IN_HEADERS = frozenset((*DERIVED, "00083002"))


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a header and its source must say, all of it."""

    keys: tuple[Match, ...] = ()
    combined: tuple[Combined, ...] = ()
    sources: tuple[Match, ...] = ()

    def accept(self, dataset: Mapping[str, Any], source: str) -> bool:
        """Whether they hold of an instance: its DICOM JSON, and where it came from."""
        return (
            all(match.accepts_values([source]) for match in self.sources)
            and all(key.accepts(dataset) for key in self.keys)
            and all(one.accepts(dataset) for one in self.combined)
        )

    def exclude(self, agreed: Mapping[str, Any], tags: Set[str]) -> bool:
        """Whether they hold of no instance, by the values that all agree on which have any at all.

        `tags` are those of which `agreed` says everything.
        """
        return any(_is_known(key, tags) and not key.accepts(agreed) for key in self.keys)


def _is_known(key: Match, tags: Set[str]) -> bool:
    # An instance may lack what the others agree on: that it is empty cannot be told from them.
    return key.path.head in tags and not any(isinstance(test, Empty) for test in key.tests)


def conditions(pairs: Sequence[tuple[str, str]]) -> Conditions:
    """The conditions of attributes and values; BadQuery, naming attributes alone, for what cannot be meant.

    Two for the same attribute must both hold.
    """
    if not pairs:
        raise BadQuery("Name at least one condition.")
    if len(pairs) > MOST:
        raise BadQuery(f"There are more than {MOST} conditions.")
    options = Options(empty_value_matching=True)
    sources: list[Match] = []
    several: list[Match] = []
    keys = Keys(options=options)
    for name, value in pairs:
        if name == SOURCE:
            sources.append(Match(_SOURCE_PATH, _tests(_SOURCE_PATH, value, name, options), name))
            continue
        path = _path(name)
        tests = _tests(path, value, name, options)
        if path in keys.found:
            several.append(Match(path, tests, name))
        else:
            keys.found[path] = Match(path, tests, name)
    matches, combined = keys.finish()
    return Conditions(keys=(*matches, *several), combined=combined, sources=tuple(sources))


def _path(name: str) -> AttributePath:
    if len(name) > LONGEST:
        raise BadQuery("An attribute's name is too long.")
    path = parse(name)
    if path == LABELS or path.head in _NOT_IN_HEADERS:
        raise BadQuery(f"{name} is made for answers, and is in no instance.")
    return path


def _tests(path: AttributePath, value: str, name: str, options: Options) -> tuple[Test, ...]:
    if len(value) > LONGEST:
        raise BadQuery(f"The value of {name} is too long.")
    tests = read_tests(path, value, name, options)
    if not tests:
        raise BadQuery(f"{name} says nothing: give it a value, a range, or a pattern with * and ?.")
    return tests
