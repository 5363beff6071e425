"""Who proved what lately: what each process remembers of credentials, so that a frame costs no look-up.

Every change of an account, role, session or token moves the accounts' revision; a process asks for it at most
once a second, and forgets everything when it moved. The process that makes the change forgets at once.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from dicomweb_box.accounts.access import Identity
from dicomweb_box.box import Box
from dicomweb_box.database import Writer

LOOK_EVERY = 1.0
"""Seconds in which what another process changed is heard of."""
MOST = 10_000
WRITE_EVERY = 30.0
"""Seconds between writes of when sessions and tokens were last used."""
_MARK = "accounts revision"


@dataclass(slots=True)
class Remembered:
    """A proved identity, until when, and when it was last used (seconds of this process's clock)."""

    identity: Identity
    until: float
    used: float
    idle: float = float("inf")
    noted: bool = False
    """Whether its use is yet to be written."""


class Known:
    """What this process remembers."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.revision: int | None = None
        self.looked = float("-inf")
        self.age = 0
        """How often everything was forgotten."""
        self.found: OrderedDict[bytes, Remembered] = OrderedDict()
        self.proving: dict[bytes, asyncio.Task[Identity | None]] = {}
        self.used: list[Remembered] = []
        self._writing: asyncio.Task[None] | None = None

    async def get(self, key: bytes) -> Identity | None:
        """The identity kept under a key, if it still holds."""
        now = time.monotonic()
        if now - self.looked > LOOK_EVERY:
            await self._look(now)
        kept = self.found.get(key)
        if kept is None:
            return None
        if now > kept.until or now - kept.used > kept.idle:
            del self.found[key]
            return None
        kept.used = now
        if not kept.noted:
            self._note(kept)
        return kept.identity

    def keep(
        self, key: bytes, identity: Identity, *, since: int, seconds: float, idle: float = float("inf")
    ) -> None:
        """Remember an identity for so long; not where everything was forgotten `since` this age.

        What was looked up before a change, and comes to be kept after it, would be remembered in spite of it.
        """
        now = time.monotonic()
        kept = Remembered(identity=identity, until=now + seconds, used=now, idle=idle)
        self._note(kept)
        if since != self.age:
            return
        self.found[key] = kept
        if len(self.found) > MOST:
            self.found.popitem(last=False)

    def forget(self) -> None:
        """Everything, since something changed."""
        self._clear()
        self.looked = float("-inf")

    def _clear(self) -> None:
        self.found.clear()
        self.age += 1

    async def _look(self, now: float) -> None:
        revision = await revision_of(self.box)
        if revision != self.revision:
            self._clear()
        self.revision, self.looked = revision, now

    def _note(self, kept: Remembered) -> None:
        if kept.identity.session is None and kept.identity.token is None:
            return
        kept.noted = True
        self.used.append(kept)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_later())

    async def _write_later(self) -> None:
        await asyncio.sleep(WRITE_EVERY)
        with contextlib.suppress(Exception):  # the database may be away; then it is written the next time
            await self._write()

    async def _write(self) -> None:
        used, self.used = self.used, []
        at = self.box.clock() - timedelta(seconds=time.monotonic())
        sessions, tokens = {}, {}
        for kept in sorted(used, key=lambda one: one.used):
            kept.noted = False
            moment = (at + timedelta(seconds=kept.used)).isoformat(timespec="seconds")
            if kept.identity.session is not None:
                sessions[kept.identity.session] = moment
            elif kept.identity.token is not None:
                tokens[kept.identity.token] = moment

        async def work(w: Writer) -> None:
            for table, column, moments in (("session", "seen_at", sessions), ("token", "used_at", tokens)):
                if moments:
                    rows = [{"id": key, "at": moment} for key, moment in moments.items()]
                    await w.execute_many(f"update {table} set {column} = :at where id = :id", rows)

        if used:
            await self.box.database.write(work)

    async def close(self) -> None:
        """Write what was used, and forget."""
        if self._writing is not None:
            self._writing.cancel()
        with contextlib.suppress(Exception):
            await self._write()
        self.found.clear()


def known(box: Box) -> Known:
    """The memory of this process."""
    return box.resource(Known, Known)


async def revision_of(box: Box, mark: str = _MARK) -> int:
    """How often accounts were changed, or what else a mark counts."""
    found = await box.database.fetch_value("select value from mark where name = :name", {"name": mark})
    return int(found or 0)


async def changed(w: Writer) -> None:
    """Move the revision, in the transaction of the change."""
    await moved(w, _MARK)


async def moved(w: Writer, mark: str) -> None:
    """Count one more change, in its transaction."""
    await w.execute(
        "insert into mark (name, value) values (:name, '1') on conflict (name)"
        " do update set value = cast(cast(mark.value as integer) + 1 as text)",
        {"name": mark},
    )
