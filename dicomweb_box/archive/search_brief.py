"""PostgreSQL's `study_brief`, which pages of studies are chosen from, and its index on names.

That index holds each trigram of a name together with the quarter of its study (its period). The periods are
walked from the newest, as far as the page needs: what SQLite does by keeping its text index in date order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from dicomweb_box.archive import conditions, substrings
from dicomweb_box.archive.search_days import day_range
from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.database import Reader
from dicomweb_box.dicom import person_name
from dicomweb_box.dicom.matches import Exact, Match, Pattern, Sounds, Test

_NAME = "study.patient_name"
_LENGTH = 3
# More trigrams of one text hardly narrow it further, and each costs a look into the index for each period.
_MOST_TOKENS = 5
_MOST_WORDS = 3


def name_window(plan: Plan) -> "NameWindow | None":
    """The studies whose patient's name can match; None where that is not asked, or too short for trigrams."""
    key = plan.columns.get(_NAME)
    alternatives = name_tokens(key) if key else None
    return NameWindow(plan, alternatives) if alternatives else None


def name_tokens(match: Match) -> list[list[str]] | None:
    """Lists of tokens, all of one of which each matching name has; None where the index cannot help."""
    alternatives: list[list[str]] = []
    for test in match.tests:
        found = _test(test)
        if not found:
            return None
        alternatives += found
    return alternatives


@dataclass(frozen=True)
class NameWindow:
    """Studies whose patient's name holds some text."""

    plan: Plan
    alternatives: list[list[str]]

    async def edge(self, reader: Reader, count: int) -> str | None:
        """The day by which `count` candidates have come; None where there are fewer."""
        bind = conditions.Parameters()
        day = await reader.fetch_value(
            f"select study.study_date from {self._walk(bind, None)}"
            f" order by p.period desc, study.study_date desc limit 1 offset {bind(count)}",
            bind.values,
        )
        return None if day is None else str(day)

    def hits(self, edge: str | None) -> str:
        """A select of the ids of all candidates up to that day."""
        # As an array, so that the rest is looked for among these and not the other way round.
        return f"select unnest(array(select study.id from {self._walk(self.plan.bind, edge)})) as id"

    def page(self, part: str) -> str:
        """A select of the ids of a page of matching studies, where `study_brief` holds all that is asked."""
        return (
            f"select study.id from {self._candidates(self.plan.bind, None)}"
            f" where {' and '.join(self.plan.conditions)}"
            f" order by p.period desc, study.study_date desc, study.study_time desc, study.study_uid{part}"
        )

    def _walk(self, bind: conditions.Parameters, edge: str | None) -> str:
        low, high = day_range(self.plan)
        where = [f"study.realm = {bind(self.plan.scope.realm)}"]
        if low or edge:
            where.append(f"study.study_date >= {bind(max(low or '', edge or ''))}")
        if high:
            where.append(f"study.study_date <= {bind(high)}")
        return f"{self._candidates(bind, edge)} where {' and '.join(where)}"

    def _candidates(self, bind: conditions.Parameters, edge: str | None) -> str:
        # `offset 0` keeps other conditions out of it: the index on names is then the one way in.
        named = f"select * from study_brief where {self._holds(bind)} offset 0"
        return f"{self._periods(bind, edge)} cross join lateral ({named}) as study"

    def _periods(self, bind: conditions.Parameters, edge: str | None) -> str:
        low, high = day_range(self.plan)
        where = [f"realm = {bind(self.plan.scope.realm)}"]
        if low or edge:
            # Of the year, not of the quarter: what lies before the first day has to be left out anyway.
            where.append(f"period >= {bind(max(low or '', edge or '')[:4])}")
        if high:
            where.append(f"period <= {bind(high)}")
        return (
            "(select period, cast('0' || period as bigint) as seed from study_period"
            f" where {' and '.join(where)}) as p"
        )

    def _holds(self, bind: conditions.Parameters) -> str:
        tokens = "study_name_tokens(period, patient_name, patient_name_sounds)"
        parts = []
        for alternative in self.alternatives:
            hashes = ", ".join(f"hashtextextended({bind(token)}, p.seed)" for token in alternative)
            parts.append(f"{tokens} @> array[{hashes}]")
        return conditions.any_of(parts)


def _test(test: Test) -> list[list[str]] | None:
    match test:
        case Pattern(text) | Exact(str(text)):
            tokens = [token for part in substrings.parts_of_name(text) for token in _cover(part)]
            return [list(dict.fromkeys(tokens))[:_MOST_TOKENS]] if tokens else None
        case Sounds(text):
            return _sounding(text)
        case _:
            return None


def _sounding(text: str) -> list[list[str]] | None:
    words = [word for word in person_name.tokens(text) if len(word) >= _LENGTH]
    chosen = sorted(words, key=len, reverse=True)[:_MOST_WORDS]
    either = [(list(_cover(word)), [f"~{person_name.phonetic_key(word)}~"]) for word in chosen]
    return [[token for part in parts for token in part] for parts in product(*either)] if either else None


def _cover(text: str) -> Iterator[str]:
    """Trigrams that hold every letter of a text; none of one that is shorter."""
    last = len(text) - _LENGTH
    if last >= 0:
        yield from (text[place : place + _LENGTH] for place in range(0, last, _LENGTH))
        yield text[last:]
