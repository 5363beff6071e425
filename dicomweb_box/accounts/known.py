"""Who proved what lately: what each process remembers of credentials, so that a frame costs no look-up.

Every change of an account, role, session or token moves the accounts' revision; a process asks for it at most
once a second, and forgets everything when it moved. The process that makes the change forgets at once.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass

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


class Known:
    """What this process remembers."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.revision: int | None = None
        self.looked = float("-inf")
        self.found: OrderedDict[bytes, Remembered] = OrderedDict()
        self.used: dict[tuple[str, str], str] = {}
        self.proving: dict[bytes, asyncio.Task[Identity | None]] = {}
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
        self._note(kept.identity)
        return kept.identity

    def keep(self, key: bytes, identity: Identity, *, seconds: float, idle: float = float("inf")) -> None:
        """Remember an identity for so long."""
        now = time.monotonic()
        self.found[key] = Remembered(identity=identity, until=now + seconds, used=now, idle=idle)
        if len(self.found) > MOST:
            self.found.popitem(last=False)
        self._note(identity)

    def forget(self) -> None:
        """Everything, since something changed."""
        self.found.clear()
        self.looked = float("-inf")

    async def _look(self, now: float) -> None:
        revision = await revision_of(self.box)
        if revision != self.revision:
            self.found.clear()
        self.revision, self.looked = revision, now

    def _note(self, identity: Identity) -> None:
        key = ("session", identity.session) if identity.session else ("token", identity.token)
        if key[1] is None:
            return
        self.used[key[0], key[1]] = self.box.clock().isoformat(timespec="seconds")
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_later())

    async def _write_later(self) -> None:
        await asyncio.sleep(WRITE_EVERY)
        with contextlib.suppress(Exception):  # the database may be away; then it is written the next time
            await self._write()

    async def _write(self) -> None:
        used, self.used = self.used, {}
        rows = [{"id": key, "at": at, "kind": kind} for (kind, key), at in used.items()]

        async def work(w: Writer) -> None:
            for table, column in (("session", "seen_at"), ("token", "used_at")):
                mine = [{"id": row["id"], "at": row["at"]} for row in rows if row["kind"] == table]
                if mine:
                    await w.execute_many(f"update {table} set {column} = :at where id = :id", mine)

        if rows:
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


async def revision_of(box: Box) -> int:
    """How often accounts were changed."""
    found = await box.database.fetch_value("select value from mark where name = :name", {"name": _MARK})
    return int(found or 0)


async def changed(w: Writer) -> None:
    """Move the revision, in the transaction of the change."""
    await w.execute(
        "insert into mark (name, value) values (:name, '1') on conflict (name)"
        " do update set value = cast(cast(mark.value as integer) + 1 as text)",
        {"name": _MARK},
    )
