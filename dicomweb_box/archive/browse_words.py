"""Words that a study must hold among its patient's name and ID, its accession number and description."""

import re

from dicomweb_box.archive import browse_words_postgresql
from dicomweb_box.archive.conditions import Parameters, like
from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.database import Reader
from dicomweb_box.database.statements import Dialect
from dicomweb_box.dicom import person_name
from dicomweb_box.dicom.attributes import SEARCHED_WORDS
from dicomweb_box.dicom.matches import Exact, Match, Pattern

MOST_WORDS = 8
_LENGTH = 3
_MOST_TERMS = 100
_LAST = "\U0010ffff"
_BETWEEN = re.compile(r"[\s,^=*?]+")
_SEARCHED = frozenset(f"study.{column}" for column in SEARCHED_WORDS)
_NAMED = frozenset(("study.patient_id", "study.accession_number", "study.study_id", "study.study_uid"))


def words_of(text: str) -> tuple[str, ...]:
    """The words of what somebody typed, as the index keeps them; a comma or `^` divides as a space does."""
    folded = (person_name.level(word) for word in _BETWEEN.split(text) if word)
    return tuple(dict.fromkeys(word for word in folded if word))[:MOST_WORDS]


def condition(words: tuple[str, ...], bind: Parameters, dialect: Dialect) -> list[str]:
    """A condition on a study for each word."""
    return [_holds("study.words", word, bind, dialect) for word in words]


def implied(plan: Plan) -> tuple[str, ...]:
    """Words that a plan's own keys ask for, so that few studies need be looked at."""
    found: list[str] = []
    if is_named(plan):
        return ()  # an index of its own leads to fewer
    for column, key in plan.columns.items():
        if column in _SEARCHED and len(key.tests) == 1 and isinstance(key.tests[0], Pattern | Exact):
            test = key.tests[0]
            found += words_of(test.text if isinstance(test, Pattern) else str(test.value))
    return tuple(found)


def is_named(plan: Plan) -> bool:
    """Whether a key has a value that few studies share, whole."""
    return any(column in _NAMED and _is_exact(key) for column, key in plan.columns.items())


async def holding(reader: Reader, words: tuple[str, ...], realm: str, most: int) -> list[int] | None:
    """The ids of the studies that may hold all these words; None where they are more than `most`."""
    found = await some_holding(reader, words, realm, most + 1)
    return None if found is None or len(found) > most else found


async def some_holding(reader: Reader, words: tuple[str, ...], realm: str, most: int) -> list[int] | None:
    """The same, but at most so many of them; None where the index does not tell, since nearly all may."""
    if reader.dialect == "postgresql":
        return await browse_words_postgresql.some_holding(reader, words, realm, most)
    parts = [await _question(reader, word) for word in words]
    if "" in parts:
        return []
    if not any(parts):
        return None
    bind = Parameters()
    question = bind(" AND ".join(part for part in parts if part))
    rows = await reader.fetch_all(
        f"select rowid from study_words where study_words match {question} limit {bind(most)}", bind.values
    )
    return [row[0] for row in rows]


def _is_exact(key: Match) -> bool:
    return all(isinstance(test, Exact) for test in key.tests)


def _holds(column: str, word: str, bind: Parameters, dialect: Dialect) -> str:
    if dialect == "sqlite":
        return f"instr({column}, {bind(word)}) > 0"
    # Within the pattern alone is `*` a wildcard, and words hold none.
    return like(column, f"*{word}*", bind, dialect)


async def _question(reader: Reader, word: str) -> str | None:
    """An expression for SQLite's trigrams that each text with this word satisfies: the index keeps which it
    holds, not where they stand. "": no text has it; None: too many may.
    """
    if len(word) >= _LENGTH:
        trigrams = dict.fromkeys(word[place : place + _LENGTH] for place in range(len(word) - _LENGTH + 1))
        return "(" + " AND ".join(map(_quoted, trigrams)) + ")"
    rows = await reader.fetch_all(
        f"select term from study_words_terms where term >= :word and term < :end limit {_MOST_TERMS + 1}",
        {"word": word, "end": word + _LAST},
    )
    if len(rows) > _MOST_TERMS:
        return None
    return "(" + " OR ".join(_quoted(row[0]) for row in rows) + ")" if rows else ""


def _quoted(trigram: str) -> str:
    return '"' + trigram.replace('"', '""') + '"'
