"""Work done once for all who ask for it at the same time, and given up once all of them have left."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from dicomweb_box.errors import OutOfResources

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Work(Generic[T]):
    task: asyncio.Task[T]
    askers: int = 0


class Together(Generic[T]):
    """The works under way in one process, by name."""

    def __init__(
        self, *, most: int, refusal: str, failed: Callable[[str, BaseException], None] | None = None
    ) -> None:
        """`most` works at a time, more are refused with this sentence; `failed` learns of each that fails."""
        self._most, self._refusal, self._failed = most, refusal, failed
        self._works: dict[str, _Work[T]] = {}

    async def get(self, name: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `make` gives, or raises; OutOfResources where too many works are under way."""
        work = self._works.get(name)
        if work is None:
            if len(self._works) >= self._most:
                raise OutOfResources(self._refusal)
            work = self._works[name] = _Work(asyncio.create_task(make()))
            work.task.add_done_callback(partial(self._done, name, work))
        work.askers += 1
        try:
            # One asker that goes away does not take it from the others.
            return await asyncio.shield(work.task)
        finally:
            work.askers -= 1
            if not work.askers and not work.task.done():
                # Forgotten at once: who asks while it is being cancelled must not be cancelled with it.
                self._forget(name, work)
                work.task.cancel()

    async def close(self) -> None:
        """Give up all of it."""
        tasks = [work.task for work in self._works.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, name: str, work: _Work[T]) -> None:
        if self._works.get(name) is work:
            del self._works[name]

    def _done(self, name: str, work: _Work[T], task: asyncio.Task[T]) -> None:
        self._forget(name, work)
        if task.cancelled():
            return
        error = task.exception()  # looked at, so that asyncio does not report it where every asker has left
        if error is not None and self._failed is not None:
            self._failed(name, error)
