"""What a piece of work may ask of a database, on SQLite and PostgreSQL alike.

SQL is written once with `:name` parameters. Values are str, int, float, bytes or None, in and out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

from dicomweb_box.errors import BoxError

T = TypeVar("T")
Dialect = Literal["sqlite", "postgresql"]
Parameters = Mapping[str, Any]

NOTHING: Parameters = {}


class UniqueViolation(BoxError):
    """A row with this key exists already; the message names the constraint, never the values."""


class Row(Protocol):
    """One answered row: by column name, by position, or unpacked."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...

    def keys(self) -> Iterable[str]: ...


class Reader(Protocol):
    """Asks within one consistent snapshot. Also `returning` clauses answer through the fetch methods."""

    @property
    def dialect(self) -> Dialect: ...

    async def fetch_all(self, sql: str, params: Parameters = NOTHING) -> Sequence[Row]: ...

    async def fetch_one(self, sql: str, params: Parameters = NOTHING) -> Row | None: ...

    async def fetch_value(self, sql: str, params: Parameters = NOTHING) -> Any: ...


class Writer(Reader, Protocol):
    """Asks and changes within one transaction."""

    async def execute(self, sql: str, params: Parameters = NOTHING) -> None: ...

    async def execute_many(self, sql: str, params: Sequence[Parameters]) -> None: ...

    async def run_script(self, script: str) -> None: ...

    def after_commit(self, work: Callable[[], None]) -> None:
        """Call it in a thread once the transaction is durable, before anybody hears; it must not raise."""


def in_list(name: str, values: Iterable[Any]) -> tuple[str, dict[str, Any]]:
    """The right side of `column in …` for these values, with its parameters; no values match nothing."""
    params = {f"{name}{number}": value for number, value in enumerate(values)}
    if not params:
        return "(null)", {}
    return "(" + ", ".join(f":{key}" for key in params) + ")", params


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most so many, where one statement names each."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
