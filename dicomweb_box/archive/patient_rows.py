"""Patients as rows of a search (PS3.4 C.6.1): views over the studies that share a Patient ID and issuer."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import replace

import orjson

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive.every_row import Row, Rows, every_row
from dicomweb_box.archive.query import search
from dicomweb_box.box import Box
from dicomweb_box.dicom import attributes
from dicomweb_box.dicom.attribute_path import standard
from dicomweb_box.dicom.matches import Exact, Match, Range
from dicomweb_box.dicom.matching import Order, Query

_ID, _ISSUER = "00100020", "00100021"
_STUDIES, _SERIES, _INSTANCES = "00201200", "00201202", "00201204"
_FIRST, _MOST = 100, 1000


async def every_patient(
    box: Box, query: Query, counted: Collection[str], *, scope: Scope, actor: Actor
) -> AsyncGenerator[Rows]:
    """The newest matching study of each patient, by Patient ID; what has none is nobody's.

    `counted` are the tags of those numbers of a patient's studies, series and instances that are asked for.
    Raises as `archive.query.search`.
    """
    walk = _Walk(replace(query, include=(*query.include, standard(_ISSUER))))
    more = True
    while more:
        page = await search(box, walk.next_query(), scope=scope, actor=actor)
        rows = walk.patients([orjson.loads(row) for row in page.rows])
        if counted:
            rows = [row | await _counts(box, row, counted, scope, actor) for row in rows]
        yield Rows(rows=rows, warnings=page.warnings)
        more = page.more and bool(page.rows)


class _Walk:
    """Where the last page ended: studies come by Patient ID, and many may share one."""

    def __init__(self, query: Query) -> None:
        tests = [test for key in query.keys if str(key.path) == _ID for test in key.tests]
        self._single = len(tests) == 1 and isinstance(tests[0], Exact)
        self._query = query
        self._last = ""
        self._offset = 0
        self._issuers: set[str] = set()
        """Of the last Patient ID: those whose patient was given."""
        self._limit = _FIRST

    def next_query(self) -> Query:
        """The query of the next page."""
        keys = self._query.keys
        if not self._single:
            # First, so that the search begins by what was asked.
            keys = (Match(standard(_ID), (Range(self._last, None),), "PatientID"), *keys)
        query = replace(self._query, keys=keys, order=(Order(_ID),), limit=self._limit, offset=self._offset)
        self._limit = _MOST
        return query

    def patients(self, studies: Sequence[Row]) -> list[Row]:
        """The first study of each patient that was not given yet."""
        found = []
        for study in studies:
            patient, issuer = _value(study, _ID), _value(study, _ISSUER)
            if patient != self._last:
                self._last, self._offset = patient, 0
                self._issuers.clear()
            self._offset += 1
            if issuer not in self._issuers:
                self._issuers.add(issuer)
                found.append(study)
        return found


def _value(study: Row, tag: str) -> str:
    return str(attributes.column_value("text", study.get(tag)))


async def _counts(box: Box, patient: Row, counted: Collection[str], scope: Scope, actor: Actor) -> Row:
    key = Match(standard(_ID), (Exact(_value(patient, _ID)),), "PatientID")
    query = Query(level="study", keys=(key,), include=(standard(_ISSUER),))
    sums = dict.fromkeys((_STUDIES, _SERIES, _INSTANCES), 0)
    async for page in every_row(box, query, scope=scope, actor=actor):
        for study in page.rows:
            if _value(study, _ISSUER) == _value(patient, _ISSUER):
                sums[_STUDIES] += 1
                sums[_SERIES] += study["00201206"]["Value"][0]
                sums[_INSTANCES] += study["00201208"]["Value"][0]
    return {tag: {"vr": "IS", "Value": [sums[tag]]} for tag in counted}
