"""Matching keys as SQL conditions on the index, the same for both databases.

A condition is exact or lets too much through; `Condition.exact` says which, and what is not exact is
verified on the rows by `Match.accepts_values`. Columns come from `dicom.attributes`, values are always
bound.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomweb_box.database.statements import Dialect
from dicomweb_box.dicom import person_name
from dicomweb_box.dicom.attributes import Kind
from dicomweb_box.dicom.matches import Combined, Empty, Exact, Match, Pattern, Range, Sounds, Test

# Sorts behind whatever begins with what stands before it, byte by byte in UTF-8.
_LAST = "\U0010ffff"
_FEW = 16  # values of a key that each get a condition and a parameter
_WILDCARD = re.compile(r"[*?]")
_PREFIX = re.compile(r"[^*?=]+\*+")
_INFIX = re.compile(r"\*+[^*?=]+\*+")
_SUFFIX = re.compile(r"\*+[^*?=]+")


@dataclass(slots=True)
class Parameters:
    """Bound values, each under a name of its own."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: Any) -> str:
        """The placeholder of one more value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition; where it is not exact it also lets other rows through."""

    sql: str
    exact: bool = True


def on_column(match: Match, column: str, bind: Parameters, dialect: Dialect) -> Condition:
    """The key as a condition on a column that holds its attribute's indexed value."""
    parts = _tests(match.tests, match.kind, column, bind, dialect)
    return Condition(any_of([part.sql for part in parts]), all(part.exact for part in parts))


def on_text(match: Match, column: str, bind: Parameters, dialect: Dialect) -> Condition:
    """The same on a column that holds indexed values of any kind as text (declared attributes)."""
    tests = tuple(Exact(str(test.value)) if isinstance(test, Exact) else test for test in match.tests)
    kind: Kind = "name" if match.kind == "name" else "text"
    present = [test for test in tests if not isinstance(test, Empty)]
    parts = _tests(present, kind, column, bind, dialect)
    return Condition(any_of([part.sql for part in parts]), all(part.exact for part in parts))


def _tests(
    tests: Sequence[Test], kind: Kind, column: str, bind: Parameters, dialect: Dialect
) -> list[Condition]:
    listed = [test.value for test in tests if isinstance(test, Exact) and isinstance(test.value, str)]
    if kind == "name" or len(listed) <= _FEW:
        return [_test(test, kind, column, bind, dialect) for test in tests]
    others = [test for test in tests if not (isinstance(test, Exact) and isinstance(test.value, str))]
    return [
        Condition(one_of(listed, column, bind, dialect)),
        *(_test(test, kind, column, bind, dialect) for test in others),
    ]


def one_of(texts: Sequence[str], column: str, bind: Parameters, dialect: Dialect) -> str:
    """A condition for one of many texts."""
    if len(texts) <= _FEW:
        return f"{column} in ({', '.join(map(bind, texts))})"
    # Bound as one value: SQLite looks for each parameter's name among all those before it. No value in the
    # index has a NUL, and PostgreSQL's JSON takes none.
    values = bind(json.dumps([text for text in texts if "\0" not in text]))
    if dialect == "postgresql":
        return f"{column} in (select json_array_elements_text(cast({values} as json)))"
    return f"{column} in (select value from json_each({values}))"


def any_of(parts: Sequence[str]) -> str:
    """The conditions joined by `or`, as a balanced tree: SQLite takes none deeper than a thousand."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({any_of(parts[:half])} or {any_of(parts[half:])})" if half else "1 = 0"


def on_moment(combined: Combined, date: str, time: str, bind: Parameters) -> str:
    """The combined range as a condition on a date and a time column."""
    parts = [f"{date} <> ''"]
    if combined.low is not None:
        day, moment = bind(combined.low[:8]), bind(combined.low[8:])
        # Said twice, so that an index on the date is of use.
        parts.append(f"{date} >= {day} and ({date} > {day} or {time} >= {moment})")
    if combined.high is not None:
        day, moment = bind(combined.high[:8]), bind(combined.high[8:])
        parts.append(f"{date} <= {day} and ({date} < {day} or ({time} <> '' and {time} <= {moment}))")
    return "(" + " and ".join(parts) + ")"


def like(column: str, pattern: str, bind: Parameters, dialect: Dialect) -> str:
    """A LIKE condition for a pattern with `*` and `?`."""
    text = re.sub(r"[\\%_]", r"\\\g<0>", pattern).replace("*", "%").replace("?", "_")
    # PostgreSQL escapes with a backslash unasked; said aloud, it would cost the index.
    return f"{column} like {bind(text)}" + ("" if dialect == "postgresql" else r" escape '\'")


def prefix(pattern: str) -> str:
    """What every match of a pattern begins with."""
    found = _WILDCARD.search(pattern)
    return pattern[: found.start()] if found else pattern


def begins(column: str, text: str, bind: Parameters) -> str:
    """A range condition for what begins with a text; an ordinary index serves it."""
    return f"({column} >= {bind(text)} and {column} < {bind(text + _LAST)})"


def _test(test: Test, kind: Kind, column: str, bind: Parameters, dialect: Dialect) -> Condition:
    match test:
        case Empty():
            return Condition(f"{column} is null" if kind == "number" else f"{column} = ''")
        case Range(low=low, high=high):
            return Condition(_range(column, low, high, bind))
        case Sounds(text):
            return Condition(_sounds(column, text, bind, dialect), exact=False)
        case Exact(value) if kind == "name":
            return _name(column, value, bind, dialect)
        case Exact(value):
            return Condition(f"{column} = {bind(value)}")
        case Pattern(text) if kind == "name":
            return _name_pattern(column, text, bind, dialect)
        case Pattern(text):
            return Condition(_pattern(column, text, bind, dialect))


def _range(column: str, low: str | None, high: str | None, bind: Parameters) -> str:
    parts = [f"{column} <> ''"]
    if low is not None:
        parts.append(f"{column} >= {bind(low)}")
    if high is not None:
        parts.append(f"{column} <= {bind(high)}")
    return "(" + " and ".join(parts) + ")"


def _pattern(column: str, text: str, bind: Parameters, dialect: Dialect) -> str:
    start = prefix(text)
    if not start:
        return like(column, text, bind, dialect)
    if text.rstrip("*") == start:
        return begins(column, start, bind)
    return f"({begins(column, start, bind)} and {like(column, text, bind, dialect)})"


def _name(column: str, name: str, bind: Parameters, dialect: Dialect) -> Condition:
    """A name column holds up to three component groups joined by `=`: any of them may be asked for."""
    if "=" in name:
        return _groups(column, name, bind, dialect)
    parts = [
        f"{column} = {bind(name)}",
        begins(column, name + "=", bind),
        like(column, f"*={name}", bind, dialect),
        like(column, f"*={name}=*", bind, dialect),
    ]
    return Condition("(" + " or ".join(parts) + ")", exact=not _WILDCARD.search(name))


def _name_pattern(column: str, pattern: str, bind: Parameters, dialect: Dialect) -> Condition:
    text = pattern.strip("*")
    if _PREFIX.fullmatch(pattern):
        return Condition(f"({begins(column, text, bind)} or {like(column, f'*={text}*', bind, dialect)})")
    if _INFIX.fullmatch(pattern):
        return Condition(like(column, f"*{text}*", bind, dialect))
    if _SUFFIX.fullmatch(pattern):
        ends = (like(column, end, bind, dialect) for end in (f"*{text}", f"*{text}=*"))
        return Condition("(" + " or ".join(ends) + ")")
    if "=" in pattern:
        return _groups(column, pattern, bind, dialect)
    # A wildcard must not reach into the next group: LIKE cannot say that.
    return Condition(like(column, f"*{pattern}*", bind, dialect), exact=False)


def _groups(column: str, name: str, bind: Parameters, dialect: Dialect) -> Condition:
    parts = [like(column, f"*{part}*", bind, dialect) for part in name.split("=")[:3] if part]
    return Condition("(" + (" and ".join(parts) or "1 = 1") + ")", exact=False)


def _sounds(column: str, text: str, bind: Parameters, dialect: Dialect) -> str:
    words = [
        f"({like(column, f'*{token}*', bind, dialect)}"
        f" or {like(f'{column}_sounds', f'*~{person_name.phonetic_key(token)}~*', bind, dialect)})"
        for token in person_name.tokens(text)
    ]
    return "(" + " and ".join(words) + ")"
