"""Who called and was let in no further: a bounded table, so that a person can see it and accept a peer.

Whoever reaches the port can call as often as they like under whatever title: what is counted waits in memory,
is written in groups, and is bounded for each address and in all.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dicomweb_box.accounts.addresses import client_key
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer
from dicomweb_box.dicom.ae_title import ae_title_of

MOST = 200
"""Rows, the newest."""
MOST_OF_A_PLACE = 20
"""… of one address."""
WRITE_AFTER = 0.5
"""Seconds for which refusals are gathered."""
_UNSEEN = 45
"""Characters of an address that are kept: those of the longest there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedCaller:
    """Somebody who called under a title from an address."""

    ae_title: str
    """Made printable."""
    address: str
    why: str
    count: int
    first_at: str
    last_at: str

    @property
    def can_be_accepted(self) -> bool:
        """Whether its title can be a peer's."""
        return ae_title_of(self.ae_title) is not None


@dataclass(slots=True)
class _Waiting:
    why: str
    first: str
    last: str
    count: int = 1


class RefusedCallers:
    """What this process has yet to write."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._of_place: Counter[str] = Counter()
        self._writing: asyncio.Task[None] | None = None

    def note(self, title: str, address: str, why: str) -> None:
        """Count a refusal; waits for nothing. `title` is printable."""
        now = self.box.clock().isoformat(timespec="seconds")
        key = (title, address[:_UNSEEN])
        found = self._waiting.get(key)
        if found is not None:
            found.why, found.last, found.count = why, now, found.count + 1
            return
        place = client_key(key[1])
        if len(self._waiting) >= MOST or self._of_place[place] >= MOST_OF_A_PLACE:
            return
        self._waiting[key] = _Waiting(why=why, first=now, last=now)
        self._of_place[place] += 1
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_later())

    async def close(self) -> None:
        """Write what waits."""
        if self._writing is not None:
            self._writing.cancel()
        with contextlib.suppress(Exception):
            await self.write()

    async def _write_later(self) -> None:
        while self._waiting:
            await asyncio.sleep(WRITE_AFTER)
            with contextlib.suppress(Exception):  # the database may be away; nobody waits for this
                await self.write()

    async def write(self) -> None:
        """Write what waits, now."""
        waiting, self._waiting = self._waiting, {}
        self._of_place.clear()
        rows: list[dict[str, str | int]] = [
            {
                "ae_title": title,
                "address": address,
                "place": client_key(address),
                "why": one.why,
                "count": one.count,
                "first_at": one.first,
                "last_at": one.last,
            }
            for (title, address), one in sorted(waiting.items(), key=lambda item: item[0])
        ]
        if rows:
            await self.box.database.write(lambda w: _write(w, rows))


def refused_callers(box: Box) -> RefusedCallers:
    """Those that this process counts."""
    return box.resource(RefusedCallers, RefusedCallers)


async def every(box: Box) -> Sequence[RefusedCaller]:
    """All that are kept, the latest first."""
    rows = await box.database.fetch_all(
        "select * from refused_caller order by last_at desc, ae_title, address limit :most", {"most": MOST}
    )
    return [_caller(row) for row in rows]


async def _write(w: Writer, rows: list[dict[str, str | int]]) -> None:
    await w.execute_many(
        "insert into refused_caller (ae_title, address, place, why, count, first_at, last_at)"
        " values (:ae_title, :address, :place, :why, :count, :first_at, :last_at)"
        " on conflict (ae_title, address) do update set why = excluded.why,"
        " count = refused_caller.count + excluded.count, last_at = excluded.last_at",
        rows,
    )
    await w.execute(
        "delete from refused_caller where (ae_title, address) in (select ae_title, address from (select"
        " ae_title, address, row_number() over (partition by place order by last_at desc, ae_title, address)"
        " as of_place, row_number() over (order by last_at desc, ae_title, address) as of_all"
        " from refused_caller) as ranked where of_place > :of_place or of_all > :most)",
        {"of_place": MOST_OF_A_PLACE, "most": MOST},
    )


def _caller(row: Row) -> RefusedCaller:
    return RefusedCaller(
        ae_title=row["ae_title"],
        address=row["address"],
        why=row["why"],
        count=row["count"],
        first_at=row["first_at"],
        last_at=row["last_at"],
    )
