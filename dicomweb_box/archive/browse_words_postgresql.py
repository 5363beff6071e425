"""Which studies hold some words, asked of PostgreSQL: by trigrams, and by parts of one or two characters."""

from collections.abc import Sequence

from dicomweb_box.archive.conditions import Parameters, like
from dicomweb_box.database import Reader

_TRIGRAM = 3
_SAMPLE = 20_000
_LED = 5_000


async def some_holding(reader: Reader, words: Sequence[str], realm: str, most: int) -> list[int]:
    """The ids of the studies that hold all these words, at most so many of them."""
    long = [word for word in words if len(word) >= _TRIGRAM]
    short = [word for word in words if len(word) < _TRIGRAM]
    if not short and len(long) == 1:
        return await _by_index(reader, long, short, realm, most)
    # An index costs as much as it finds, and that may be half of all: some of the rows tell for less.
    found = await _in_sample(reader, words, realm, most)
    if len(found) == most:
        return found
    led = await _led(reader, long, short, realm) if long and short else None
    return await _by_index(reader, long, short, realm, most) if led is None else led[:most]


async def _in_sample(reader: Reader, words: Sequence[str], realm: str, most: int) -> list[int]:
    bind = Parameters()
    sample = f"select id, realm, words from study_words limit {_SAMPLE}"
    sql = f"select id from ({sample}) as sample where {_hold(words, bind)} and realm = {bind(realm)}"
    return await _ids(reader, sql, bind, most)


async def _led(reader: Reader, long: Sequence[str], short: Sequence[str], realm: str) -> list[int] | None:
    """All the ids, found among the studies that the long words lead to; None where those are many."""
    bind = Parameters()
    where = f"{_hold(long, bind)} and realm = {bind(realm)}"
    row = await reader.fetch_one(
        f"with led as materialized (select id, words from study_words where {where} limit {_LED})"
        f" select count(*), array_agg(id) filter (where {_hold(short, bind)}) from led",
        bind.values,
    )
    count, ids = row or (0, None)
    return None if count == _LED else list(ids or ())


async def _by_index(
    reader: Reader, long: Sequence[str], short: Sequence[str], realm: str, most: int
) -> list[int]:
    bind = Parameters()
    where = [f"realm = {bind(realm)}"]
    if long:
        where.append(_hold(long, bind))
    if short:
        where.append(f"study_words_parts(words) @> array[{', '.join(map(bind, short))}]")
    return await _ids(reader, f"select id from study_words where {' and '.join(where)}", bind, most)


def _hold(words: Sequence[str], bind: Parameters) -> str:
    # Within the pattern alone is `*` a wildcard, and words hold none.
    return " and ".join(like("words", f"*{word}*", bind, "postgresql") for word in words)


async def _ids(reader: Reader, sql: str, bind: Parameters, most: int) -> list[int]:
    return [row[0] for row in await reader.fetch_all(f"{sql} limit {bind(most)}", bind.values)]
