"""Study- and series-level values: one choice where instances disagree, whatever the order of their arrival.

For each attribute the value that most current instances carry is served, ties going to the value of the
lowest SOP Instance UID; an instance that lacks an attribute has no vote on it. Votes are only kept for
attributes in dispute: where all agree, the study or series row itself is the tally. (Scanners do write a
series time into each instance of its own, so a dispute may have as many values as instances.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import xxhash

from dicomweb_box.archive import series_dictionary
from dicomweb_box.database import Writer
from dicomweb_box.dicom import attributes, json_model

Level = Literal["study", "series"]
Element = dict[str, Any]

_TAGS = {"study": attributes.STUDY_LEVEL_TAGS, "series": attributes.SERIES_LEVEL_TAGS}


@dataclass(slots=True)
class Vote:
    """How many instances carry a value, and the lowest SOP Instance UID among them."""

    count: int
    first: str


Tally = dict[str, dict[str, Vote]]
"""Tag → value (an element as JSON text) → its votes."""


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
    try:
        return orjson.dumps(found).decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(json_model.writable(found)).decode()


def describe(level: Level, elements: dict[str, Element], disputed: Iterable[str]) -> Chosen:
    """The columns of a study or series row with these elements."""
    elements = dict(sorted(elements.items()))
    return Chosen(
        attributes=orjson.dumps(elements).decode(),
        answer=attributes.answer(level, elements.get),
        disagreement=",".join(sorted(disputed)),
        columns=attributes.index_columns(level, elements.get),
        elements=elements,
    )


def tally(arrived: Mapping[str, Vote]) -> Tally:
    """Votes by tag and value, from the votes for whole sets of values (as `values_of` writes them)."""
    votes: Tally = {}
    for values, votes_for_set in arrived.items():
        for tag, element in orjson.loads(values).items():
            _count(votes, tag, orjson.dumps(element).decode(), votes_for_set)
    return votes


def merge(votes: Tally, more: Tally) -> Tally:
    """Both together; the first is changed."""
    for tag, values in more.items():
        for value, vote in values.items():
            _count(votes, tag, value, vote)
    return votes


def _count(votes: Tally, tag: str, value: str, more: Vote) -> None:
    vote = votes.setdefault(tag, {}).get(value)
    if vote is None:
        votes[tag][value] = Vote(more.count, more.first)
    else:
        vote.count += more.count
        vote.first = min(vote.first, more.first)


_OWNED = {"study": "series.study_id", "series": "series.id"}


async def scan(w: Writer, level: Level, owner_id: int, tags: frozenset[str] | None = None) -> Tally:
    """Votes of the current instances that have rows already, for these tags (None: all of the level).

    Reads each instance's metadata: only a new dispute and a removal need it.
    """
    wanted = tags or _TAGS[level]
    rows = await w.fetch_all(
        "select instance_uid, metadata, metadata_dictionary, series.id as series_id, dictionary from instance"
        " join series on series.id = instance.series_id"
        f" where {_OWNED[level]} = :owner and instance.state = 'current'",
        {"owner": owner_id},
    )
    votes: Tally = {}
    dictionaries: dict[int, series_dictionary.Dictionary] = {}
    for row in rows:
        dataset = json_model.top_level(series_dictionary.metadata_json(row, dictionaries))
        for tag, element in dataset.items():
            if tag in wanted and len(element) > 1:
                _count(votes, tag, orjson.dumps(element).decode(), Vote(1, row["instance_uid"]))
    return votes


async def record(w: Writer, level: Level, owner_id: int, votes: Tally) -> None:
    """Add these votes to those kept for the study or series."""
    await w.execute_many(
        f"insert into {level}_vote ({level}_id, tag, digest, value, instance_count, first_instance_uid)"
        f" values (:owner, :tag, :digest, :value, :count, :first) on conflict ({level}_id, tag,"
        " digest) do update"
        f" set instance_count = {level}_vote.instance_count + excluded.instance_count, first_instance_uid ="
        f" case when excluded.first_instance_uid < {level}_vote.first_instance_uid"
        f" then excluded.first_instance_uid else {level}_vote.first_instance_uid end",
        [
            {
                "owner": owner_id,
                "tag": tag,
                "digest": xxhash.xxh3_128_digest(value.encode()),
                "value": value,
                "count": vote.count,
                "first": vote.first,
            }
            for tag, values in sorted(votes.items())
            for value, vote in sorted(values.items())
        ],
    )


async def winner(w: Writer, level: Level, owner_id: int, tag: str) -> Element:
    """The value of a disputed attribute that is served."""
    value = await w.fetch_value(
        f"select value from {level}_vote where {level}_id = :owner and tag = :tag"
        " order by instance_count desc, first_instance_uid limit 1",
        {"owner": owner_id, "tag": tag},
    )
    element: Element = orjson.loads(value)
    return element


def elected(values: Mapping[str, Vote]) -> Element:
    """The winner among votes that are all at hand."""
    best = min(values, key=lambda value: (-values[value].count, values[value].first))
    element: Element = orjson.loads(best)
    return element
