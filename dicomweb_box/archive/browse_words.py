"""Words that a study must hold among its patient's name and ID, its accession number and description."""

import re

from dicomweb_box.archive.conditions import Parameters, like
from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.database import Reader
from dicomweb_box.database.statements import Dialect
from dicomweb_box.dicom import person_name
from dicomweb_box.dicom.attributes import SEARCHED_WORDS
from dicomweb_box.dicom.matches import Exact, Match, Pattern

MOST_WORDS = 8
_LENGTH = 3
_BETWEEN = re.compile(r"[\s,^=*?]+")
_SEARCHED = frozenset(f"study.{column}" for column in SEARCHED_WORDS)
_NAMED = frozenset(("study.patient_id", "study.accession_number", "study.study_id", "study.study_uid"))


def words_of(text: str) -> tuple[str, ...]:
    """The words of what somebody typed, as the index keeps them; a comma or `^` divides as a space does."""
    folded = (person_name.words(word) for word in _BETWEEN.split(text) if word)
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
    bind = Parameters()
    if reader.dialect == "postgresql":
        select = "select id from study_words where "
        where = [f"realm = {bind(realm)}"]
        where += [_holds("words", word, bind, reader.dialect) for word in words]
    elif any(len(word) >= _LENGTH for word in words):
        select = "select rowid from study_words where "
        where = [f"study_words match {bind(_question(words))}"]
    else:
        select = "select id from study indexed by study_words_short where "
        where = [f"realm = {bind(realm)}"]
        where += [_holds("words", word, bind, reader.dialect) for word in words]
    rows = await reader.fetch_all(f"{select}{' and '.join(where)} limit {bind(most + 1)}", bind.values)
    return None if len(rows) > most else [row[0] for row in rows]


def _is_exact(key: Match) -> bool:
    return all(isinstance(test, Exact) for test in key.tests)


def _holds(column: str, word: str, bind: Parameters, dialect: Dialect) -> str:
    if dialect == "sqlite":
        return f"instr({column}, {bind(word)}) > 0"
    # Within the pattern alone is `*` a wildcard, and words hold none.
    return like(column, f"*{word}*", bind, dialect)


def _question(words: tuple[str, ...]) -> str:
    """All trigrams of the words: the index keeps which it holds, not where they stand."""
    trigrams = dict.fromkeys(
        word[place : place + _LENGTH] for word in words for place in range(len(word) - _LENGTH + 1)
    )
    return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)
