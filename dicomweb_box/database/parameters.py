"""`:name` parameters into the `$1` of PostgreSQL."""

import re
from functools import lru_cache

# What may hold a colon that is no parameter: quoted text and names, comments, casts.
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|::|:([a-zA-Z_]\w*)", re.DOTALL)


@lru_cache(maxsize=2048)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with numbered parameters, and the name of each number."""
    numbers: dict[str, int] = {}

    def number(token: re.Match[str]) -> str:
        name = token[1]
        if name is None:
            return token[0]
        return f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _TOKEN.sub(number, sql), tuple(numbers)
