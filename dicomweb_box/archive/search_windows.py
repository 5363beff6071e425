"""Where a search of studies begins, so that its cost follows the page and not the archive.

A window is a source of candidates in date order: it names the day by which it has given enough of them, and
the page is sorted from the candidates up to that day alone. What few rows can match is listed instead
(`Plan.hits`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from dicomweb_box.archive import conditions, substrings
from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.database import Reader
from dicomweb_box.dicom.matches import Combined, Exact, Match, Pattern, Range

# Up to so many studies that share a prefix are listed and sorted; more are walked in date order, which costs
# more where the trigrams do not help.
_FEW = 300
_MANY = 3000
_MOST_JOINED = 100
# Among so many studies the names of a page are looked for first, within the index on the date; among a
# quarter of them where more letters are asked for, which few names have.
_NEWEST = 4000
_SHORT = 4
# In the order of how few studies share a value.
_LISTED = ("study.study_uid", "study.accession_number", "study.patient_id", "study.study_id")
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
    if plan.dialect == "sqlite":
        for column in _LISTED:
            if column in plan.columns:
                plan.hits = await _listed(plan, reader, column.split(".")[1], plan.columns[column])
                if plan.hits:
                    return None
        for column, key in plan.columns.items():
            question = substrings.question(key, column.removeprefix("study."))
            if question:
                return TextWindow(plan, question)
    modalities = _modalities(plan)
    others = plan.columns.keys() - {"study.study_date", "study_modality.modality", "series.modality"}
    # PostgreSQL knows better which of several keys is rare.
    if modalities and not (others and plan.dialect == "postgresql"):
        return ModalityWindow(plan, modalities)
    return None if plan.in_scope else DateWindow(plan)


async def _listed(plan: Plan, reader: Reader, column: str, key: Match) -> str | None:
    """A select of the studies that match the key, where they are few or named exactly."""
    parts = []
    exact = [plan.bind(test.value) for test in key.tests if isinstance(test, Exact)]
    if exact:
        # One list, not one select each: SQLite joins at most five hundred.
        parts.append(_of_column(plan, column, f"{column} in ({', '.join(exact)})"))
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


def day_range(plan: Plan) -> tuple[str | None, str | None]:
    """The first and last day that study dates are asked within, by a single range or day."""
    for combined in plan.query.combined:
        if combined.date.path.head == "00080020":
            return _days_of(combined)
    key = plan.columns.get("study.study_date")
    if key is None or len(key.tests) != 1:
        return None, None
    match key.tests[0]:
        case Range(low=low, high=high):
            return low, high
        case Exact(day):
            return day, day
    return None, None


def _days_of(combined: Combined) -> tuple[str | None, str | None]:
    low, high = combined.low, combined.high
    return (low[:8] if low else None), (high[:8] if high else None)


@dataclass(frozen=True)
class DateWindow:
    """Every study."""

    plan: Plan

    @property
    def steps(self) -> tuple[int, ...]:
        """The sizes to try before the whole archive; () where the index on the date gives the order."""
        if self.newest:
            return ()
        name = self.plan.columns.get("study.patient_name")
        if self.plan.dialect == "postgresql" and name and isinstance(name.tests[0], Pattern):
            # Enough for a page of common names, within the index on the date alone.
            return (6000,)
        if not self.plan.verify:
            return ()
        # PostgreSQL's trigrams find what is rare; SQLite has been asked for them before.
        return (1024,) if self.plan.dialect == "postgresql" else (64, 1024, 16384)

    @property
    def newest(self) -> int:
        """How many of the newest studies to look through first: PostgreSQL reads names within the index.

        0 where the keys ask for what is not in that index.
        """
        plan = self.plan
        name = plan.columns.get("study.patient_name")
        asked = sum(1 for key in plan.query.keys if key.tests)
        if name is None or plan.dialect == "sqlite" or plan.query.level != "study":
            return 0
        if plan.verify or not plan.scope.whole:
            return 0
        if asked > len(plan.columns) or plan.columns.keys() - {"study.patient_name", "study.study_date"}:
            return 0
        letters = [len(test.text.replace("*", "")) for test in name.tests if isinstance(test, Pattern)]
        if not letters:
            return 0
        return _NEWEST if min(letters) <= _SHORT else _NEWEST // 4

    def within_days(self) -> str:
        """What the newest studies are taken from, as further conditions."""
        return "".join(f" and {part}" for part in _within(self.plan, "study.study_date", self.plan.bind))

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
class ModalityWindow:
    """Studies that hold one of some modalities, by `study_modality`."""

    plan: Plan
    modalities: list[str]

    async def edge(self, reader: Reader, count: int) -> str | None:
        # One modality that gives enough by some day bounds them all.
        days = []
        for modality in self.modalities:
            bind = conditions.Parameters()
            where = [f"modality = {bind(modality)}", *_within(self.plan, "study_date", bind)]
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
        where = [f"modality in ({names})", *_within(self.plan, "study_date", bind)]
        if "study_modality.modality" in self.plan.columns:
            self.plan.by_modality = None
        if edge is not None:
            where.append(f"study_date >= {bind(edge)}")
        distinct = "distinct " if len(self.modalities) > 1 else ""
        return f"select {distinct}study_id as id from study_modality where {' and '.join(where)}"


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
        numbers = await self._numbers(reader, None, count + 1)
        if len(numbers) <= count:
            self.numbers = numbers
            return None
        # The page is sorted from whole days.
        self.numbers = [*numbers, *await self._numbers(reader, numbers[-1], None)]
        return f"{99999999 - (numbers[-1] >> 32):08}"

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
