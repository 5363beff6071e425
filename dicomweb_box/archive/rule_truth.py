"""Which studies and series fulfil the conditions of rules, by what is stored now.

What the instances of a study or series agree on is known from their rows: most that do not match are left out
by it, and only of the others are instances read, until one fulfils all conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from dicomweb_box.archive import series_dictionary
from dicomweb_box.archive.labelling import Target
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, in_list
from dicomweb_box.dicom import json_model, overlay
from dicomweb_box.dicom.attributes import SERIES_LEVEL_TAGS, STUDY_LEVEL_TAGS
from dicomweb_box.dicom.header_conditions import Conditions

_FIRST, _STEP = 1, 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A rule's question."""

    id: str
    conditions: Conditions
    level: str

    def target(self, study_uid: str, series_uid: str) -> Target:
        """What fulfils the conditions where an instance of this series does."""
        return study_uid, "" if self.level == "study" else series_uid


Fulfilled = set[tuple[str, Target]]
"""Ids of rules with the studies and series that fulfil them."""


@dataclass(kw_only=True)
class _Series:
    """A series, and which rules its instances may still fulfil."""

    row: Row
    open: list[Asked]
    after: int = 0
    """How many were read."""
    dictionaries: dict[int, series_dictionary.Dictionary] = field(default_factory=dict)


async def of_studies(
    box: Box, realm: str, study_uids: Sequence[str], rules: Sequence[Asked], *, most: int | None = None
) -> Fulfilled:
    """What is true of these studies and their series; of each series at most `most` instances are read."""
    found: Fulfilled = set()
    names, params = in_list("study", study_uids)
    rows = await box.database.fetch_all(
        "select series.id, series.series_uid, series.attributes, series.disagreement, series.dictionary,"
        " study.study_uid, study.overlay, study.attributes as study_attributes,"
        " study.disagreement as study_disagreement"
        " from study join series on series.study_id = study.id"
        f" where study.realm = :realm and study.study_uid in {names} order by series.id",
        {**params, "realm": realm},
    )
    waiting = await in_thread(box, _open, rows, rules)
    size = _FIRST
    while waiting:
        waiting = await _look(box, waiting, size, found)
        size = _STEP
        waiting = [series for series in waiting if most is None or series.after < most]
    return found


def _open(rows: Sequence[Row], rules: Sequence[Asked]) -> list[_Series]:
    """The series that some rule may hold of."""
    kept = []
    for row in rows:
        agreed = {**orjson.loads(row["study_attributes"]), **orjson.loads(row["attributes"])}
        disputed = {*row["study_disagreement"].split(","), *row["disagreement"].split(",")}
        tags = (STUDY_LEVEL_TAGS | SERIES_LEVEL_TAGS) - disputed
        open_ = [rule for rule in rules if not rule.conditions.exclude(agreed, tags)]
        if open_:
            kept.append(_Series(row=row, open=open_))
    return kept


async def _look(box: Box, waiting: list[_Series], size: int, found: Fulfilled) -> list[_Series]:
    """Read the next instances of each series; those series of which more must be read."""
    more = []
    for series in waiting:
        _close(series, found)
        if not series.open:
            continue
        rows = await box.database.fetch_all(
            "select metadata, metadata_dictionary, series_id, source from instance"
            " where series_id = :series and state = 'current'"
            " order by instance_number nulls first, instance_uid limit :size offset :after",
            # What comes or goes between two steps is a change, by which the series is looked at again.
            {"series": series.row["id"], "after": series.after, "size": size},
        )
        await in_thread(box, _examine, series, rows, found)
        if len(rows) == size and series.open:
            series.after += size
            more.append(series)
    return more


def _examine(series: _Series, rows: Sequence[Row], found: Fulfilled) -> None:
    for row in rows:
        if not series.open:
            return
        joined = {**dict(zip(row.keys(), row, strict=True)), "dictionary": series.row["dictionary"]}
        joined["overlay"] = series.row["overlay"]
        dataset = header(joined, series.dictionaries)
        uids = series.row["study_uid"], series.row["series_uid"]
        found |= {
            (rule.id, rule.target(*uids))
            for rule in series.open
            if rule.conditions.accept(dataset, row["source"])
        }
        _close(series, found)


def _close(series: _Series, found: Fulfilled) -> None:
    uids = series.row["study_uid"], series.row["series_uid"]
    series.open = [rule for rule in series.open if (rule.id, rule.target(*uids)) not in found]


def header(row: Any, dictionaries: dict[int, series_dictionary.Dictionary]) -> Mapping[str, Any]:
    """What an instance says, with the corrections of its study, as DICOM JSON."""
    dataset = json_model.top_level(series_dictionary.metadata_json(row, dictionaries))
    return overlay.read(row["overlay"]).over(dataset) if row["overlay"] else dataset
