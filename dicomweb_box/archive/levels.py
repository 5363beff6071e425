"""Study- and series-level values: one choice where instances disagree, whatever the order of their arrival.

Each instance carries the whole set of its study's (series') values. Equal sets are one row with a count, so
the choice is a sum over a few rows: for each attribute the value that most instances carry, ties going to the
value of the lowest SOP Instance UID. An instance that lacks an attribute has no vote on it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import xxhash

from dicomweb_box.dicom import attributes

Level = Literal["study", "series"]
Element = dict[str, Any]

_TAGS = {"study": attributes.STUDY_LEVEL_TAGS, "series": attributes.SERIES_LEVEL_TAGS}


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueSet:
    """One distinct set of a level's values, how many current instances carry it, and the lowest UID among
    them.
    """

    attributes: str
    instance_count: int
    first_instance_uid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What a study or series row says: the served attributes, its search columns, and the tags in
    disagreement.
    """

    attributes: str
    answer: str
    disagreement: str
    columns: dict[str, Any]
    elements: dict[str, Element]


def values_of(level: Level, dataset: Mapping[str, Element]) -> str:
    """DICOM JSON of the level's attributes that an instance carries, in tag order, without empty ones."""
    tags = _TAGS[level]
    found = {tag: element for tag, element in dataset.items() if tag in tags and len(element) > 1}
    return orjson.dumps(found).decode()


def digest(values: str) -> bytes:
    """16 bytes that name one set of values."""
    return xxhash.xxh3_128_digest(values.encode())


def choose(level: Level, sets: Iterable[ValueSet]) -> Chosen:
    """The values that stand for a whole study or series, from the sets that its current instances carry."""
    sets = list(sets)
    if len(sets) == 1:
        return _describe(level, orjson.loads(sets[0].attributes), ())
    chosen: dict[str, Element] = {}
    disputed = []
    for tag, votes in sorted(_votes(sets).items()):
        winner = min(votes, key=lambda value: (-votes[value].count, votes[value].first))
        chosen[tag] = orjson.loads(winner)
        if len(votes) > 1:
            disputed.append(tag)
    return _describe(level, chosen, disputed)


@dataclass(slots=True)
class _Vote:
    count: int
    first: str


def _votes(sets: list[ValueSet]) -> dict[str, dict[bytes, _Vote]]:
    votes: dict[str, dict[bytes, _Vote]] = defaultdict(dict)
    for one in sets:
        for tag, element in orjson.loads(one.attributes).items():
            value = orjson.dumps(element)
            vote = votes[tag].setdefault(value, _Vote(0, one.first_instance_uid))
            vote.count += one.instance_count
            vote.first = min(vote.first, one.first_instance_uid)
    return votes


def _describe(level: Level, elements: dict[str, Element], disputed: Iterable[str]) -> Chosen:
    return Chosen(
        attributes=orjson.dumps(elements).decode(),
        answer=attributes.answer(level, elements.get),
        disagreement=",".join(disputed),
        columns=attributes.index_columns(level, elements.get),
        elements=elements,
    )
