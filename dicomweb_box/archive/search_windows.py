"""Where a search of studies begins, so that its cost follows the page and not the archive.

A window is a source of candidates in date order: it names the day by which it has given enough of them, and
the page is sorted from the candidates up to that day alone. What few rows can match is listed instead
(`Plan.hits`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from dicomweb_box.archive import conditions, scope_labels, substrings
from dicomweb_box.archive.search_brief import name_window
from dicomweb_box.archive.search_days import day_range
from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.database import Reader
from dicomweb_box.dicom.matches import Exact, Match, Pattern

# Up to so many studies that share a prefix are listed and sorted; more are walked in date order, which costs
# more where the trigrams do not help.
_FEW = 300
_MANY = 3000
_MOST_JOINED = 100
# In the order of how few studies share a value.
LISTED = ("study.study_uid", "study.accession_number", "study.patient_id", "study.study_id")
# So many candidates more are mostly the rest of the last day, which would cost SQLite a second question.
_REST_OF_DAY = 8
_PARTIAL = frozenset(("accession_number", "study_id"))


class Window(Protocol):
    """Candidates in date order."""

    async def edge(self, reader: Reader, count: int) -> str | None:
        """The day by which `count` candidates have come; None where there are fewer."""

    def hits(self, edge: str | None) -> str | None:
        """A select of the ids of all candidates up to that day; None: every study up to it."""


async def find_window(plan: Plan, reader: Reader) -> Window | None:
    """The best start for a plan: sets `plan.hits` and returns None, or returns a window."""
    if plan.hits or plan.start != "study" or plan.query.study_uid is not None:
        return None
    names = name_window(plan) if plan.dialect == "postgresql" else None
    if names or plan.dialect == "sqlite":
        for column in LISTED:
            if column in plan.columns:
                plan.hits = await _listed(plan, reader, column.split(".")[1], plan.columns[column])
                if plan.hits:
                    return None
    labels, plan.hits = await _within_labels(plan, reader)
    if plan.hits is not None:
        return None
    if names:
        return names
    if text := _text_window(plan):
        return text
    if window := modality_window(plan):
        return window
    return None if plan.in_scope else labels or DateWindow(plan)


async def _within_labels(plan: Plan, reader: Reader) -> tuple["LabelWindow | None", str | None]:
    """A window on what has the labels that the scope asks for, or a select of it all where it is little."""
    if not plan.scope.labels or plan.in_scope:
        return None, None
    number, few = await scope_labels.rarest(reader, plan.scope)
    if few:
        return None, scope_labels.studies_with(plan.scope, number, plan.bind)
    return LabelWindow(plan, number), None


def _text_window(plan: Plan) -> "TextWindow | None":
    for column, key in plan.columns.items() if plan.dialect == "sqlite" else ():
        question = substrings.question(key, column.removeprefix("study."))
        if question:
            return TextWindow(plan, question)
    return None


def modality_window(plan: Plan) -> "ModalityWindow | None":
    """The studies that hold one of some modalities; None where these are not what to begin with."""
    modalities = _modalities(plan)
    others = plan.columns.keys() - {"study.study_date", "study_modality.modality", "series.modality"}
    # PostgreSQL knows better which of several keys is rare.
    if modalities and not (others and plan.dialect == "postgresql"):
        return ModalityWindow(plan, modalities)
    return None


async def _listed(plan: Plan, reader: Reader, column: str, key: Match) -> str | None:
    """A select of the studies that match the key, where they are few or named exactly."""
    parts = []
    exact = [str(test.value) for test in key.tests if isinstance(test, Exact)]
    if exact:
        # One list, not one select each: SQLite joins at most five hundred.
        parts.append(_of_column(plan, column, conditions.one_of(exact, column, plan.bind, plan.dialect)))
    others = [test for test in key.tests if not isinstance(test, Exact)]
    if len(others) > _MOST_JOINED:
        return None
    for test in others:
        part = None
        if isinstance(test, Pattern) and len(conditions.prefix(test.text)) > 1:
            part = await _beginning(plan, reader, column, conditions.prefix(test.text))
        if part is None:
            return None
        parts.append(part)
    return " union ".join(parts)


def _of_column(plan: Plan, column: str, condition: str) -> str:
    held = f" and {column} <> ''" if column in _PARTIAL else ""
    return f"select id from study where realm = {plan.bind(plan.scope.realm)} and {condition}{held}"


async def _beginning(plan: Plan, reader: Reader, column: str, start: str) -> str | None:
    select = _of_column(plan, column, conditions.begins(column, start, plan.bind))
    most = _FEW if substrings.question(plan.columns[f"study.{column}"], column) else _MANY
    sql = f"select count(*) from ({select} limit {most + 1}) as few"
    return select if await reader.fetch_value(sql, plan.bind.values) <= most else None


def _modalities(plan: Plan) -> list[str]:
    """The modalities asked for, of studies or of series; [] where they are not simply named."""
    if not plan.scope.whole:
        return []
    key = plan.columns.get("study_modality.modality") or plan.columns.get("series.modality")
    tests = key.tests if key else ()
    return [str(test.value) for test in tests if isinstance(test, Exact)] if _named_only(tests) else []


def _named_only(tests: Sequence[object]) -> bool:
    return all(isinstance(test, Exact) for test in tests)


@dataclass(frozen=True)
class DateWindow:
    """Every study."""

    plan: Plan

    @property
    def steps(self) -> tuple[int, ...]:
        """The sizes to try before the whole archive; () where the index on the date gives the order."""
        if not self.plan.verify:
            return ()
        # PostgreSQL's trigrams find what is rare; SQLite has been asked for them before.
        return (1024,) if self.plan.dialect == "postgresql" else (64, 1024, 16384)

    async def edge(self, reader: Reader, count: int) -> str | None:
        bind = conditions.Parameters()
        where = [f"realm = {bind(self.plan.scope.realm)}", *_within(self.plan, "study_date", bind)]
        day = await reader.fetch_value(
            f"select study_date from study where {' and '.join(where)}"
            f" order by study_date desc limit 1 offset {bind(count)}",
            bind.values,
        )
        return None if day is None else str(day)

    def hits(self, edge: str | None) -> str | None:
        del edge
        return None


@dataclass(frozen=True)
class LabelWindow(DateWindow):
    """Every study up to some day, where the scope's labels are met often; else all that has one of a set."""

    number: int

    @property
    def steps(self) -> tuple[int, ...]:
        """Of studies; what a label was given to may lie behind all of them."""
        return (1024, 16384)

    def hits(self, edge: str | None) -> str | None:
        if edge is not None:
            return None
        return scope_labels.studies_with(self.plan.scope, self.number, self.plan.bind)


@dataclass(frozen=True)
class ModalityWindow:
    """Studies that hold one of some modalities, by `study_modality`."""

    plan: Plan
    modalities: list[str]

    async def edge(self, reader: Reader, count: int) -> str | None:
        # One modality that gives enough by some day bounds them all.
        days = []
        for modality in self.modalities:
            bind = conditions.Parameters()
            where = [*self._of_realm(bind), f"modality = {bind(modality)}"]
            where += _within(self.plan, "study_date", bind)
            day = await reader.fetch_value(
                f"select study_date from study_modality where {' and '.join(where)}"
                f" order by study_date desc limit 1 offset {bind(count)}",
                bind.values,
            )
            days.append("" if day is None else str(day))
        return max(days) or None

    def hits(self, edge: str | None) -> str | None:
        bind = self.plan.bind
        names = ", ".join(bind(modality) for modality in self.modalities)
        where = [*self._of_realm(bind), f"modality in ({names})", *_within(self.plan, "study_date", bind)]
        if "study_modality.modality" in self.plan.columns:
            self.plan.by_modality = None
        if edge is not None:
            where.append(f"study_date >= {bind(edge)}")
        distinct = "distinct " if len(self.modalities) > 1 else ""
        return f"select {distinct}study_id as id from study_modality where {' and '.join(where)}"

    def _of_realm(self, bind: conditions.Parameters) -> list[str]:
        return [f"realm = {bind(self.plan.scope.realm)}"]


def _within(plan: Plan, column: str, bind: conditions.Parameters) -> list[str]:
    low, high = day_range(plan)
    where = [f"{column} >= {bind(low)}"] if low else []
    return [*where, f"{column} <= {bind(high)}"] if high else where


@dataclass
class TextWindow:
    """Studies that hold some text, by SQLite's trigram index, whose row numbers begin with the date."""

    plan: Plan
    question: str
    numbers: Sequence[int] | None = None
    """Of the candidates up to the last edge; None: of all."""

    async def edge(self, reader: Reader, count: int) -> str | None:
        asked = count + 1 + _REST_OF_DAY
        numbers = await self._numbers(reader, None, asked)
        if len(numbers) <= count:
            self.numbers = numbers
            return None
        # The page is sorted from whole days.
        end = numbers[count] | 0xFFFFFFFF
        if len(numbers) == asked and numbers[-1] <= end:
            numbers = [*numbers, *await self._numbers(reader, numbers[-1], None)]
        self.numbers = [number for number in numbers if number <= end]
        return f"{99999999 - (end >> 32):08}"

    def hits(self, edge: str | None) -> str | None:
        del edge  # The numbers reach to it.
        bind = self.plan.bind
        if self.numbers is None:
            where = " and ".join(self._where(bind))
            return f"select rowid & 4294967295 as id from study_text where {where}"
        ids = orjson.dumps([number & 0xFFFFFFFF for number in self.numbers]).decode()
        return f"select value as id from json_each({bind(ids)})"

    async def _numbers(self, reader: Reader, after: int | None, most: int | None) -> list[int]:
        bind = conditions.Parameters()
        where = self._where(bind)
        if after is not None:
            where += [f"rowid > {bind(after)}", f"rowid <= {bind(after | 0xFFFFFFFF)}"]
        limit = "" if most is None else f" limit {bind(most)}"
        sql = f"select rowid from study_text where {' and '.join(where)} order by rowid{limit}"
        return [row[0] for row in await reader.fetch_all(sql, bind.values)]

    def _where(self, bind: conditions.Parameters) -> list[str]:
        low, high = day_range(self.plan)
        where = [f"study_text match {bind(self.question)}"]
        if high:
            where.append(f"rowid >= {bind(_row_number(high))}")
        if low:
            where.append(f"rowid <= {bind(_row_number(low) | 0xFFFFFFFF)}")
        return where


def _row_number(day: str) -> int:
    """The first row number of a day, as the triggers of `study_text` make it."""
    return (99999999 - int(day)) << 32
