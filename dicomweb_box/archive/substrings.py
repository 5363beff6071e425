"""Matching keys as questions to SQLite's trigram index `study_text`, whose rows lie in date order."""

import re

from dicomweb_box.dicom import person_name
from dicomweb_box.dicom.matches import Exact, Match, Pattern, Sounds, Test

COLUMNS = frozenset(
    ("patient_name", "patient_id", "accession_number", "study_description", "referring_physician_name")
)
_NAMES = frozenset(("patient_name", "referring_physician_name"))
_SHORTEST = 3
_LITERAL = re.compile(r"[^*?]+")


def question(match: Match, column: str) -> str | None:
    """An FTS5 expression that every study matching the key satisfies; None where the index cannot help."""
    if column not in COLUMNS:
        return None
    parts = [_test(test, column) for test in match.tests]
    if not parts or any(part is None for part in parts):
        return None
    return " OR ".join(f"({part})" for part in parts)


def _test(test: Test, column: str) -> str | None:
    match test:
        case Pattern(text) | Exact(str(text)):
            parts = parts_of_name(text) if column in _NAMES else _LITERAL.findall(text)
            long = [part for part in parts if len(part) >= _SHORTEST]
            return " AND ".join(f'{column} : "{_quoted(part)}"' for part in long) or None
        case Sounds(text):
            words = [token for token in person_name.tokens(text) if len(token) >= _SHORTEST]
            return " AND ".join(_word(word, column) for word in words) or None
        case _:
            return None


def parts_of_name(text: str) -> list[str]:
    """The literal parts of a name; one that begins a component group behind the `=` that the index has."""
    parts = []
    for group in text.split("="):
        begun = "=" + group if group and group[0] not in "*?" else group
        parts += _LITERAL.findall(begun)
    return parts


def _word(word: str, column: str) -> str:
    key = _quoted(person_name.phonetic_key(word))
    return f'({column} : "{_quoted(word)}" OR {column}_sounds : "~{key}~")'


def _quoted(text: str) -> str:
    return text.replace('"', '""')
