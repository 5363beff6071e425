"""Does the transfers: takes batches, hands each to who can do its kind, and writes what came of it.

What is done at once is bounded, for each peer (its `transfers`) and in all. A batch that is told to stop
ends between two instances, and the rest of it waits again.
"""

import asyncio
import fcntl
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicomweb_box.archive.chores import Step
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.errors import BoxError, NotFound, PeerUnreachable
from dicomweb_box.outbound import leases, peers, steering, transfers
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.leases import Batch, Outcome, Settled
from dicomweb_box.outbound.transfers import Kind

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Batches in all."""
REST = 1.0
"""Seconds after which what has become due is seen."""
BEAT = 2.0
"""Seconds after which what came of items is written, and who is at them says so again."""
LAST = 10.0
"""Seconds that a batch has to end, once it is told to stop."""
LOCK = "worker.lock"
_KEPT = 64
"""Items whose outcome waits to be written."""


class Desk:
    """Where who does a batch reports; outcomes are written in groups, all of them when `close` returns.

    `stopped` is set where no further instance is to be begun.
    """

    def __init__(self, box: Box, batch: Batch) -> None:
        self._box = box
        self.batch = batch
        self.stopped = asyncio.Event()
        self._settled: list[Settled] = []
        self._progress: dict[int, tuple[int, int]] = {}
        self._writing = asyncio.Lock()

    async def peer(self) -> Peer | None:
        """The peer of the batch; None where it is known no more, and every item has failed of that."""
        try:
            return await peers.by_name(self._box, self.batch.transfer.peer)
        except NotFound:
            for item in self.batch.items:
                await self.settle(item.number, "failed", "There is no peer of this name any more.")
            return None

    async def settle(
        self,
        number: int,
        outcome: Outcome,
        reason: str = "",
        *,
        done: int | None = None,
        due: datetime | None = None,
    ) -> None:
        """Say what became of an item; the reason is a sentence without any attribute of a patient."""
        self._settled.append(Settled(number=number, outcome=outcome, reason=reason, done=done, due=due))
        if len(self._settled) >= _KEPT:
            await self.write()

    def progress(self, number: int, *, done: int, expected: int) -> None:
        """Say how far an item is."""
        self._progress[number] = (done, expected)

    async def write(self, more: Callable[[Writer], Awaitable[None]] | None = None) -> None:
        """Write what was said so far, and `more` in the same transaction; stay at the batch."""
        async with self._writing:
            settled, self._settled = self._settled, []
            progress, self._progress = self._progress, {}

            async def work(w: Writer) -> bool:
                for number, (done, expected) in progress.items():
                    await leases.progress(w, self._box, self.batch, number, done=done, expected=expected)
                await leases.settle(w, self._box, self.batch, settled)
                if more is not None:
                    await more(w)
                return await leases.renew(w, self._box, self.batch)

            try:
                goes_on = await self._box.database.write(work)
            except BaseException:
                # Still to be written, by the next beat.
                self._settled = settled + self._settled
                raise
            if not goes_on:
                self.stopped.set()

    async def close(self, because: str = "") -> None:
        """Write the rest and let go; `because`: the peer did not answer, or not now."""
        await self.write(lambda w: leases.let_go(w, self._box, self.batch, because=because))


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """How transfers of one kind are done."""

    most: int
    """Items of a batch."""
    run: Callable[[Box, Desk], Awaitable[None]]
    """Settles the items of the desk's batch; PeerUnreachable where all of them have to wait."""


Handlers = Mapping[Kind, Handler]

CHORES = (Step(name="forget old transfers", rest=3600, do=steering.forget_old),)


async def run(box: Box, stop: asyncio.Event, handlers: Handlers, *, rest: float = REST) -> None:
    """Do what is due, again and again, until told to stop; what runs then ends between two instances."""
    running: dict[asyncio.Task[None], Desk] = {}
    async with asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            batch = await _claimed(box, handlers) if len(running) < AT_ONCE else None
            if batch is not None:
                desk = Desk(box, batch)
                task = tasks.create_task(do(box, desk, handlers[batch.transfer.kind]))
                running[task] = desk
                task.add_done_callback(running.pop)
                continue
            await _first_of(running, stop, rest)
        await _end(running)


async def run_one(box: Box, key: str, handlers: Handlers, *, rest: float = 0.2) -> None:
    """Do one transfer while something of it is due or on its way, beside any worker that is at it too."""
    while await transfers.is_busy(box, key):
        batch = await _claimed(box, handlers, only=key)
        if batch is None:
            await asyncio.sleep(rest)
            continue
        await do(box, Desk(box, batch), handlers[batch.transfer.kind])


@contextmanager
def announced(data: Path) -> Iterator[None]:
    """While it lasts, `is_running` is true on this machine, however the process ends."""
    with (data / LOCK).open("a") as file:
        # Another worker of the same folder announces the same.
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_running(data: Path) -> bool:
    """Whether a worker does the transfers of this data folder."""
    with (data / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


async def _claimed(box: Box, handlers: Handlers, only: str | None = None) -> Batch | None:
    most = {kind: handler.most for kind, handler in handlers.items()}
    try:
        parallel = {one.name: one.transfers for one in await peers.every(box)}
        return await leases.claim(box, most, only=only, parallel=parallel)
    except Exception:
        # The database is away, or full: what is due stays so.
        log.exception("no transfer could be taken")
        return None


async def _first_of(running: Iterable[asyncio.Task[None]], stop: asyncio.Event, rest: float) -> None:
    """Wait for a batch that ends, for being told to stop, or for a while."""
    told = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([told, *running], timeout=rest, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()


async def _end(running: Mapping[asyncio.Task[None], Desk]) -> None:
    for desk in running.values():
        desk.stopped.set()
    if running:
        _, late = await asyncio.wait(running, timeout=LAST)
        for task in late:
            task.cancel()


async def do(box: Box, desk: Desk, handler: Handler) -> None:
    """Do one batch, and write what came of it."""
    beating = asyncio.create_task(_beat(desk))
    because = ""
    try:
        await handler.run(box, desk)
    except PeerUnreachable as error:
        because = str(error)
    except asyncio.CancelledError:
        log.warning("transfer %s was cut short", desk.batch.transfer.id)
    except Exception as error:
        log.exception("transfer %s", desk.batch.transfer.id)
        because = str(error) if isinstance(error, BoxError) else f"{type(error).__name__} here"
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
    try:
        await desk.close(because)
    except Exception:
        # The lease runs out, and the items are taken again.
        log.exception("what came of transfer %s could not be written", desk.batch.transfer.id)


async def _beat(desk: Desk) -> None:
    while True:
        await asyncio.sleep(BEAT)
        try:
            await desk.write()
        except Exception:
            log.exception("transfer %s cannot be written", desk.batch.transfer.id)
