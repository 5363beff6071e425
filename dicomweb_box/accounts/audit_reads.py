"""What was only looked at: noted in memory, written in groups.

The first look of somebody at something in a minute is written within seconds; how many more there were in
that minute, in one row once it is over. So a frame costs no write, and a kill loses a few seconds of reads.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from dicomweb_box.accounts.access import SYSTEM, Actor, Kind
from dicomweb_box.accounts.audit import Entry, opened, row_of
from dicomweb_box.accounts.audit_chain import chain_of
from dicomweb_box.accounts.audit_words import Action, Outcome
from dicomweb_box.box import Box
from dicomweb_box.database import Writer

log = logging.getLogger(__name__)

WRITE_EVERY = 3.0
"""Seconds; what a kill may lose."""
_MINUTE = 60
_GROUP = 500
"""Rows of one transaction, so that nobody waits long behind it."""
MOST = 50_000
"""Rows that may wait where the database takes none; more are only counted."""
MOST_ELSEWHERE = 1_000
"""Studies that are not there, or were refused, by name: who asks for many is not given a row for each."""

Key = tuple[int, str, Kind, str, Action, str, Outcome, str]
"""Minute, actor's name and kind, address, action, peer, outcome, study."""


@dataclass(slots=True)
class _Count:
    """How often it is yet to be written, and since when."""

    moment: float = 0.0
    count: int = 0
    written: bool = False


class Reads:
    """What this process has noted and not yet written."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._counts: dict[Key, _Count] = {}
        self._elsewhere = 0
        self._lost = 0
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def note(
        self, actor: Actor, action: Action, outcome: Outcome, study: str = "", *, peer: str = ""
    ) -> None:
        """Note one read, of a peer's where it is named; costs a few microseconds and waits for nothing."""
        now = self.box.clock().timestamp()
        key = (int(now) // _MINUTE, actor.name, actor.kind, actor.address, action, peer, outcome, study)
        counted = self._counts.get(key)
        if counted is None:
            counted = self._new(key)
        if not counted.count:
            counted.moment = now
        counted.count += 1

    def _new(self, key: Key) -> _Count:
        if key[-1] and key[-2] != "success":
            self._elsewhere += 1
            if self._elsewhere > MOST_ELSEWHERE:
                key = (*key[:-1], "")
        if key not in self._counts:
            if len(self._counts) >= MOST:
                self._lost += 1
                return _Count()
            self._counts[key] = _Count()
            if self._writing is None or self._writing.done():
                self._writing = asyncio.get_running_loop().create_task(self._write_later())
        return self._counts[key]

    async def _write_later(self) -> None:
        """Write again and again until nothing is left."""
        while self._counts and not await self._told_to_close():
            try:
                await self.write()
            except Exception as error:  # noqa: BLE001  (the database may be away; then it is tried again)
                log.error("%d audit rows of reads wait: %s", len(self._counts), type(error).__name__)  # noqa: TRY400

    async def _told_to_close(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WRITE_EVERY):
                await self._closing.wait()
        return self._closing.is_set()

    async def write(self, *, all_of_it: bool = False) -> None:
        """Write what is due: first looks, and what is left of minutes that are over."""
        minute = int(self.box.clock().timestamp()) // _MINUTE
        self._elsewhere = 0
        due = [
            (key, counted)
            for key, counted in self._counts.items()
            if all_of_it or not counted.written or key[0] < minute
        ]
        if due:
            await opened(self.box)
        for start in range(0, len(due), _GROUP):
            await self._write(due[start : start + _GROUP], minute, all_of_it=all_of_it)

    async def _write(self, due: list[tuple[Key, _Count]], minute: int, *, all_of_it: bool) -> None:
        lost = self._lost
        taken = [(key, counted, counted.count) for key, counted in due]
        rows = [_row(key, counted.moment, count) for key, counted, count in taken if count]
        if lost:
            entry = Entry(actor=SYSTEM, action=Action.LOST, outcome="failed", count=lost)
            rows.append(row_of(entry, _text(self.box.clock().timestamp())))
        chain = chain_of(self.box)

        async def work(w: Writer) -> None:
            for row in rows:
                await chain.append(w, row)

        if rows:
            await self.box.database.write(work)
        self._lost -= lost
        for key, counted, count in taken:
            counted.count -= count
            counted.written = True
            if (all_of_it or key[0] < minute) and not counted.count:
                del self._counts[key]

    async def close(self) -> None:
        """Write all of it."""
        self._closing.set()
        if self._writing is not None:
            await self._writing
        try:
            await self.write(all_of_it=True)
        except Exception as error:  # noqa: BLE001  (what else is open is to be closed all the same)
            log.error("%d audit rows of reads are lost: %s", len(self._counts), type(error).__name__)  # noqa: TRY400


def _row(key: Key, moment: float, count: int) -> dict[str, str | int]:
    _, name, kind, address, action, peer, outcome, study = key
    actor = Actor(name=name, kind=kind, address=address)
    about = {"peer": peer} if peer else {}
    entry = Entry(actor=actor, action=action, outcome=outcome, study=study, about=about, count=count)
    return row_of(entry, _text(moment))


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def reads(box: Box) -> Reads:
    """What this process has noted."""
    return box.resource(Reads, Reads)
