"""GroupCommit: what waits while one transaction commits goes together into the next."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from dicomweb_box.database.database import Database
from dicomweb_box.database.statements import Writer

Item = TypeVar("Item")
Result = TypeVar("Result")

_WAITING_BATCHES = 16


class GroupCommit(Generic[Item, Result]):
    """Applies the items of many callers in shared transactions.

    `apply` returns one result for each item, in order. A failed batch is applied again item by item,
    each in its own transaction, so that only the failing caller hears of it.
    """

    def __init__(
        self,
        database: Database,
        apply: Callable[[Writer, Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        most: int = 64,
    ) -> None:
        self._database = database
        self._apply = apply
        self._most = most
        self._room = asyncio.Semaphore(most * _WAITING_BATCHES)
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._busy = False
        """Whether somebody writes, the draining task or the thread of a `now`; changed behind the lock."""
        self._left = asyncio.Event()
        self._closed = False

    async def __call__(self, item: Item) -> Result:
        """The item's result, once it is durable; raises what applying this item raised."""
        async with self._room:
            if self._closed:
                raise RuntimeError("this group commit is closed")
            future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._waiting.append((item, future))
            self._begin()
            return await future

    def now(self, item: Item) -> tuple[Result] | None:
        """The item's result, once it is durable, written in the calling thread (not the loop's); raises what
        applying it raised.

        None, and nothing done, where others write or wait: then await the call, which shares a transaction.
        """
        with self._lock:
            if self._closed or self._busy:
                return None
            self._busy = True
        try:
            done = self._database.write_now(partial(self._applied, items=[item]))
            return None if done is None else (done[0][0],)
        finally:
            with self._lock:
                self._busy = False
                wanted = self._closed or bool(self._waiting)
            if wanted:
                # The loop is closed: nobody waits any more.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._go_on)

    async def close(self) -> None:
        """Takes no more, and returns when all that waited is settled."""
        with self._lock:
            self._closed = True
        while self._busy:
            await (self._draining or self._left.wait())

    def _go_on(self) -> None:
        self._left.set()
        if self._waiting:
            self._begin()

    def _begin(self) -> None:
        """Let what waits be written, unless somebody writes already, who looks after that."""
        with self._lock:
            if self._busy:
                return
            self._busy = True
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._commit()
        finally:
            self._draining = None
            with self._lock:
                self._busy = False
            # Reached with something waiting only when the loop itself ends this task.
            for _, future in self._waiting:
                future.cancel()

    async def _commit(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []

        async def work(write: Writer) -> Sequence[Result]:
            # Taken only now that the writer's turn has come: what arrived while waiting for it comes along.
            if not batch:
                batch.extend(self._take())
            return await self._applied(write, [item for item, _ in batch])

        try:
            results = await self._database.write(work)
        except Exception as error:  # noqa: BLE001 - each caller hears of its own item
            if not batch:
                batch.extend(self._take())
            if len(batch) == 1:
                _fail(batch[0][1], error)
            else:
                await self._commit_singly(batch)
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                _settle(future, result)

    async def _commit_singly(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        for item, future in batch:
            try:
                [result] = await self._database.write(partial(self._applied, items=[item]))
            except Exception as error:  # noqa: BLE001 - as above
                _fail(future, error)
            else:
                _settle(future, result)

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        taken: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(taken) < self._most:
            entry = self._waiting.popleft()
            if not entry[1].cancelled():
                taken.append(entry)
        return taken

    async def _applied(self, write: Writer, items: Sequence[Item]) -> Sequence[Result]:
        if not items:
            return ()
        results = await self._apply(write, items)
        if len(results) != len(items):
            raise RuntimeError("a group commit's apply returns one result for each item")
        return results


def _settle(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Result], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
