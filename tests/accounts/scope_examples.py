"""How a door is asked about archives that Hypothesis makes: filled, and with its statements listened to."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from dicomweb_box.box import Box
from tests.accounts.archives import Study, rule, store

EXAMPLES = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


async def fill(box: Box, archive: Sequence[Study]) -> None:
    """Store an archive and let its rule run."""
    for study in archive:
        await store(box, study)
    await rule(box)


class _Listening:
    """A reader or writer whose statements are noted."""

    def __init__(self, inner: Any, asked: list[str]) -> None:
        self._inner = inner
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("fetch_all", "fetch_one", "fetch_value", "execute", "execute_many"):
            return found

        async def noted(sql: str, *more: Any) -> Any:
            self._asked.append(sql)
            return await found(sql, *(more or ({},)))

        return noted


def listen(box: Box, asked: list[str]) -> None:
    """Note each statement that the database is asked from now on."""
    database: Any = box.database
    direct = _Listening(database._engine, asked)
    for name in ("fetch_all", "fetch_one", "fetch_value"):
        setattr(database, name, getattr(direct, name))
    for name in ("read", "write"):
        setattr(database, name, _within(getattr(database, name), asked))


def _within(run: Callable[..., Awaitable[Any]], asked: list[str]) -> Callable[..., Awaitable[Any]]:
    async def noted(work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await run(lambda inner: work(_Listening(inner, asked)))

    return noted
